/**
 * What an exchange in flight costs in memory, held by the library's own thread.
 *
 *     inflight_memory head|tls|flight|read EXCHANGES DIRECTORY
 *
 * head    the request is sent, and the server says nothing
 * tls     the server takes the ClientHello and says nothing
 * flight  the server has sent all of its first flight but the last byte: its certificate was looked at, and the
 *         handshake is not over
 * read    the responses stream, with a submitted read outstanding in each: the server sends a byte to one after the
 *         other, a thousand in a second
 *
 * The server is a child process, so that its memory does not count; it takes cert.pem and key.pem from DIRECTORY, where
 * the client takes root.pem (certificates.sh makes them). Ten exchanges that are not counted pay for what is there
 * once. Then EXCHANGES are begun; when all are as far as they come, this process's anonymous memory (smaps_rollup) is
 * looked at, stacks included. What the kernel holds for a socket is not in it.
 *
 * Prints the bytes that each of them added and how many threads there are. For `read`, how many bytes are read in a second
 * then, and the CPU that takes. Then all are cancelled: how long until all had ended and were freed, and for how long
 * something was open after that; and how many of the bytes are still there half a second and two seconds later, as a
 * share of what was added, and after malloc_trim(3) as well, which gives back what the allocator keeps.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WARM_UP = 10, DRIPS_A_SECOND = 1000, ROOM = 16 * 1024, AT_ONCE = 500 };
enum { DEAF_FOR = 30 }; /* seconds after which something that does not happen is a failure of the benchmark */

static const char *mode;
static long exchanges;

/* The server: a process of its own. */

/** How many connections have been served as far as they are: written by the server, read by its parent. */
static long *served;

/** A connection of the server's: where its handshake is. */
typedef struct {
    int fd;
    int is_served;
    SSL *tls;
} peer;

static SSL_CTX *certified(const char *directory) {
    char path[4096];
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    snprintf(path, sizeof path, "%s/cert.pem", directory);
    int good = SSL_CTX_use_certificate_chain_file(context, path);
    snprintf(path, sizeof path, "%s/key.pem", directory);
    if (good != 1 || SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) != 1) {
        stop("no certificate in %s", directory);
    }
    return context;
}

/** Answers a ClientHello with a whole flight, less its last byte; a part of one with nothing. */
static void send_flight(peer *p, const char *hello, size_t size, SSL_CTX *context) {
    if (p->tls == NULL) {
        p->tls = SSL_new(context);
        SSL_set_bio(p->tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_accept_state(p->tls);
    }
    BIO_write(SSL_get_rbio(p->tls), hello, (int)size);
    SSL_do_handshake(p->tls);
    ERR_clear_error();
    char flight[16 * 1024];
    int got = BIO_read(SSL_get_wbio(p->tls), flight, sizeof flight);
    if (got <= 0) {
        return;
    }
    if (send(p->fd, flight, (size_t)got - 1, MSG_NOSIGNAL) != got - 1) {
        stop("server: can't send the flight");
    }
    SSL_free(p->tls);
    p->tls = NULL;
    p->is_served = 1;
    ++*served;
}

/** What the server does with what came. Answers whether the connection is to be dripped to. */
static int serve(peer *p, SSL_CTX *context) {
    static const char STREAM[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    char came[16 * 1024];
    ssize_t got = recv(p->fd, came, sizeof came, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) {
        return 0;
    }
    if (got <= 0) {
        close(p->fd);
        p->fd = -1;
        return 0;
    }
    if (p->is_served) {
        return 0; /* the second record of a client that pretends to be of TLS 1.2 (RFC 8446, D.4) */
    }
    if (strcmp(mode, "flight") == 0) {
        send_flight(p, came, (size_t)got, context);
        return 0;
    }
    p->is_served = 1;
    ++*served;
    if (strcmp(mode, "read") != 0) {
        return 0;
    }
    if (send(p->fd, STREAM, sizeof STREAM - 1, MSG_NOSIGNAL) < 0) {
        stop("server: can't send the head");
    }
    return 1;
}

static void be_server(int listener, const char *directory) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    SSL_CTX *context = certified(directory);
    peer *peers = calloc((size_t)exchanges + 2 * WARM_UP, sizeof *peers);
    long count = 0, dripping = 0, next = 0;
    peer **dripped = calloc((size_t)exchanges + 2 * WARM_UP, sizeof *dripped);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event readable = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &readable);
    double due = now();
    for (;;) {
        struct epoll_event ready[256];
        int ended = epoll_wait(poller, ready, 256, dripping > 0 ? 10 : -1);
        for (int i = 0; i < ended; i++) {
            peer *p = ready[i].data.ptr;
            if (p != NULL) {
                if (serve(p, context)) {
                    dripped[dripping++] = p;
                }
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0 || count == exchanges + 2 * WARM_UP) {
                stop("server: can't accept another one");
            }
            p = &peers[count++];
            p->fd = fd;
            readable.data.ptr = p;
            epoll_ctl(poller, EPOLL_CTL_ADD, fd, &readable);
        }
        if (dripping == 0 || now() < due) {
            continue;
        }
        due = now() + 0.01;
        for (int i = 0; i < DRIPS_A_SECOND / 100; i++) {
            int fd = dripped[next++ % dripping]->fd;
            if (fd >= 0) {
                send(fd, "b", 1, MSG_NOSIGNAL);
            }
        }
    }
}

/** Begins the server; answers its port. */
static int begin_server(const char *directory) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 4096) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        stop("can't listen");
    }
    served = mmap(NULL, sizeof *served, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (served == MAP_FAILED) {
        stop("no memory to share");
    }
    pid_t child = fork();
    if (child == 0) {
        be_server(listener, directory);
    }
    if (child < 0) {
        stop("no server");
    }
    close(listener);
    return ntohs(address.sin_port);
}

/* This process. */

/** Bytes of anonymous memory that are there: heap and stacks. */
static double anonymous(void) {
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    double kilobytes = -1;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Anonymous: %lf kB", &kilobytes) == 1) {
            break;
        }
    }
    if (kilobytes < 0) {
        stop("no smaps_rollup");
    }
    fclose(file);
    return kilobytes * 1024;
}

static int threads(void) {
    DIR *directory = opendir("/proc/self/task");
    int count = -2; /* . and .. */
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

static hangup_manager *manager;
static hangup_client *client;
static hangup_request *request;
static hangup_queue *queue;
static hangup_response **responses; /* by tag */
static long answered, bytes_read;

static hangup_stats stats(void) {
    hangup_stats now = {.size = sizeof now};
    if (hangup_manager_stats(manager, &now) != HANGUP_OK) {
        stop("no stats");
    }
    return now;
}

static void submit_read(uint64_t tag) {
    hangup_error *error = NULL;
    check(hangup_response_submit_read(responses[tag], ROOM, queue, tag, &error), "submit_read", &error);
}

/** Takes what ended until `enough` have or the time is over; answers how many. With `cancelled`, each must have been
 * that, or a piece that was read before; else each must be a response or a piece of one, and the next piece is asked
 * for. */
static long take(long enough, double seconds, int cancelled) {
    double until = now() + seconds;
    long taken = 0;
    while (taken < enough && now() < until) {
        hangup_completion ended = {.size = sizeof ended};
        hangup_status status = hangup_queue_next(queue, (int64_t)((until - now()) * 1e3) + 1, &ended);
        if (status == HANGUP_TIMED_OUT) {
            break;
        }
        if (status != HANGUP_OK) {
            stop("next: %s", hangup_status_text(status));
        }
        taken++;
        if (cancelled) {
            if (ended.status != HANGUP_CANCELLED &&
                (ended.status != HANGUP_OK || ended.type != HANGUP_COMPLETION_TYPE_READ)) {
                stop("%s instead of CANCELLED: %s", hangup_status_text(ended.status),
                     hangup_error_message(ended.error));
            }
            hangup_error_free(ended.error);
            continue;
        }
        check((hangup_status)ended.status, "exchange", &ended.error);
        if (ended.response != NULL) {
            responses[ended.tag] = ended.response;
            answered++;
        } else {
            bytes_read += (long)ended.data_size;
        }
        submit_read(ended.tag);
    }
    return taken;
}

/** Begins so many exchanges, not too many at once, and waits until they are as far as they come. */
static void begin_exchanges(long count) {
    double give_up = now() + DEAF_FOR;
    long served_before = *served;
    answered = 0;
    for (long i = 0; i < count;) {
        long end = i + AT_ONCE < count ? i + AT_ONCE : count;
        for (; i < end; i++) {
            hangup_error *error = NULL;
            check(hangup_client_submit(client, request, queue, (uint64_t)i, &error), "submit", &error);
        }
        while (__atomic_load_n(served, __ATOMIC_RELAXED) - served_before < i ||
               (strcmp(mode, "read") == 0 && answered < i)) {
            if (now() > give_up) {
                stop("%s: not there after %d s", mode, DEAF_FOR);
            }
            take(AT_ONCE, 0.01, 0);
        }
    }
    /* The last step inside the library can't be seen from outside. */
    take(LONG_MAX, 1, 0);
}

/** Cancels all of them and takes what is left of them; answers for how long something was still open after that: dials
 * are given up in the background. */
static double end_exchanges(hangup_cancel *token, long count) {
    hangup_cancel_fire(token, NULL);
    long taken = take(count, DEAF_FOR, 1);
    if (taken != count) {
        stop("%ld of %ld ended", taken, count);
    }
    for (long i = 0; i < count; i++) {
        hangup_response_free(responses[i]);
        responses[i] = NULL;
    }
    double taken_at = now(), give_up = taken_at + DEAF_FOR;
    while (stats().open > 0) {
        if (now() > give_up) {
            stop("%llu connections are still open", (unsigned long long)stats().open);
        }
        usleep(1000);
    }
    return now() - taken_at;
}

static hangup_cancel *new_token(void) {
    hangup_cancel *token = hangup_cancel_new();
    hangup_request_set_cancel(request, token);
    return token;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        stop("usage: %s head|tls|flight|read EXCHANGES DIRECTORY", argv[0]);
    }
    mode = argv[1];
    exchanges = atol(argv[2]);
    int secure = strcmp(mode, "tls") == 0 || strcmp(mode, "flight") == 0, reads = strcmp(mode, "read") == 0;
    if ((!secure && !reads && strcmp(mode, "head") != 0) || exchanges < WARM_UP) {
        stop("mode %s, %ld exchanges", mode, exchanges);
    }
    allow_descriptors();
    int port = begin_server(argv[3]);
    char url[128], roots[4096];
    snprintf(url, sizeof url, "%s://127.0.0.1:%d/", secure ? "https" : "http", port);
    snprintf(roots, sizeof roots, "%s/root.pem", argv[3]);
    responses = calloc((size_t)exchanges, sizeof(void *));
    memset(responses, 0, (size_t)exchanges * sizeof(void *));

    hangup_error *error = NULL;
    check(hangup_manager_new(NULL, &manager, &error), "manager", &error);
    check(hangup_client_new(manager, &client, &error), "client", &error);
    check(hangup_client_set_tls_roots_file(client, roots, &error), roots, &error);
    check(hangup_client_set_timeout(client, HANGUP_TIMEOUT_TLS, HANGUP_NO_LIMIT, &error), "timeout", &error);
    check(hangup_request_new("GET", url, &request, &error), url, &error);
    queue = hangup_queue_new();
    hangup_cancel *token = new_token();
    begin_exchanges(WARM_UP);
    end_exchanges(token, WARM_UP);
    hangup_cancel_free(token);

    token = new_token();
    double before = anonymous();
    begin_exchanges(exchanges);
    double added = anonymous() - before;
    int running = threads();
    printf("exchanges=%ld bytes=%.0f threads=%d", exchanges, added / (double)exchanges, running);
    if (reads) {
        bytes_read = 0;
        usage at = used();
        take(LONG_MAX, 2, 0);
        usage took = used_since(at);
        printf(" read_bytes_s=%.0f cpu_ms_s=%.2f later=%.0f", (double)bytes_read / took.wall,
               (took.user + took.kernel) / took.wall * 1e3, (anonymous() - before) / (double)exchanges);
    }
    double begin = now();
    double open = end_exchanges(token, exchanges);
    printf(" end_ms=%.1f open_ms=%.1f", (now() - begin - open) * 1e3, open * 1e3);
    hangup_cancel_free(token);
    usleep(500000);
    printf(" left_soon=%.4f", (anonymous() - before) / added);
    usleep(1500000);
    printf(" left=%.4f", (anonymous() - before) / added);
    malloc_trim(0);
    printf(" left_trimmed=%.4f\n", (anonymous() - before) / added);
    hangup_queue_free(queue);
    hangup_request_free(request);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return 0;
}
