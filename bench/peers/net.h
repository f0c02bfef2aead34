/* The book's open_listenfd and open_clientfd, on 127.0.0.1. */
#pragma once
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static inline struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(atoi(port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void set_nodelay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static inline int open_listenfd(const char *port)
{
    struct sockaddr_in addr = loopback(port);
    int one = 1, listenfd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listenfd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listenfd, (struct sockaddr *)&addr, sizeof addr) || listen(listenfd, 4096)) {
        perror("listen");
        exit(1);
    }
    return listenfd;
}

static inline int open_clientfd(const char *port)
{
    struct sockaddr_in addr = loopback(port);
    int clientfd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(clientfd, (struct sockaddr *)&addr, sizeof addr)) {
        perror("connect");
        exit(1);
    }
    set_nodelay(clientfd);
    return clientfd;
}
