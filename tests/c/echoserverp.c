/* The echo server with a process a client. */
#include "csapp.h"

static void sigchld_handler(int sig)
{
    (void)sig;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(int argc, char **argv)
{
    int listenfd = Open_listenfd(argc > 1 ? argv[1] : "15213");
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = sigchld_handler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGCHLD, &action, NULL);

    for (;;) {
        int connfd = Accept(listenfd);
        if (fork() == 0) {
            Close(listenfd);
            echo(connfd);
            Close(connfd);
            exit(0);
        }
        Close(connfd);
    }
}
