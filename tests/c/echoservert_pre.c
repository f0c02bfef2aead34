/* The prethreaded echo server: four threads, and a bounded buffer of descriptors. */
#include "csapp.h"

#define NTHREADS 4
#define SBUFSIZE 16

static int sbuf[SBUFSIZE];
static unsigned front, rear;
static sem_t mutex, slots, items;

static void sbuf_insert(int item)
{
    sem_wait(&slots);
    sem_wait(&mutex);
    sbuf[rear++ % SBUFSIZE] = item;
    sem_post(&mutex);
    sem_post(&items);
}

static int sbuf_remove(void)
{
    int item;

    sem_wait(&items);
    sem_wait(&mutex);
    item = sbuf[front++ % SBUFSIZE];
    sem_post(&mutex);
    sem_post(&slots);
    return item;
}

static void *thread(void *vargp)
{
    (void)vargp;
    pthread_detach(pthread_self());
    for (;;) {
        int connfd = sbuf_remove();
        echo(connfd);
        Close(connfd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int i, listenfd = Open_listenfd(argc > 1 ? argv[1] : "15213");
    pthread_t tid;

    sem_init(&mutex, 0, 1);
    sem_init(&slots, 0, SBUFSIZE);
    sem_init(&items, 0, 0);
    for (i = 0; i < NTHREADS; i++)
        pthread_create(&tid, NULL, thread, NULL);
    for (;;)
        sbuf_insert(Accept(listenfd));
}
