/**
 * What many idle connections cost the requests of one that is in use, and the calls that list or close them.
 *
 *     idle_scaling PORT PATH ORIGINS EACH REQUESTS TURNS
 *
 * The server listens on PORT of ORIGINS + 1 addresses, 127.0.0.1 and those that follow it. Two child processes have a
 * manager each: `few` with 10 idle connections, `many` with EACH to each of the origins; in either, the sweep runs
 * every half second. They take turns (A B A B) at REQUESTS small GETs on one more connection. A turn shall
 * take about as long as that half second, or most of them see no sweep.
 *
 * Prints for each turn requests a second and microseconds of CPU a request; then what the process uses in a second in
 * which there are no requests, and how long it takes to list, to count and to close all that is idle.
 */
#include "bench.h"
#include <sys/wait.h>
#include <unistd.h>

static int port;
static const char *path;
static hangup_manager *manager;
static hangup_client *client;

static void get(hangup_request *request) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    check(hangup_client_send(client, request, &response, &error), "send", &error);
    char body[4096];
    size_t got = 0;
    do {
        check(hangup_response_read(response, body, sizeof body, &got, &error), "read", &error);
    } while (got > 0);
    if (hangup_response_status_code(response) != 200) {
        stop("status %d", (int)hangup_response_status_code(response));
    }
    hangup_response_free(response);
}

static hangup_request *request_to(int origin, hangup_connection_mode mode) {
    char url[256];
    hangup_error *error = NULL;
    hangup_request *request = NULL;
    snprintf(url, sizeof url, "http://127.0.%d.%d:%d%s", (origin + 1) / 256, (origin + 1) % 256, port, path);
    check(hangup_request_new("GET", url, &request, &error), url, &error);
    check(hangup_request_set_connection_mode(request, mode, &error), "mode", &error);
    return request;
}

static void limit(hangup_limit which) {
    hangup_error *error = NULL;
    check(hangup_manager_set_limit(manager, which, HANGUP_NO_LIMIT, &error), "limit", &error);
}

static unsigned long long idle(void) {
    hangup_stats stats = {.size = sizeof stats};
    if (hangup_manager_stats(manager, &stats) != HANGUP_OK) {
        stop("no stats");
    }
    return stats.idle;
}

/** As `what_ms` on the wall and `what_cpu_ms` of CPU. */
static void report_ms(const char *what, usage took) {
    printf(" %s_ms=%.3f %s_cpu_ms=%.3f", what, took.wall * 1e3, what, (took.user + took.kernel) * 1e3);
}

static void look_and_close(const char *name) {
    hangup_error *error = NULL;
    hangup_connections *list = NULL;
    unsigned long long here = idle();
    printf("%s", name);
    usage at = used();
    usleep(2000000);
    usage rest = used_since(at);
    printf(" rest_ms=%.3f", (rest.user + rest.kernel) / rest.wall * 1e3);
    at = used();
    check(hangup_manager_connections(manager, &list, &error), "list", &error);
    report_ms("list", used_since(at));
    size_t listed = hangup_connections_count(list);
    hangup_connections_free(list);
    at = used();
    idle();
    report_ms("stats", used_since(at));
    size_t closed = 0;
    at = used();
    hangup_manager_close_idle(manager, 0, &closed);
    report_ms("close", used_since(at));
    printf("\n");
    if (listed != here || closed != here || idle() != 0) {
        stop("%llu idle, %zu listed, %zu closed, %llu left", here, listed, closed, idle());
    }
}

/** A child: opens its connections, then a turn for each byte from `orders`, and the rest at their end. */
static void work(const char *name, int origins, int each, long requests, int orders, int answers) {
    hangup_error *error = NULL;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    check(hangup_manager_new(NULL, &manager, &error), "manager", &error);
    limit(HANGUP_LIMIT_IDLE_TOTAL);
    limit(HANGUP_LIMIT_IDLE_PER_ORIGIN);
    limit(HANGUP_LIMIT_IDLE_MS);
    check(hangup_client_new(manager, &client, &error), "client", &error);
    for (int origin = 1; origin <= origins; origin++) {
        hangup_request *fresh = request_to(origin, HANGUP_CONNECTION_MODE_FRESH);
        for (int i = 0; i < each; i++) {
            get(fresh);
        }
        hangup_request_free(fresh);
    }
    if (idle() != (unsigned long long)origins * (unsigned long long)each) {
        stop("%llu connections are idle instead of %d", idle(), origins * each);
    }
    hangup_request *request = request_to(0, HANGUP_CONNECTION_MODE_KEEP);
    get(request);
    char byte = 0;
    while (write(answers, &byte, 1) == 1 && read(orders, &byte, 1) == 1) {
        usage begin = used();
        for (long i = 0; i < requests; i++) {
            get(request);
        }
        printf("%s idle=%d ", name, origins * each);
        report_requests(used_since(begin), requests);
        fflush(stdout);
    }
    look_and_close(name);
    hangup_request_free(request);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

typedef struct {
    pid_t pid;
    int orders, answers;
} child;

static child begin(const char *name, int origins, int each, long requests) {
    int orders[2], answers[2];
    if (pipe(orders) != 0 || pipe(answers) != 0) {
        stop("no pipe");
    }
    child made = {fork(), orders[1], answers[0]};
    if (made.pid == 0) {
        close(orders[1]);
        close(answers[0]);
        work(name, origins, each, requests, orders[0], answers[1]);
        exit(0);
    }
    close(orders[0]);
    close(answers[1]);
    return made;
}

static void wait_for(child *c) {
    char byte;
    if (read(c->answers, &byte, 1) != 1) {
        exit(1); /* it has said why */
    }
}

static void end(child *c) {
    int status = 0;
    close(c->orders);
    if (waitpid(c->pid, &status, 0) != c->pid || status != 0) {
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc < 7) {
        stop("usage: %s PORT PATH ORIGINS EACH REQUESTS TURNS", argv[0]);
    }
    port = atoi(argv[1]);
    path = argv[2];
    int origins = atoi(argv[3]), each = atoi(argv[4]), turns = atoi(argv[6]);
    long requests = atol(argv[5]);
    if (origins < 10 || origins > 60000 || each < 1) {
        stop("%d origins, %d each", origins, each);
    }
    /* One after the other: the second one has the ends of the first one's pipes as well, and must end first. */
    child few = begin("few", 10, 1, requests);
    wait_for(&few);
    child many = begin("many", origins, each, requests);
    wait_for(&many);
    for (int turn = 0; turn < turns; turn++) {
        child *both[2] = {&few, &many};
        for (int i = 0; i < 2; i++) {
            if (write(both[i]->orders, "t", 1) != 1) {
                exit(1);
            }
            wait_for(both[i]);
        }
    }
    end(&many);
    end(&few);
    return 0;
}
