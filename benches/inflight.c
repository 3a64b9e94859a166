/**
 * Many GETs in flight at once, through a completion queue.
 *
 *     inflight hangup|apart|socket URL BODY IN-FLIGHT REQUESTS [roots=FILE]
 *
 * hangup  one request handle that is submitted again and again; each completion brings the whole body. The thread that
 *         waits for completions does the work meanwhile (hangup_queue_set_caller_runs)
 * apart   the same, and all work is done by the library's thread, which is the default, and also what a program has that
 *         polls the queue's descriptor
 * socket  a bare epoll loop over as many connections, which looks for the end of the head and for BODY after it: what
 *         is left of the CPU, and of the time, is the system's and the server's
 *
 * Each request that ended begins the next one, so that there are always IN-FLIGHT. All are answered with BODY (a
 * text, or "size=N" for N bytes; the socket knows a text only), which the program gets as a whole, and have ten seconds in all.
 * `roots` are certificates for https. The peers are inflight_curl.c, peers/inflight.go and peers/hyper, which take the same arguments.
 *
 * Prints requests a second and microseconds of CPU a request, of all threads of the process together.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *url, *expected;
static closed_loop loop;

/* hangup */

static hangup_client *client;
static hangup_request *request;
static hangup_queue *queue;

static void submit(void) {
    hangup_error *error = NULL;
    check(hangup_client_submit(client, request, queue, 0, &error), "submit", &error);
}

static void take(void) {
    hangup_completion ended = {.size = sizeof ended};
    hangup_status status = hangup_queue_next(queue, HANGUP_NO_LIMIT, &ended);
    if (status != HANGUP_OK) {
        stop("next: %s", hangup_status_text(status));
    }
    check((hangup_status)ended.status, url, &ended.error);
    if (hangup_response_status_code(ended.response) != 200 || !is_expected(expected, ended.data, ended.data_size)) {
        stop("status %d, %zu bytes", (int)hangup_response_status_code(ended.response), ended.data_size);
    }
    hangup_response_free(ended.response);
}

static void run_hangup(int32_t caller_runs, const char *roots) {
    hangup_error *error = NULL;
    hangup_manager *manager = NULL;
    check(hangup_manager_new(NULL, &manager, &error), "manager", &error);
    check(hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_TOTAL, HANGUP_NO_LIMIT, &error), "limit", &error);
    check(hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_PER_ORIGIN, HANGUP_NO_LIMIT, &error), "limit", &error);
    check(hangup_client_new(manager, &client, &error), "client", &error);
    check(hangup_client_set_timeout(client, HANGUP_TIMEOUT_TOTAL, 10000, &error), "timeout", &error);
    if (roots != NULL) {
        check(hangup_client_set_tls_roots_file(client, roots, &error), roots, &error);
    }
    check(hangup_request_new("GET", url, &request, &error), url, &error);
    int64_t most = (int64_t)expected_size(expected) + 4096;
    check(hangup_request_set_buffer_body(request, most, &error), "whole", &error);
    queue = hangup_queue_new();
    check(hangup_queue_set_caller_runs(queue, caller_runs, &error), "caller runs", &error);
    for (long i = 0; i < loop.in_flight; i++) {
        submit();
    }
    for (long left = loop.in_flight; left > 0;) {
        take();
        if (loop_goes_on(&loop)) {
            submit();
        } else {
            left--;
        }
    }
    hangup_stats stats = {.size = sizeof stats};
    hangup_manager_stats(manager, &stats);
    printf("opened=%llu ", (unsigned long long)(stats.opened - stats.dials_failed));
    hangup_queue_free(queue);
    hangup_request_free(request);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/* A bare epoll loop. */

typedef struct {
    int fd;
    size_t got;
    char answer[4096];
} wire;

static char head[512];

static void ask(wire *w) {
    w->got = 0;
    if (send(w->fd, head, strlen(head), MSG_NOSIGNAL) != (ssize_t)strlen(head)) {
        stop("can't send");
    }
}

/** Whether the whole answer is there. */
static int has_ended(wire *w) {
    ssize_t got = recv(w->fd, w->answer + w->got, sizeof w->answer - 1 - w->got, 0);
    if (got <= 0) {
        stop("no answer");
    }
    w->got += (size_t)got;
    w->answer[w->got] = 0;
    char *end = strstr(w->answer, "\r\n\r\n");
    if (end == NULL || strlen(end + 4) < strlen(expected)) {
        return 0;
    }
    if (strncmp(w->answer, "HTTP/1.1 200 ", 13) != 0 || strcmp(end + 4, expected) != 0) {
        stop("not the answer: %s", w->answer);
    }
    return 1;
}

static void run_socket(void) {
    char host[64], path[256];
    int port;
    if (sscanf(url, "http://%63[0-9.]:%d%255s", host, &port, path) != 3) {
        stop("not like http://127.0.0.1:80/path: %s", url);
    }
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: */*\r\n\r\n", path, host, port);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &to.sin_addr);
    wire *wires = calloc((size_t)loop.in_flight, sizeof *wires);
    int poller = epoll_create1(EPOLL_CLOEXEC);
    for (long i = 0; i < loop.in_flight; i++) {
        wire *w = &wires[i];
        w->fd = socket(AF_INET, SOCK_STREAM, 0);
        int on = 1;
        setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event readable = {.events = EPOLLIN, .data.ptr = w};
        if (connect(w->fd, (struct sockaddr *)&to, sizeof to) != 0 ||
            epoll_ctl(poller, EPOLL_CTL_ADD, w->fd, &readable) != 0) {
            stop("can't connect");
        }
        ask(w);
    }
    for (long left = loop.in_flight; left > 0;) {
        struct epoll_event ready[256];
        int count = epoll_wait(poller, ready, 256, 10000);
        if (count <= 0) {
            stop("no answer for ten seconds");
        }
        for (int i = 0; i < count; i++) {
            wire *w = ready[i].data.ptr;
            if (!has_ended(w)) {
                continue;
            }
            if (loop_goes_on(&loop)) {
                ask(w);
            } else {
                left--;
            }
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 6) {
        stop("usage: %s hangup|apart|socket URL BODY IN-FLIGHT REQUESTS [roots=FILE]", argv[0]);
    }
    url = argv[2];
    expected = argv[3];
    loop = (closed_loop){.in_flight = atol(argv[4]), .requests = atol(argv[5])};
    if (loop.in_flight < 1 || loop.requests < 1) {
        stop("%ld in flight, %ld requests", loop.in_flight, loop.requests);
    }
    allow_descriptors();
    if (strcmp(argv[1], "hangup") == 0) {
        run_hangup(1, option(argv, 6, "roots"));
    } else if (strcmp(argv[1], "apart") == 0) {
        run_hangup(0, option(argv, 6, "roots"));
    } else if (strcmp(argv[1], "socket") == 0) {
        run_socket();
    } else {
        stop("no mode %s", argv[1]);
    }
    report_requests(loop.took, loop.requests);
    return 0;
}
