/* What the lecture's programs share, written anew after the book: the RIO package, the helpers of
   the sockets interface, and wrappers that end the program when a call fails. */
#ifndef CSAPP_H
#define CSAPP_H

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAXLINE 8192
#define RIO_BUFSIZE 8192
#define LISTENQ 1024

typedef struct sockaddr SA;

/* A read buffer on a descriptor. */
typedef struct {
    int rio_fd;
    ssize_t rio_cnt; /* bytes left in it */
    char *rio_bufptr;
    char rio_buf[RIO_BUFSIZE];
} rio_t;

ssize_t rio_writen(int fd, const void *usrbuf, size_t n);
void rio_readinitb(rio_t *rp, int fd);
ssize_t rio_readlineb(rio_t *rp, void *usrbuf, size_t maxlen);

int open_clientfd(const char *host, const char *port);
int open_listenfd(const char *port);

/* The same, but they end the program when they fail. */
void unix_error(const char *msg);
void Rio_writen(int fd, const void *usrbuf, size_t n);
ssize_t Rio_readlineb(rio_t *rp, void *usrbuf, size_t maxlen);
int Open_clientfd(const char *host, const char *port);
int Open_listenfd(const char *port);
int Accept(int listenfd);
void Close(int fd);

/* Reads lines and writes them back until EOF. */
void echo(int connfd);

#endif
