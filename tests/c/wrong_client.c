/* An echo client that ends as it should. Its third argument says what is wrong with it; nothing, if
   there is none. */
#include "csapp.h"
#include <poll.h>

static const char *wrong = "";
static int lines = 0; /* that have come back */

static int is(const char *name)
{
    return strcmp(wrong, name) == 0;
}

/* Prints what still comes, when the server has been told that no more will. */
static void drain(rio_t *rp)
{
    char buf[MAXLINE];
    ssize_t n;

    if (!is("no FIN"))
        shutdown(rp->rio_fd, SHUT_WR);
    while ((n = rio_readlineb(rp, buf, MAXLINE)) > 0) {
        fwrite(buf, 1, n, stdout);
        if (is("adds") && buf[n - 1] != '\n')
            putchar('\n');
        while (is("extra") && lines > 0)
            pause();
    }
}

/* Reads a line, or a part of one, with whatever bytes it has. */
static size_t get(char *buf)
{
    size_t n = 0;
    int c;

    while (n < MAXLINE - 1 && (c = getchar()) != EOF) {
        buf[n++] = c;
        if (c == '\n')
            break;
    }
    return n;
}

int main(int argc, char **argv)
{
    char buf[MAXLINE];
    rio_t rio;
    size_t sent;
    ssize_t n;
    int failed = 0;
    int clientfd = Open_clientfd(argv[1], argv[2]);

    if (argc > 3)
        wrong = argv[3];
    signal(SIGPIPE, SIG_IGN);
    rio_readinitb(&rio, clientfd);
    while ((sent = get(buf)) > 0 && !(is("one") && lines == 1)) {
        struct pollfd answer = { clientfd, POLLIN, 0 };
        struct pollfd both[] = { answer, { STDIN_FILENO, POLLIN, 0 } };
        if (is("empty") && buf[0] == '\n')
            continue;
        if (rio_writen(clientfd, buf, sent) < 0)
            break;
        if (is("long") && sent == MAXLINE - 1)
            while (getchar() != '\n')
                ;
        if (buf[sent - 1] != '\n' && sent < MAXLINE - 1 && !is("newline")) {
            drain(&rio);
            break;
        }
        while (is("busy") && poll(&answer, 1, 0) == 0)
            ;
        while (is("busy at end") && poll(both, 2, -1) > 0 && !both[0].revents)
            ;
        n = is("read") ? read(clientfd, buf, MAXLINE) : rio_readlineb(&rio, buf, MAXLINE);
        if (n == 0 && !is(lines > 0 ? "stale" : "stale at once"))
            break;
        if (n < 0)
            failed = !is("exit");
        if (n < 0 && !is("reset"))
            break;
        lines++;
        if (is("lines") && lines == 3)
            continue;
        if (is("format") && n > 0 && memchr(buf, '%', n) != NULL)
            fputs("100 0 \n", stdout); /* as printf(buf) may */
        else if (is("nul"))
            fwrite(buf, 1, strnlen(buf, n), stdout);
        else
            fwrite(buf, 1, n > 0 && !is("count") ? (size_t)n : sent, stdout);
    }
    if (!is("read"))
        drain(&rio);
    return failed;
}
