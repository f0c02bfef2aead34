/* An iterative echo server that ignores SIGPIPE and takes an error of read for EOF. Its second
   argument says what is wrong with it; nothing, if there is none, or if it waits for its children
   twice in a second ("lazy") or only before it accepts ("late"). */
#include "csapp.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/time.h>

static const char *wrong = "";
char *kept; /* not static, or the compiler sees that nobody reads it */

static int is(const char *name)
{
    return strcmp(wrong, name) == 0;
}

static int listen_on(int port)
{
    int listenfd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in addr;

    if (!is("reuse"))
        setsockopt(listenfd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    memset(&addr, 0, sizeof addr);
    addr.sin_family = AF_INET;
    addr.sin_port = htons(port);
    if (bind(listenfd, (SA *)&addr, sizeof addr) < 0 || listen(listenfd, LISTENQ) < 0)
        unix_error("listen_on error");
    return listenfd;
}

static void serve(int connfd)
{
    char buf[MAXLINE];
    rio_t rio;
    ssize_t n;

    rio_readinitb(&rio, connfd);
    while ((n = rio_readlineb(&rio, buf, MAXLINE)) > 0) {
        printf("server received %d bytes\n", is("count") ? (int)strlen(buf) : (int)n);
        if (rio_writen(connfd, buf, n) < 0)
            break;
    }
    if (is("resets") && n < 0)
        return;
    if (is("descriptors"))
        open("/dev/null", O_RDONLY);
    if (is("memory"))
        memset(kept = malloc(MAXLINE), 1, MAXLINE);
    close(connfd);
}

static void reap(int sig)
{
    (void)sig;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(int argc, char **argv)
{
    int listenfd;
    struct itimerval half_a_second = { { 0, 500000 }, { 0, 500000 } };

    if (argc > 2)
        wrong = argv[2];
    listenfd = listen_on(atoi(argv[1]));
    signal(SIGPIPE, SIG_IGN);
    if (is("sigterm"))
        signal(SIGTERM, SIG_IGN);
    if (is("lazy")) {
        signal(SIGALRM, reap);
        setitimer(ITIMER_REAL, &half_a_second, NULL);
    }
    if (is("busy"))
        fcntl(listenfd, F_SETFL, O_NONBLOCK);
    for (;;) {
        int connfd = accept(listenfd, NULL, NULL);
        if (connfd < 0)
            continue;
        if (is("late"))
            reap(0);
        if ((is("zombies") || is("lazy") || is("late")) && fork() == 0) {
            if (is("late"))
                usleep(100000);
            _exit(0);
        }
        serve(connfd);
    }
}
