/*
 * The book's algorithm: a line comes byte by byte out of an 8 KiB buffer. Reads all
 * that a sender sends and prints "LINES BYTES SECONDS". Usage: rio_lines PORT.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rio.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: rio_lines PORT\n");
        return 2;
    }
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(atoi(argv[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static reader_t r;
    static char line[MAXLINE];
    r.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(r.fd, (struct sockaddr *)&addr, sizeof addr)) {
        perror("connect");
        return 1;
    }
    long lines = 0, bytes = 0;
    double start = now();
    for (ssize_t n; (n = read_line(&r, line, MAXLINE)) > 0;) {
        lines++;
        bytes += n;
    }
    printf("%ld %ld %f\n", lines, bytes, now() - start);
}
