/*
 * The upper limit: one thread, one epoll, and one write for everything that has arrived. It
 * ignores line ends, prints nothing, and blocks (in poll) on a client that doesn't read.
 * Usage: epoll_server PORT.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "net.h"

#define MAXEVENTS 256
#define BUFSIZE 65536

/* Writes n bytes; -1 if the client has closed. */
static int writen(int fd, const char *buf, size_t n)
{
    while (n > 0) {
        ssize_t count = write(fd, buf, n);
        if (count < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
            continue;
        }
        if (count <= 0)
            return -1;
        buf += count;
        n -= count;
    }
    return 0;
}

static void echo(int connfd)
{
    static char buf[BUFSIZE];
    ssize_t n = read(connfd, buf, BUFSIZE);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || writen(connfd, buf, n) < 0)
        close(connfd);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: epoll_server PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int listenfd = open_listenfd(argv[1]);
    int epfd = epoll_create1(0);
    struct epoll_event events[MAXEVENTS], event = {.events = EPOLLIN, .data.fd = listenfd};
    epoll_ctl(epfd, EPOLL_CTL_ADD, listenfd, &event);
    for (;;) {
        int n = epoll_wait(epfd, events, MAXEVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listenfd) {
                echo(events[i].data.fd);
                continue;
            }
            event.data.fd = accept4(listenfd, NULL, NULL, SOCK_NONBLOCK);
            if (event.data.fd < 0)
                continue;
            set_nodelay(event.data.fd);
            epoll_ctl(epfd, EPOLL_CTL_ADD, event.data.fd, &event);
        }
    }
}
