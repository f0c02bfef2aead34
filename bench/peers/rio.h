/* The book's algorithm: reads a line byte by byte from an 8 KiB buffer. */
#pragma once
#include <errno.h>
#include <string.h>
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

static inline int write_all(int fd, const char *from, size_t n)
{
    while (n > 0) {
        ssize_t count = write(fd, from, n);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return -1;
        from += count;
        n -= count;
    }
    return 0;
}
