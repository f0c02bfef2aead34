/*
 * The book's echo client, with its byte-by-byte RIO: a line out, a line back, and printed.
 * Usage: lockstep_client PORT < FILE
 */
#include <stdio.h>

#include "net.h"
#include "rio.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: lockstep_client PORT\n");
        return 2;
    }
    static reader_t r;
    static char line[MAXLINE];
    r.fd = open_clientfd(argv[1]);
    while (fgets(line, MAXLINE, stdin) != NULL) {
        if (write_all(r.fd, line, strlen(line)) || read_line(&r, line, MAXLINE) <= 0)
            return 1;
        fputs(line, stdout);
    }
}
