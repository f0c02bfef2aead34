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

#define BUFSIZE 8192
#define MAXLINE 8192

typedef struct {
    int fd;
    int left;
    char *next;
    char buf[BUFSIZE];
} reader_t;

static ssize_t buffered_read(reader_t *r, char *to, size_t n)
{
    while (r->left <= 0) {
        r->left = read(r->fd, r->buf, sizeof r->buf);
        if (r->left < 0 && errno != EINTR)
            return -1;
        if (r->left == 0)
            return 0;
        r->next = r->buf;
    }
    size_t count = (size_t)r->left < n ? (size_t)r->left : n;
    memcpy(to, r->next, count);
    r->next += count;
    r->left -= count;
    return count;
}

static ssize_t read_line(reader_t *r, char *to, size_t maxlen)
{
    size_t n;
    for (n = 1; n < maxlen; n++) {
        char c;
        ssize_t rc = buffered_read(r, &c, 1);
        if (rc < 0)
            return -1;
        if (rc == 0) {
            if (n == 1)
                return 0;
            break;
        }
        *to++ = c;
        if (c == '\n') {
            n++;
            break;
        }
    }
    *to = 0;
    return n - 1;
}

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
