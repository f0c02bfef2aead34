/* The echo client: a line from standard input, out, back, and to standard output. */
#include "csapp.h"

int main(int argc, char **argv)
{
    char buf[MAXLINE];
    rio_t rio;
    int clientfd = Open_clientfd(argc > 1 ? argv[1] : "localhost", argc > 2 ? argv[2] : "15213");

    rio_readinitb(&rio, clientfd);
    while (fgets(buf, MAXLINE, stdin) != NULL) {
        Rio_writen(clientfd, buf, strlen(buf));
        Rio_readlineb(&rio, buf, MAXLINE);
        fputs(buf, stdout);
    }
    Close(clientfd);
    return 0;
}
