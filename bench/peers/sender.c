/*
 * A sender that never waits: sends whole lines of LEN bytes to the client that connects, for
 * SECONDS, and then closes. Usage: sender LEN SECONDS. Prints its port.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: sender LEN SECONDS\n");
        return 2;
    }
    size_t len = atoi(argv[1]), size = len * ((1 << 18) / len + 1);
    double seconds = atof(argv[2]);
    char *block = malloc(size);
    for (size_t i = 0; i < size; i++)
        block[i] = i % len == len - 1 ? '\n' : 'a' + i % 26;

    signal(SIGPIPE, SIG_IGN);
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t addrlen = sizeof addr;
    int listenfd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listenfd, (struct sockaddr *)&addr, addrlen) || listen(listenfd, 8) ||
        getsockname(listenfd, (struct sockaddr *)&addr, &addrlen)) {
        perror("listen");
        return 1;
    }
    printf("%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    for (;;) {
        int connfd = accept(listenfd, NULL, NULL);
        if (connfd < 0)
            continue;
        for (double end = now() + seconds; now() < end;) {
            size_t sent = 0;
            while (sent < size) {
                ssize_t n = write(connfd, block + sent, size - sent);
                if (n <= 0)
                    break;
                sent += n;
            }
            if (sent < size)
                break;
        }
        close(connfd);
    }
}
