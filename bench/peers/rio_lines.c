/*
 * The book's algorithm: reads a line byte by byte from an 8 KiB buffer. Reads all that a
 * sender sends and prints "LINES BYTES SECONDS". Usage: rio_lines PORT.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "net.h"
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
    static reader_t r;
    static char line[MAXLINE];
    r.fd = open_clientfd(argv[1]);
    long lines = 0, bytes = 0;
    double start = now();
    for (ssize_t n; (n = read_line(&r, line, MAXLINE)) > 0;) {
        lines++;
        bytes += n;
    }
    printf("%ld %ld %f\n", lines, bytes, now() - start);
}
