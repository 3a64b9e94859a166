/**
 * Several threads with a completion queue each, which share a client and its connections.
 *
 *     callers waits|drives THREADS IN-FLIGHT REQUESTS [share]
 *
 * waits   each thread waits in hangup_queue_next and does the work of its queue meanwhile (hangup_queue_set_caller_runs)
 * drives  each thread has an epoll loop, which does the work of its queue (hangup_queue_drive)
 *
 * Each thread runs on a core of its own, beside a child process that is the server of its requests and runs on the same core:
 * so that one thread has one core, and two have two, whatever the servers take. With `share` the servers have one address, and
 * the threads one pool of connections to it; without it, an address each. IN-FLIGHT and REQUESTS are of each thread.
 *
 * Prints requests a second, of all threads together, and microseconds of CPU a request, without the servers'.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok.";
static hangup_client *client;
static long in_flight, requests;
static int drives;
static pthread_barrier_t begin, end;

static void run_on(int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core % (int)sysconf(_SC_NPROCESSORS_ONLN), &cores);
    sched_setaffinity(0, sizeof cores, &cores);
}

static int listener(uint16_t *port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, size) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &size) != 0) {
        stop("no listener");
    }
    *port = ntohs(at.sin_port);
    return fd;
}

/** Answers each request, which comes in one piece. */
static void serve(int listens) {
    int poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listens};
    epoll_ctl(poller, EPOLL_CTL_ADD, listens, &event);
    for (;;) {
        struct epoll_event ready[64];
        int count = epoll_wait(poller, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd, on = 1;
            char request[4096];
            if (fd == listens) {
                event.data.fd = accept4(listens, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                epoll_ctl(poller, EPOLL_CTL_ADD, event.data.fd, &event);
            } else if (recv(fd, request, sizeof request, 0) <= 0 ||
                       send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0) {
                close(fd);
            }
        }
    }
}

typedef struct {
    pthread_t thread;
    int number;
    uint16_t port;
    hangup_queue *queue;
    hangup_request *request;
} caller;

static void submit(caller *self) {
    hangup_error *error = NULL;
    check(hangup_client_submit(client, self->request, self->queue, 0, &error), "submit", &error);
}

/** Takes a completion; `limit` is 0 if the loop of this program waits. */
static int take(caller *self, int64_t limit) {
    hangup_completion ended = {.size = sizeof ended};
    hangup_status status = hangup_queue_next(self->queue, limit, &ended);
    if (status == HANGUP_TIMED_OUT) {
        return 0;
    }
    if (status != HANGUP_OK) {
        stop("next: %s", hangup_status_text(status));
    }
    check((hangup_status)ended.status, "request", &ended.error);
    if (ended.data_size != 3) {
        stop("%zu bytes", ended.data_size);
    }
    hangup_response_free(ended.response);
    return 1;
}

static void work(caller *self, int poller, long count) {
    long left = count, under_way = 0;
    for (; under_way < in_flight && left > 0; left--, under_way++) {
        submit(self);
    }
    while (under_way > 0) {
        if (poller >= 0) {
            struct epoll_event event;
            epoll_wait(poller, &event, 1, -1);
            hangup_queue_drive(self->queue);
        }
        while (under_way > 0 && take(self, poller >= 0 ? 0 : HANGUP_NO_LIMIT)) {
            if (left > 0) {
                left--;
                submit(self);
            } else {
                under_way--;
            }
        }
    }
}

static void *run(void *argument) {
    caller *self = argument;
    hangup_error *error = NULL;
    char url[64];
    run_on(self->number);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", self->port);
    check(hangup_request_new("GET", url, &self->request, &error), url, &error);
    check(hangup_request_set_buffer_body(self->request, 4096, &error), "whole", &error);
    self->queue = hangup_queue_new();
    int poller = -1;
    if (drives) {
        struct epoll_event event = {.events = EPOLLIN};
        poller = epoll_create1(EPOLL_CLOEXEC);
        epoll_ctl(poller, EPOLL_CTL_ADD, hangup_queue_drive_fd(self->queue), &event);
    }
    check(hangup_queue_set_caller_runs(self->queue, 1, &error), "caller runs", &error);
    work(self, poller, 1000 + 10 * in_flight);
    pthread_barrier_wait(&begin);
    work(self, poller, requests);
    pthread_barrier_wait(&end);
    hangup_queue_free(self->queue);
    hangup_request_free(self->request);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        stop("usage: callers waits|drives THREADS IN-FLIGHT REQUESTS [share]");
    }
    enum { MOST = 64 };
    static caller callers[MOST];
    int threads = atoi(argv[2]), share = argc > 5;
    in_flight = atol(argv[3]);
    requests = atol(argv[4]);
    drives = strcmp(argv[1], "drives") == 0;
    if (threads < 1 || threads > MOST) {
        stop("1 to %d threads", MOST);
    }
    allow_descriptors();
    pid_t servers[MOST];
    for (int i = 0; i < threads; i++) {
        callers[i].number = i;
        callers[i].port = share && i > 0 ? callers[0].port : 0;
        int listens = listener(&callers[i].port);
        if ((servers[i] = fork()) == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            run_on(i);
            serve(listens);
        }
        close(listens);
    }
    hangup_error *error = NULL;
    hangup_manager *manager = NULL;
    check(hangup_manager_new(NULL, &manager, &error), "manager", &error);
    check(hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_TOTAL, HANGUP_NO_LIMIT, &error), "limit", &error);
    check(hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_PER_ORIGIN, HANGUP_NO_LIMIT, &error), "limit", &error);
    check(hangup_client_new(manager, &client, &error), "client", &error);
    check(hangup_client_set_timeout(client, HANGUP_TIMEOUT_TOTAL, 60000, &error), "timeout", &error);
    pthread_barrier_init(&begin, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&end, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        pthread_create(&callers[i].thread, NULL, run, &callers[i]);
    }
    pthread_barrier_wait(&begin);
    usage took = used();
    pthread_barrier_wait(&end);
    took = used_since(took);
    for (int i = 0; i < threads; i++) {
        pthread_join(callers[i].thread, NULL);
        kill(servers[i], SIGKILL);
    }
    report_requests(took, requests * threads);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return 0;
}
