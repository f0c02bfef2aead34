/* An echo server, to be built: see README.md. The helpers are done; what is left says TODO. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAXBUF 8192

/* Opens a descriptor that listens on a port; -1 if that fails. */
static int open_listenfd(int port)
{
    int listenfd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in addr;

    if (listenfd < 0)
        return -1;
    setsockopt(listenfd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    memset(&addr, 0, sizeof addr);
    addr.sin_family = AF_INET;
    addr.sin_addr.s_addr = htonl(INADDR_ANY);
    addr.sin_port = htons(port);
    if (bind(listenfd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(listenfd, 1024) < 0) {
        close(listenfd);
        return -1;
    }
    return listenfd;
}

/* Writes all n bytes; returns n, or -1 if that fails. */
ssize_t writen(int fd, const char *buf, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t m = write(fd, buf + done, n - done);
        if (m > 0)
            done += m;
        else if (errno != EINTR)
            return -1;
    }
    return n;
}

/* Sends back what comes, until the client has nothing more to say. */
static void echo(int connfd)
{
    char buf[MAXBUF];

    /* TODO 1: read, and write what was read, until EOF. What does read return at EOF, what on an
       error, and what when it was interrupted? */
    if (read(connfd, buf, sizeof buf) < 0)
        perror("read");
}

int main(int argc, char **argv)
{
    int listenfd = open_listenfd(argc > 1 ? atoi(argv[1]) : 15213);

    if (listenfd < 0) {
        perror("open_listenfd");
        return 1;
    }
    /* TODO 2: what does a write to a client that has gone do to this process? */
    for (;;) {
        int connfd = accept(listenfd, NULL, NULL);
        if (connfd < 0)
            continue;
        /* TODO 3: serve each client in a thread of its own. Who frees what, who joins whom? */
        echo(connfd);
        close(connfd);
    }
}
