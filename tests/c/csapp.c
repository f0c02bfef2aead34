#include "csapp.h"

/* ---- RIO ---- */

/* Writes n bytes, however few a write takes. */
ssize_t rio_writen(int fd, const void *usrbuf, size_t n)
{
    const char *p = usrbuf;
    size_t left = n;

    while (left > 0) {
        ssize_t done = write(fd, p, left);
        if (done < 0 && errno != EINTR)
            return -1;
        if (done > 0) {
            left -= done;
            p += done;
        }
    }
    return n;
}

void rio_readinitb(rio_t *rp, int fd)
{
    rp->rio_fd = fd;
    rp->rio_cnt = 0;
    rp->rio_bufptr = rp->rio_buf;
}

/* One byte through the buffer: 1, 0 at EOF, -1 on an error. */
static int rio_getc(rio_t *rp, char *c)
{
    while (rp->rio_cnt <= 0) {
        rp->rio_cnt = read(rp->rio_fd, rp->rio_buf, sizeof rp->rio_buf);
        if (rp->rio_cnt == 0)
            return 0;
        if (rp->rio_cnt < 0 && errno != EINTR)
            return -1;
        rp->rio_bufptr = rp->rio_buf;
    }
    rp->rio_cnt--;
    *c = *rp->rio_bufptr++;
    return 1;
}

/* A line of at most maxlen - 1 bytes, and a NUL behind it. */
ssize_t rio_readlineb(rio_t *rp, void *usrbuf, size_t maxlen)
{
    char *buf = usrbuf;
    size_t n = 0;

    while (n < maxlen - 1) {
        int rc = rio_getc(rp, &buf[n]);
        if (rc < 0)
            return -1;
        if (rc == 0) {
            if (n == 0)
                return 0; /* EOF, and usrbuf is as it was */
            break;
        }
        if (buf[n++] == '\n')
            break;
    }
    buf[n] = '\0';
    return n;
}

/* ---- The sockets interface ---- */

static struct addrinfo *resolve(const char *host, const char *port, int flags)
{
    struct addrinfo hints, *list;

    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV | AI_ADDRCONFIG;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return NULL;
    return list;
}

int open_clientfd(const char *host, const char *port)
{
    struct addrinfo *list = resolve(host, port, 0), *p;
    int clientfd = -1;

    for (p = list; p; p = p->ai_next) {
        if ((clientfd = socket(p->ai_family, p->ai_socktype, p->ai_protocol)) < 0)
            continue;
        if (connect(clientfd, p->ai_addr, p->ai_addrlen) == 0)
            break;
        close(clientfd);
        clientfd = -1;
    }
    if (list)
        freeaddrinfo(list);
    return clientfd;
}

int open_listenfd(const char *port)
{
    struct addrinfo *list = resolve(NULL, port, AI_PASSIVE), *p;
    int listenfd = -1, on = 1;

    for (p = list; p; p = p->ai_next) {
        if ((listenfd = socket(p->ai_family, p->ai_socktype, p->ai_protocol)) < 0)
            continue;
        setsockopt(listenfd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(listenfd, p->ai_addr, p->ai_addrlen) == 0 && listen(listenfd, LISTENQ) == 0)
            break;
        close(listenfd);
        listenfd = -1;
    }
    if (list)
        freeaddrinfo(list);
    return listenfd;
}

/* ---- Wrappers ---- */

void unix_error(const char *msg)
{
    fprintf(stderr, "%s: %s\n", msg, strerror(errno));
    exit(0); /* as the book has it */
}

void Rio_writen(int fd, const void *usrbuf, size_t n)
{
    if (rio_writen(fd, usrbuf, n) < 0)
        unix_error("Rio_writen error");
}

ssize_t Rio_readlineb(rio_t *rp, void *usrbuf, size_t maxlen)
{
    ssize_t n = rio_readlineb(rp, usrbuf, maxlen);

    if (n < 0)
        unix_error("Rio_readlineb error");
    return n;
}

int Open_clientfd(const char *host, const char *port)
{
    int fd = open_clientfd(host, port);

    if (fd < 0)
        unix_error("Open_clientfd error");
    return fd;
}

int Open_listenfd(const char *port)
{
    int fd = open_listenfd(port);

    if (fd < 0)
        unix_error("Open_listenfd error");
    return fd;
}

int Accept(int listenfd)
{
    struct sockaddr_storage clientaddr;
    socklen_t clientlen = sizeof clientaddr;
    int connfd = accept(listenfd, (SA *)&clientaddr, &clientlen);

    if (connfd < 0)
        unix_error("Accept error");
    return connfd;
}

void Close(int fd)
{
    if (close(fd) < 0)
        unix_error("Close error");
}

/* ---- echo ---- */

void echo(int connfd)
{
    char buf[MAXLINE];
    rio_t rio;
    ssize_t n;

    rio_readinitb(&rio, connfd);
    while ((n = Rio_readlineb(&rio, buf, MAXLINE)) != 0) {
        printf("server received %d bytes\n", (int)n);
        Rio_writen(connfd, buf, n);
    }
}
