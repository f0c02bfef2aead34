/* The echo server with a thread a client. */
#include "csapp.h"

static void *thread(void *vargp)
{
    int connfd = *(int *)vargp;

    pthread_detach(pthread_self());
    free(vargp);
    echo(connfd);
    Close(connfd);
    return NULL;
}

int main(int argc, char **argv)
{
    int listenfd = Open_listenfd(argc > 1 ? argv[1] : "15213");

    for (;;) {
        pthread_t tid;
        int *connfdp = malloc(sizeof(int));
        *connfdp = Accept(listenfd);
        pthread_create(&tid, NULL, thread, connfdp);
    }
}
