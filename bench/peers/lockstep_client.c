/*
 * The book's echo client, with its byte-by-byte RIO: a line out, a line back, and printed.
 * Usage: lockstep_client PORT < FILE
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "rio.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: lockstep_client PORT\n");
        return 2;
    }
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(atoi(argv[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static reader_t r;
    static char line[MAXLINE];
    int one = 1;
    r.fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(r.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(r.fd, (struct sockaddr *)&addr, sizeof addr)) {
        perror("connect");
        return 1;
    }
    while (fgets(line, MAXLINE, stdin) != NULL) {
        if (write_all(r.fd, line, strlen(line)) || read_line(&r, line, MAXLINE) <= 0)
            return 1;
        fputs(line, stdout);
    }
}
