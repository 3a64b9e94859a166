/**
 * A server for what nginx does not do: bodies in chunks of a chosen size.
 *
 *     chunk_server SECONDS
 *
 * Listens on a free port of 127.0.0.1 and prints it. It ends after SECONDS, or with the process that started it.
 *
 *     GET /chunks/SIZE/TOTAL   TOTAL bytes in chunks of SIZE, which divides it; sent in pieces of 256 KiB or more
 *
 * A thread for each connection, 64 at most; a request whose head is larger than 16 KiB, or anything else, ends its connection.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 16 * 1024, ROOM = 256 * 1024, CONNECTIONS = 64 };

typedef struct {
    int fd;
    char *at;    /* in `in`: what is not used up, */
    size_t have; /* and how many bytes that is */
    char in[HEAD + 1];
    char *block; /* whole chunks, and of which size */
    long block_size, chunk, in_block;
} connection;

static atomic_int open_connections;

static int send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return 0;
        }
        data += sent;
        size -= (size_t)sent;
    }
    return 1;
}

static int receive(connection *c) {
    memmove(c->in, c->at, c->have);
    c->at = c->in;
    ssize_t got = recv(c->fd, c->in + c->have, HEAD - c->have, 0);
    if (got <= 0) {
        return 0;
    }
    c->have += (size_t)got;
    c->in[c->have] = 0;
    return 1;
}

static void use_up(connection *c, size_t size) {
    c->at += size;
    c->have -= size;
}

/** As many chunks of this size as make up 256 KiB, at least one. */
static void prepare_block(connection *c, long chunk) {
    if (c->chunk == chunk) {
        return;
    }
    free(c->block);
    c->chunk = chunk;
    c->in_block = chunk < ROOM ? ROOM / chunk : 1;
    c->block = malloc((size_t)c->in_block * (size_t)(chunk + 24));
    c->block_size = 0;
    for (long i = 0; i < c->in_block; i++) {
        c->block_size += sprintf(c->block + c->block_size, "%lx\r\n", chunk);
        memset(c->block + c->block_size, 'x', (size_t)chunk);
        c->block_size += chunk;
        c->block_size += sprintf(c->block + c->block_size, "\r\n");
    }
}

static int send_chunks(connection *c, long chunk, long total) {
    static const char HEAD_OF_IT[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", END[] = "0\r\n\r\n";
    prepare_block(c, chunk);
    long chunks = total / chunk, one = c->block_size / c->in_block;
    if (!send_all(c->fd, HEAD_OF_IT, sizeof HEAD_OF_IT - 1)) {
        return 0;
    }
    while (chunks > 0) {
        long now = chunks < c->in_block ? chunks : c->in_block;
        if (!send_all(c->fd, c->block, (size_t)(now * one))) {
            return 0;
        }
        chunks -= now;
    }
    return send_all(c->fd, END, sizeof END - 1);
}

/** Reads one request and responds; 0 if the connection is at its end. */
static int serve(connection *c) {
    char *end;
    long chunk, total;
    while ((end = strstr(c->at, "\r\n\r\n")) == NULL) {
        if (c->have >= HEAD || !receive(c)) {
            return 0;
        }
    }
    if (sscanf(c->at, "GET /chunks/%ld/%ld ", &chunk, &total) != 2 || chunk < 1 || chunk > 16 * 1024 * 1024) {
        return 0;
    }
    use_up(c, (size_t)(end + 4 - c->at));
    return total % chunk == 0 && send_chunks(c, chunk, total);
}

static void *work(void *with) {
    connection *c = with;
    while (serve(c)) {
    }
    close(c->fd);
    free(c->block);
    free(c);
    open_connections--;
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2 || atoi(argv[1]) < 1) {
        stop("usage: %s SECONDS", argv[0]);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm((unsigned)atoi(argv[1]));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 128) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &size) != 0) {
        stop("no socket to listen on");
    }
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 || open_connections >= CONNECTIONS) {
            close(fd);
            usleep(1000);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->at = c->in;
        open_connections++;
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, c) != 0) {
            stop("no thread");
        }
        pthread_detach(thread);
    }
}
