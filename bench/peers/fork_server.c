/*
 * The book's process-per-connection echo server, with its byte-by-byte RIO: prints
 * who connects and how many bytes each line has. Usage: fork_server PORT.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(atoi(argv[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, listenfd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listenfd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listenfd, (struct sockaddr *)&addr, sizeof addr) || listen(listenfd, 1024)) {
        perror("listen");
        return 1;
    }
    for (;;) {
        int connfd = accept(listenfd, NULL, NULL);
        if (connfd < 0)
            continue;
        setsockopt(connfd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (fork() == 0) {
            close(listenfd);
            echo(connfd);
            exit(0);
        }
        close(connfd);
    }
}
