/*
 * The book's process-per-connection echo server, with its byte-by-byte RIO: prints each
 * client and the length of each line. Usage: fork_server PORT.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net.h"
#include "rio.h"

static void echo(int connfd)
{
    static reader_t r;
    static char line[MAXLINE];
    r.fd = connfd;
    for (ssize_t n; (n = read_line(&r, line, MAXLINE)) > 0;) {
        printf("server received %d bytes\n", (int)n);
        if (write_all(connfd, line, n))
            break;
    }
}

static void reap(int signal)
{
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fork_server PORT\n");
        return 2;
    }
    signal(SIGCHLD, reap);
    signal(SIGPIPE, SIG_IGN);
    int listenfd = open_listenfd(argv[1]);
    for (;;) {
        int connfd = accept(listenfd, NULL, NULL);
        if (connfd < 0)
            continue;
        set_nodelay(connfd);
        if (fork() == 0) {
            close(listenfd);
            echo(connfd);
            exit(0);
        }
        close(connfd);
    }
}
