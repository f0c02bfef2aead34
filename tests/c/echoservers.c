/* The echo server on select: a pool of clients, and a line of each that is ready. */
#include "csapp.h"

static struct {
    int maxfd, fd[FD_SETSIZE];
    fd_set read_set;
    rio_t rio[FD_SETSIZE];
} pool;

static void check_clients(fd_set *ready, int listenfd)
{
    char buf[MAXLINE];
    int i;

    for (i = 0; i <= pool.maxfd; i++) {
        ssize_t n;
        if (i == listenfd || !FD_ISSET(i, ready))
            continue;
        if ((n = Rio_readlineb(&pool.rio[i], buf, MAXLINE)) != 0) {
            printf("server received %d bytes\n", (int)n);
            Rio_writen(i, buf, n);
        } else {
            Close(i);
            FD_CLR(i, &pool.read_set);
        }
    }
}

int main(int argc, char **argv)
{
    int listenfd = Open_listenfd(argc > 1 ? argv[1] : "15213");

    FD_SET(listenfd, &pool.read_set);
    pool.maxfd = listenfd;
    for (;;) {
        fd_set ready = pool.read_set;
        select(pool.maxfd + 1, &ready, NULL, NULL, NULL);
        if (FD_ISSET(listenfd, &ready)) {
            int connfd = Accept(listenfd);
            rio_readinitb(&pool.rio[connfd], connfd);
            FD_SET(connfd, &pool.read_set);
            if (connfd > pool.maxfd)
                pool.maxfd = connfd;
        }
        check_clients(&ready, listenfd);
    }
}
