/**
 * How long a cancelled call takes to return, in each phase of an exchange.
 *
 *     cancel ROUNDS CURL-ROUNDS
 *
 * One thread sends a request that gets stuck in the phase; another one waits until it is blocked there, notes the time
 * and fires the token. The first notes the time when its call returned. Servers of this program's own say nothing, and
 * its own getaddrinfo, which takes the place of libc's for the library as well, does not come back until the round
 * is over. Beside it, in the same rounds:
 *
 * floor  a thread in poll(2) that another one wakes by shutting its socket down: what the system itself takes
 * curl   an easy transfer whose progress callback asks to be ended, which is the way that libcurl has: it is asked
 *        when something happens and about once a second otherwise. Few rounds, as each takes that long. While the name
 *        is resolved it is ended when getaddrinfo has come back, which is made to take two seconds more.
 *
 * Prints for each phase, in milliseconds: the median; the worst; the worst less the time for which the thread that
 * was to return was ready to run and had no CPU (/proc/.../schedstat), which is other programs' doing; and how many
 * rounds were late (5 ms and more).
 */
#include "bench.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UPLOAD = 64 * 1024 * 1024, MOST_ROUNDS = 10000, WARM_UP = 5 };
enum { DEAF_FOR = 5 }; /* seconds after which a phase that was not reached is a failure of the benchmark */
enum { RESOLVER_HOLDS = 2 }; /* seconds for which a resolver does not answer curl after it was told to end */
static const double LATE = 0.005; /* seconds; such rounds are counted */

/* A resolver that does not answer. */

static pthread_mutex_t resolver = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static long release_count;
static atomic_int resolving;

/** Found before libc's, also by libhangup.so. No other name is looked up in this program. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    (void)host, (void)service, (void)hints, (void)found;
    pthread_mutex_lock(&resolver);
    long mine = release_count;
    atomic_fetch_add(&resolving, 1);
    while (mine == release_count) {
        pthread_cond_wait(&released, &resolver);
    }
    atomic_fetch_sub(&resolving, 1);
    pthread_mutex_unlock(&resolver);
    return EAI_AGAIN;
}

static void release_resolvers(void) {
    pthread_mutex_lock(&resolver);
    release_count++;
    pthread_cond_broadcast(&released);
    pthread_mutex_unlock(&resolver);
    while (atomic_load(&resolving) > 0) {
        usleep(100);
    }
}

/* Servers that say nothing. */

/** Listens on a free port of 127.0.0.1. */
static int listener(int backlog, int *port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int room = 64 * 1024; /* an upload shall get stuck soon */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        stop("can't listen");
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static int connected(int port, int flags) {
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
        stop("can't connect");
    }
    return fd;
}

/** A port to which connecting hangs: Linux drops a SYN when the accept queue is full. */
static int black_hole(void) {
    int port;
    listener(0, &port);
    for (int fillers = 0; fillers < 16; fillers++) {
        struct pollfd one = {.fd = connected(port, SOCK_NONBLOCK), .events = POLLOUT};
        if (poll(&one, 1, 100) == 0) {
            return port;
        }
    }
    stop("the accept queue does not fill up");
    return 0;
}

/* One round: the thread that sends and the thread that fires. */

typedef struct {
    const char *name;
    hangup_phase phase;
    hangup_connection_state state; /* what the connection list says when it is there */
    char url[128];
} phase;

static struct {
    pthread_barrier_t line;
    const phase *at;
    double fired, returned; /* seconds */
    double queued;          /* seconds between the two for which the thread could have run and had no CPU */
    char schedstat[64];     /* the file that says so of the thread that is to return */
    atomic_bool reading, end;
    hangup_client *client;
    hangup_manager *manager;
    hangup_cancel *token;
    uint8_t *upload;
    CURL *easy;
    atomic_int curl_shall_end;
} bench;

/** For how long the thread that is to return was ready to run but not running, ever. 0 if the kernel does not say. */
static double queued(void) {
    unsigned long long running = 0, waiting = 0;
    FILE *file = fopen(bench.schedstat, "r");
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &running, &waiting) != 2) {
            waiting = 0;
        }
        fclose(file);
    }
    return (double)waiting / 1e9;
}

/** Called first by each thread that is measured. */
static void is_measured(void) {
    snprintf(bench.schedstat, sizeof bench.schedstat, "/proc/self/task/%ld/schedstat", (long)gettid());
}

/** Called by the one that fires, at once before it does. */
static void fires(void) {
    bench.queued = queued();
    bench.fired = now();
}

/** Called by the one that was measured, when its call has returned. */
static void has_returned(void) {
    bench.returned = now();
    bench.queued = queued() - bench.queued;
}

static hangup_request *request_for(const phase *at) {
    hangup_error *error = NULL;
    hangup_request *request = NULL;
    int uploads = at->phase == HANGUP_PHASE_WRITE;
    check(hangup_request_new(uploads ? "POST" : "GET", at->url, &request, &error), at->url, &error);
    if (uploads) {
        check(hangup_request_set_body(request, bench.upload, UPLOAD, &error), "body", &error);
    }
    return request;
}

static void *send_hangup(void *unused) {
    (void)unused;
    is_measured();
    const phase *at = NULL;
    hangup_request *request = NULL;
    for (;;) {
        pthread_barrier_wait(&bench.line);
        if (bench.end) {
            hangup_request_free(request);
            return NULL;
        }
        if (at != bench.at) {
            at = bench.at;
            hangup_request_free(request);
            request = request_for(at);
        }
        hangup_request_set_cancel(request, bench.token);
        hangup_error *error = NULL;
        hangup_response *response = NULL;
        hangup_status status = hangup_client_send(bench.client, request, &response, &error);
        if (status == HANGUP_OK) {
            char body[64];
            size_t got = 0;
            status = hangup_response_read(response, body, sizeof body, &got, &error);
            if (status == HANGUP_OK) {
                bench.reading = true;
                status = hangup_response_read(response, body, sizeof body, &got, &error);
            }
        }
        has_returned();
        if (status != HANGUP_CANCELLED || hangup_error_phase(error) != at->phase) {
            stop("%s: %s in phase %s: %s", at->name, hangup_status_text(status),
                 hangup_phase_text(hangup_error_phase(error)), hangup_error_message(error));
        }
        hangup_error_free(error);
        hangup_response_free(response);
        pthread_barrier_wait(&bench.line);
    }
}

/** Whether the other thread's exchange is in its phase and, as far as can be seen, blocked. */
static int is_stuck(const phase *at) {
    if (at->phase == HANGUP_PHASE_RESOLVE) {
        return atomic_load(&resolving) > 0;
    }
    if (at->phase == HANGUP_PHASE_READ) {
        return bench.reading;
    }
    static uint64_t before;
    hangup_error *error = NULL;
    hangup_connections *list = NULL;
    check(hangup_manager_connections(bench.manager, &list, &error), "list", &error);
    hangup_connection_info info = {.size = sizeof info};
    int stuck = 0;
    if (hangup_connections_at(list, 0, &info) == HANGUP_OK && info.state == at->state) {
        stuck = at->phase == HANGUP_PHASE_CONNECT || (info.bytes_out > 0 && info.bytes_out == before);
        before = info.bytes_out;
    }
    hangup_connections_free(list);
    return stuck;
}

static void wait_until_stuck(const phase *at, long round) {
    double give_up = now() + DEAF_FOR;
    while (!is_stuck(at)) {
        if (now() > give_up) {
            stop("%s: not there after %d s", at->name, DEAF_FOR);
        }
        usleep(500);
    }
    /* Not always at the same moment of whatever else goes on. */
    usleep((useconds_t)(300 + round * 37 % 500));
}

/** What the silent server of the phase does in a round: nothing, or an answer that stops. Answers its socket. */
static int serve(const phase *at, int server) {
    if (at->phase != HANGUP_PHASE_READ) {
        return -1;
    }
    int fd = accept(server, NULL, NULL);
    static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc";
    char request[4096];
    if (recv(fd, request, sizeof request, 0) <= 0 || send(fd, HEAD, sizeof HEAD - 1, MSG_NOSIGNAL) < 0) {
        stop("%s: no request", at->name);
    }
    return fd;
}

/** Takes the round's connection out of the accept queue. */
static void clear(int server, int fd) {
    if (fd < 0 && server >= 0) {
        fd = accept4(server, NULL, NULL, SOCK_NONBLOCK);
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* The floor: a wake-up by a socket that is shut down. */

static int floor_pair[2];

static void *poll_floor(void *unused) {
    (void)unused;
    is_measured();
    for (;;) {
        pthread_barrier_wait(&bench.line);
        if (bench.end) {
            return NULL;
        }
        struct pollfd one = {.fd = floor_pair[0], .events = POLLIN};
        poll(&one, 1, -1);
        has_returned();
        pthread_barrier_wait(&bench.line);
    }
}

/* curl: a progress callback. */

static int curl_progress(void *unused, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)unused, (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&bench.curl_shall_end);
}

static size_t curl_took(char *data, size_t size, size_t count, void *unused) {
    (void)data, (void)unused;
    bench.reading = true;
    return size * count;
}

static void *send_curl(void *unused) {
    (void)unused;
    is_measured();
    for (;;) {
        pthread_barrier_wait(&bench.line);
        if (bench.end) {
            return NULL;
        }
        CURL *easy = curl_easy_init();
        curl_easy_setopt(easy, CURLOPT_URL, bench.at->url);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, curl_progress);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, curl_took);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        if (bench.at->phase == HANGUP_PHASE_WRITE) {
            curl_easy_setopt(easy, CURLOPT_POSTFIELDS, bench.upload);
            curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)UPLOAD);
        }
        CURLcode code = curl_easy_perform(easy);
        has_returned();
        if (code != CURLE_ABORTED_BY_CALLBACK) {
            stop("%s: curl: %s", bench.at->name, curl_easy_strerror(code));
        }
        curl_easy_cleanup(easy);
        pthread_barrier_wait(&bench.line);
    }
}

/* Rounds, and what came of them. */

static double took[MOST_ROUNDS], worst_running;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *who, const char *name, long rounds) {
    qsort(took, (size_t)rounds, sizeof *took, by_size);
    long late = 0;
    while (late < rounds && took[rounds - 1 - late] >= LATE) {
        late++;
    }
    printf("%s phase=%s rounds=%ld median_ms=%.4f worst_ms=%.4f running_ms=%.4f late=%ld\n", who, name, rounds,
           took[rounds / 2] * 1e3, took[rounds - 1] * 1e3, worst_running * 1e3, late);
    fflush(stdout);
}

/** Notes a round; those before 0 are not counted. */
static void note(long round) {
    double seconds = bench.returned - bench.fired, running = seconds - bench.queued;
    if (round >= 0) {
        took[round] = seconds;
        worst_running = round == 0 || running > worst_running ? running : worst_running;
    }
}

static pthread_t begin(void *(*run)(void *)) {
    pthread_t thread;
    bench.end = false;
    pthread_create(&thread, NULL, run, NULL);
    return thread;
}

static void end(pthread_t thread) {
    bench.end = true;
    pthread_barrier_wait(&bench.line);
    pthread_join(thread, NULL);
}

static void measure_hangup(const phase *at, int server, long rounds) {
    bench.at = at;
    pthread_t thread = begin(send_hangup);
    for (long round = -WARM_UP; round < rounds; round++) {
        bench.token = hangup_cancel_new();
        bench.reading = false;
        pthread_barrier_wait(&bench.line);
        int fd = serve(at, server);
        wait_until_stuck(at, round + WARM_UP);
        fires();
        hangup_cancel_fire(bench.token, "bench");
        pthread_barrier_wait(&bench.line);
        note(round);
        hangup_cancel_free(bench.token);
        release_resolvers();
        /* A dial goes on for a moment in the background: the next round begins with one of its own. */
        size_t closed = 0;
        hangup_manager_close_all(bench.manager, HANGUP_CLOSE_MODE_NOW, &closed);
        clear(server, fd);
    }
    end(thread);
    report("hangup", at->name, rounds);
}

static void measure_floor(long rounds) {
    pthread_t thread = begin(poll_floor);
    for (long round = -WARM_UP; round < rounds; round++) {
        socketpair(AF_UNIX, SOCK_STREAM, 0, floor_pair);
        pthread_barrier_wait(&bench.line);
        usleep((useconds_t)(800 + (round + WARM_UP) * 37 % 500));
        fires();
        shutdown(floor_pair[0], SHUT_RDWR);
        pthread_barrier_wait(&bench.line);
        note(round);
        close(floor_pair[0]);
        close(floor_pair[1]);
    }
    end(thread);
    report("floor", "poll", rounds);
}

static void measure_curl(const phase *at, int server, long rounds) {
    bench.at = at;
    pthread_t thread = begin(send_curl);
    for (long round = 0; round < rounds; round++) {
        bench.reading = false;
        bench.curl_shall_end = 0;
        pthread_barrier_wait(&bench.line);
        int fd = serve(at, server);
        usleep((useconds_t)(300000 + round * 170000)); /* at different moments of curl's second */
        fires();
        bench.curl_shall_end = 1;
        if (at->phase == HANGUP_PHASE_RESOLVE) {
            sleep(RESOLVER_HOLDS);
            release_resolvers();
        }
        pthread_barrier_wait(&bench.line);
        note(round);
        clear(server, fd);
    }
    end(thread);
    report("curl", at->name, rounds);
}

int main(int argc, char **argv) {
    long rounds = argc > 2 ? atol(argv[1]) : 0, curl_rounds = argc > 2 ? atol(argv[2]) : 0;
    if (rounds < 1 || rounds > MOST_ROUNDS || curl_rounds > rounds) {
        stop("usage: %s ROUNDS CURL-ROUNDS", argv[0]);
    }
    int port, server = listener(16, &port), hole = black_hole();
    static phase phases[] = {
        {"resolve", HANGUP_PHASE_RESOLVE, HANGUP_CONNECTION_STATE_RESOLVING, "http://blocked.invalid/"},
        {"connect", HANGUP_PHASE_CONNECT, HANGUP_CONNECTION_STATE_CONNECTING, ""},
        {"tls", HANGUP_PHASE_TLS, HANGUP_CONNECTION_STATE_TLS, ""},
        {"write", HANGUP_PHASE_WRITE, HANGUP_CONNECTION_STATE_IN_USE, ""},
        {"head", HANGUP_PHASE_HEAD, HANGUP_CONNECTION_STATE_IN_USE, ""},
        {"read", HANGUP_PHASE_READ, HANGUP_CONNECTION_STATE_IN_USE, ""},
    };
    const size_t count = sizeof phases / sizeof *phases;
    for (size_t p = 1; p < count; p++) {
        int secure = phases[p].phase == HANGUP_PHASE_TLS;
        snprintf(phases[p].url, sizeof phases[p].url, "%s://127.0.0.1:%d/", secure ? "https" : "http",
                 phases[p].phase == HANGUP_PHASE_CONNECT ? hole : port);
    }
    bench.upload = calloc(1, UPLOAD);
    pthread_barrier_init(&bench.line, NULL, 2);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    hangup_error *error = NULL;
    check(hangup_manager_new(NULL, &bench.manager, &error), "manager", &error);
    check(hangup_client_new(bench.manager, &bench.client, &error), "client", &error);
    check(hangup_client_set_tls_dangerously_accept_any_certificate(bench.client, 1, &error), "tls", &error);

    measure_floor(rounds);
    for (size_t p = 0; p < count; p++) {
        int with = phases[p].phase == HANGUP_PHASE_RESOLVE || phases[p].phase == HANGUP_PHASE_CONNECT ? -1 : server;
        measure_hangup(&phases[p], with, rounds);
        if (curl_rounds > 0) {
            measure_curl(&phases[p], with, phases[p].phase == HANGUP_PHASE_RESOLVE ? 1 : curl_rounds);
        }
    }
    measure_floor(rounds);
    hangup_client_free(bench.client);
    hangup_manager_free(bench.manager);
    return 0;
}
