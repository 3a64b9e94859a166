/**
 * How long a cancelled exchange takes to end while many others are in flight, and how a thousand are cancelled at once.
 *
 *     inflight_cancel URL IN-FLIGHT ROUNDS
 *
 * IN-FLIGHT small GETs of URL are always under way through a queue that a thread of its own takes from, each begun by the
 * end of another one. In each round one more exchange waits for a server that says nothing, with a queue of its own on
 * which a second thread is blocked; its token is fired, and the time is noted when that thread has taken the completion
 * (`own`). The rounds are repeated with the one exchange on the queue of all the others, where its completion stands in
 * line behind theirs (`shared`), and with nothing else under way (`alone`).
 *
 * Prints for each of them, in milliseconds: the median; the worst; the worst less the time for which the thread that
 * takes it, or the library's, was ready to run and had no CPU (/proc/.../schedstat). Then IN-FLIGHT exchanges wait for the silent server and
 * are cancelled at once, by a token each (`each`) and by one token for all of them (`one`): milliseconds until the last
 * one was taken, medians of a few rounds. Each must end exactly once and as HANGUP_CANCELLED, and the manager must have
 * nothing open afterwards; whatever else is a failure of the benchmark.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_ROUNDS = 10000, WARM_UP = 5, AT_ONCE_ROUNDS = 5, THE_ONE = 1000000000 };
enum { DEAF_FOR = 30 }; /* seconds after which something that does not happen is a failure of the benchmark */

static hangup_manager *manager, *silent_manager;
static hangup_client *client, *silent_client;
static hangup_queue *busy_queue, *own_queue;
static hangup_request *busy_request, *silent_request;

/** The kernel's file that says how long a thread waited for a CPU. */
typedef char schedstat[64];

/** Called by the thread that takes the completion. */
static void is_measured(schedstat its) {
    snprintf(its, sizeof(schedstat), "/proc/self/task/%ld/schedstat", (long)gettid());
}

/** The same of the library's own thread. */
static void find_library_thread(schedstat its) {
    DIR *directory = opendir("/proc/self/task");
    for (struct dirent *task; directory != NULL && (task = readdir(directory)) != NULL;) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (file != NULL && fgets(name, sizeof name, file) != NULL && strcmp(name, "hangup-io\n") == 0) {
            snprintf(its, sizeof(schedstat), "/proc/self/task/%.20s/schedstat", task->d_name);
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    closedir(directory);
}

/** For how long it was ready to run but not running, ever. 0 if the kernel does not say. */
static double queued(schedstat its) {
    unsigned long long running = 0, waiting = 0;
    FILE *file = fopen(its, "r");
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &running, &waiting) != 2) {
            waiting = 0;
        }
        fclose(file);
    }
    return (double)waiting / 1e9;
}

/* The one that is cancelled. */

static struct {
    sem_t begun, ended; /* a round */
    double fired, returned;
    double queued; /* seconds between the two for which that thread or the library's could have run and had no CPU */
    schedstat own, busy, library;
    atomic_bool end;
} one;

static void has_ended(hangup_completion *ended, schedstat its) {
    one.returned = now();
    one.queued = queued(its) + queued(one.library) - one.queued;
    if (ended->status != HANGUP_CANCELLED || ended->tag != THE_ONE) {
        stop("%s: %s", hangup_status_text(ended->status), hangup_error_message(ended->error));
    }
    hangup_error_free(ended->error);
    sem_post(&one.ended);
}

static void *take_own(void *unused) {
    (void)unused;
    is_measured(one.own);
    for (;;) {
        sem_wait(&one.begun);
        if (one.end) {
            return NULL;
        }
        hangup_completion ended = {.size = sizeof ended};
        hangup_status status = hangup_queue_next(own_queue, DEAF_FOR * 1000, &ended);
        if (status != HANGUP_OK) {
            stop("next: %s", hangup_status_text(status));
        }
        has_ended(&ended, one.own);
    }
}

/* The others. */

static atomic_bool busy_end;
static atomic_long busy_ended;

static void submit_busy(uint64_t tag) {
    hangup_error *error = NULL;
    check(hangup_client_submit(client, busy_request, busy_queue, tag, &error), "submit", &error);
}

static void *take_busy(void *in_flight) {
    long left = *(long *)in_flight;
    is_measured(one.busy);
    for (long i = 0; i < left; i++) {
        submit_busy((uint64_t)i);
    }
    while (left > 0) {
        hangup_completion ended = {.size = sizeof ended};
        hangup_status status = hangup_queue_next(busy_queue, DEAF_FOR * 1000, &ended);
        if (status != HANGUP_OK) {
            stop("next: %s", hangup_status_text(status));
        }
        if (ended.tag == THE_ONE) {
            has_ended(&ended, one.busy);
            continue;
        }
        check((hangup_status)ended.status, "exchange", &ended.error);
        if (hangup_response_status_code(ended.response) != 200) {
            stop("status %d", (int)hangup_response_status_code(ended.response));
        }
        hangup_response_free(ended.response);
        busy_ended++;
        if (busy_end) {
            left--;
        } else {
            submit_busy(ended.tag);
        }
    }
    return NULL;
}

/* The server that sends nothing: it does not accept. */

static int silent_server(int *port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        stop("can't listen");
    }
    *port = ntohs(address.sin_port);
    return fd;
}

/** Takes all connections out of the accept queue. */
static void clear(int server) {
    int fd;
    while ((fd = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        close(fd);
    }
}

static hangup_stats stats(void) {
    hangup_stats at = {.size = sizeof at};
    if (hangup_manager_stats(silent_manager, &at) != HANGUP_OK) {
        stop("no stats");
    }
    return at;
}

/** Waits until as many exchanges wait for the silent server; 0: until it has none of their connections left. */
static void wait_until_silent(uint64_t count) {
    double give_up = now() + DEAF_FOR;
    for (hangup_stats at = stats(); at.in_use != count || at.open != count; at = stats()) {
        if (now() > give_up) {
            stop("%llu exchanges and %llu connections instead of %llu", (unsigned long long)at.in_use,
                 (unsigned long long)at.open, (unsigned long long)count);
        }
        usleep(500);
    }
}

static void submit_silent(hangup_queue *queue, uint64_t tag, hangup_cancel *token) {
    hangup_error *error = NULL;
    hangup_request_set_cancel(silent_request, token);
    check(hangup_client_submit(silent_client, silent_request, queue, tag, &error), "submit", &error);
}

/* Rounds. */

static double took[MOST_ROUNDS];

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, hangup_queue *queue, int server, long rounds) {
    double worst_running = 0;
    long ended_before = busy_ended;
    double began = now();
    for (long round = -WARM_UP; round < rounds; round++) {
        hangup_cancel *token = hangup_cancel_new();
        if (queue == own_queue) {
            sem_post(&one.begun);
        }
        submit_silent(queue, THE_ONE, token);
        wait_until_silent(1);
        /* Not always at the same moment of whatever else goes on; and until the request was sent. */
        if (round == -WARM_UP) {
            find_library_thread(one.library);
        }
        usleep((useconds_t)(1000 + (round + WARM_UP) * 37 % 500));
        one.queued = queued(queue == own_queue ? one.own : one.busy) + queued(one.library);
        one.fired = now();
        hangup_cancel_fire(token, NULL);
        sem_wait(&one.ended);
        if (round >= 0) {
            double running = one.returned - one.fired - one.queued;
            took[round] = one.returned - one.fired;
            worst_running = running > worst_running ? running : worst_running;
        }
        hangup_cancel_free(token);
        clear(server);
        wait_until_silent(0);
    }
    double rate = (double)(busy_ended - ended_before) / (now() - began);
    qsort(took, (size_t)rounds, sizeof *took, by_size);
    printf("%s rounds=%ld median_ms=%.4f p90_ms=%.4f worst_ms=%.4f running_ms=%.4f others_rps=%.0f\n", name, rounds,
           took[rounds / 2] * 1e3, took[rounds * 9 / 10] * 1e3, took[rounds - 1] * 1e3, worst_running * 1e3, rate);
    fflush(stdout);
}

/** `count` exchanges are cancelled at once, by `tokens` tokens. */
static void measure_at_once(const char *name, long count, long tokens, int server) {
    hangup_cancel **token = calloc((size_t)tokens, sizeof *token);
    unsigned char *seen = calloc((size_t)count, 1);
    double fire[AT_ONCE_ROUNDS];
    for (long round = -1; round < AT_ONCE_ROUNDS; round++) {
        memset(seen, 0, (size_t)count);
        for (long i = 0; i < tokens; i++) {
            token[i] = hangup_cancel_new();
        }
        for (long i = 0; i < count; i++) {
            submit_silent(own_queue, (uint64_t)i, token[i % tokens]);
        }
        wait_until_silent((uint64_t)count);
        usleep(20000);
        double begin = now();
        for (long i = 0; i < tokens; i++) {
            hangup_cancel_fire(token[i], NULL);
        }
        double fired = now();
        for (long i = 0; i < count; i++) {
            hangup_completion ended = {.size = sizeof ended};
            hangup_status status = hangup_queue_next(own_queue, DEAF_FOR * 1000, &ended);
            if (status != HANGUP_OK || ended.status != HANGUP_CANCELLED || ended.tag >= (uint64_t)count ||
                seen[ended.tag]++ != 0) {
                stop("%s after %ld: tag %llu, %s", hangup_status_text(status), i,
                     (unsigned long long)ended.tag, hangup_status_text(ended.status));
            }
            hangup_error_free(ended.error);
        }
        double ended = now();
        hangup_completion more = {.size = sizeof more};
        if (hangup_queue_next(own_queue, 1, &more) != HANGUP_TIMED_OUT) {
            stop("%s: one ended twice", name);
        }
        if (round >= 0) {
            took[round] = ended - begin;
            fire[round] = fired - begin;
        }
        clear(server);
        wait_until_silent(0);
        for (long i = 0; i < tokens; i++) {
            hangup_cancel_free(token[i]);
        }
    }
    hangup_stats at = stats();
    if (at.queued != 0 || at.dialling != 0 || at.idle != 0 || at.opened != at.closed) {
        stop("%s: the pool is not whole", name);
    }
    qsort(took, AT_ONCE_ROUNDS, sizeof *took, by_size);
    qsort(fire, AT_ONCE_ROUNDS, sizeof *fire, by_size);
    printf("%s count=%ld fire_ms=%.3f all_ms=%.3f worst_ms=%.3f\n", name, count, fire[AT_ONCE_ROUNDS / 2] * 1e3,
           took[AT_ONCE_ROUNDS / 2] * 1e3, took[AT_ONCE_ROUNDS - 1] * 1e3);
    fflush(stdout);
    free(token);
    free(seen);
}

static hangup_client *client_of(hangup_manager **its) {
    hangup_error *error = NULL;
    hangup_client *made = NULL;
    check(hangup_manager_new(NULL, its, &error), "manager", &error);
    check(hangup_manager_set_limit(*its, HANGUP_LIMIT_IDLE_TOTAL, HANGUP_NO_LIMIT, &error), "limit", &error);
    check(hangup_manager_set_limit(*its, HANGUP_LIMIT_IDLE_PER_ORIGIN, HANGUP_NO_LIMIT, &error), "limit", &error);
    check(hangup_client_new(*its, &made, &error), "client", &error);
    return made;
}

static hangup_request *request_for(const char *url) {
    hangup_error *error = NULL;
    hangup_request *made = NULL;
    check(hangup_request_new("GET", url, &made, &error), url, &error);
    check(hangup_request_set_buffer_body(made, 4096, &error), "whole", &error);
    return made;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        stop("usage: %s URL IN-FLIGHT ROUNDS", argv[0]);
    }
    long in_flight = atol(argv[2]), rounds = atol(argv[3]);
    if (in_flight < 1 || rounds < 1 || rounds > MOST_ROUNDS) {
        stop("%ld in flight, %ld rounds", in_flight, rounds);
    }
    allow_descriptors();
    int port;
    int server = silent_server(&port);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    sem_init(&one.begun, 0, 0);
    sem_init(&one.ended, 0, 0);
    /* Two managers, so that what is open to the silent server can be counted by itself. */
    client = client_of(&manager);
    silent_client = client_of(&silent_manager);
    busy_request = request_for(argv[1]);
    silent_request = request_for(url);
    busy_queue = hangup_queue_new();
    own_queue = hangup_queue_new();

    pthread_t own, busy;
    pthread_create(&own, NULL, take_own, NULL);
    measure("alone", own_queue, server, rounds);
    pthread_create(&busy, NULL, take_busy, &in_flight);
    while (busy_ended < 3 * in_flight) {
        usleep(1000);
    }
    measure("own", own_queue, server, rounds);
    measure("shared", busy_queue, server, rounds);
    busy_end = true;
    pthread_join(busy, NULL);
    one.end = true;
    sem_post(&one.begun);
    pthread_join(own, NULL);

    measure_at_once("each", in_flight, in_flight, server);
    measure_at_once("one", in_flight, 1, server);
    hangup_request_free(silent_request);
    hangup_request_free(busy_request);
    hangup_queue_free(own_queue);
    hangup_queue_free(busy_queue);
    hangup_client_free(silent_client);
    hangup_client_free(client);
    hangup_manager_free(silent_manager);
    hangup_manager_free(manager);
    return 0;
}
