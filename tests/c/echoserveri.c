/* The iterative echo server: one client after the other. */
#include "csapp.h"

int main(int argc, char **argv)
{
    int listenfd = Open_listenfd(argc > 1 ? argv[1] : "15213");

    for (;;) {
        int connfd = Accept(listenfd);
        echo(connfd);
        Close(connfd);
    }
}
