/**
 * Many GETs in flight at once with a multi handle of libcurl: inflight.c's peer.
 *
 *     inflight_curl poll|epoll URL BODY IN-FLIGHT REQUESTS [roots=FILE]
 *
 * poll   curl_multi_perform and curl_multi_poll, which look at every transfer each time
 * epoll  curl_multi_socket_action over an epoll loop of the program's own, which libcurl-multi(3) recommends for many
 *        transfers. It is the slower one here, where hardly any of them waits for long: each request takes its socket
 *        out of epoll and puts it back in, and is begun by a timer.
 *
 * An easy handle for each in flight, which is used again and again; each has ten seconds in all. Prints requests a second
 * and microseconds of CPU a request.
 */
#include "bench.h"
#include <curl/curl.h>
#include <sys/epoll.h>

typedef struct {
    CURL *easy;
    size_t got;
    char *body; /* room for what is expected */
} transfer;

static const char *url, *expected;
static closed_loop loop;
static CURLM *multi;
static long left; /* in flight, and at the end fewer and fewer */

static size_t keep(char *data, size_t size, size_t count, void *user_data) {
    transfer *t = user_data;
    if (t->got + size * count > expected_size(expected)) {
        return 0;
    }
    memcpy(t->body + t->got, data, size * count);
    t->got += size * count;
    return size * count;
}

static void check_multi(CURLMcode code) {
    if (code != CURLM_OK) {
        stop("multi: %s", curl_multi_strerror(code));
    }
}

static void begin(transfer *t) {
    t->got = 0;
    check_multi(curl_multi_add_handle(multi, t->easy));
}

/** Looks at all that ended, and begins as many. */
static void take_ended(void) {
    CURLMsg *message;
    int more;
    while ((message = curl_multi_info_read(multi, &more)) != NULL) {
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;
        long status = 0;
        transfer *t = NULL;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
        if (code != CURLE_OK || status != 200 || !is_expected(expected, t->body, t->got)) {
            stop("%s: %s, status %ld, %zu bytes", url, curl_easy_strerror(code), status, t->got);
        }
        check_multi(curl_multi_remove_handle(multi, easy));
        if (loop_goes_on(&loop)) {
            begin(t);
        } else {
            left--;
        }
    }
}

static int poller;
static double due = -1; /* when libcurl wants to be called; -1 for never */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *unused, void *known) {
    (void)easy, (void)unused;
    struct epoll_event event = {.data.fd = fd};
    event.events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u);
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL);
    } else if (epoll_ctl(poller, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0) {
        stop("epoll_ctl");
    } else if (known == NULL) {
        curl_multi_assign(multi, fd, &poller);
    }
    return 0;
}

static int on_timer(CURLM *unused, long ms, void *user_data) {
    (void)unused, (void)user_data;
    due = ms < 0 ? -1 : now() + (double)ms / 1e3;
    return 0;
}

static void run_epoll(void) {
    int running;
    while (left > 0) {
        struct epoll_event ready[256];
        double wait = due < 0 ? 10 : due - now();
        int count = epoll_wait(poller, ready, 256, wait <= 0 ? 0 : (int)(wait * 1e3) + 1);
        for (int i = 0; i < count; i++) {
            int what = ((ready[i].events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                       ((ready[i].events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                       ((ready[i].events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
            check_multi(curl_multi_socket_action(multi, ready[i].data.fd, what, &running));
        }
        if (due >= 0 && now() >= due) {
            check_multi(curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running));
        }
        take_ended();
    }
}

static void run_poll(void) {
    int running;
    while (left > 0) {
        check_multi(curl_multi_perform(multi, &running));
        take_ended();
        if (left > 0) {
            check_multi(curl_multi_poll(multi, NULL, 0, 10000, NULL));
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 6) {
        stop("usage: %s poll|epoll URL BODY IN-FLIGHT REQUESTS", argv[0]);
    }
    url = argv[2];
    expected = argv[3];
    loop = (closed_loop){.in_flight = atol(argv[4]), .requests = atol(argv[5])};
    int by_epoll = strcmp(argv[1], "epoll") == 0;
    if ((!by_epoll && strcmp(argv[1], "poll") != 0) || loop.in_flight < 1 || loop.requests < 1) {
        stop("mode %s, %ld in flight, %ld requests", argv[1], loop.in_flight, loop.requests);
    }
    allow_descriptors();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, loop.in_flight);
    if (by_epoll) {
        poller = epoll_create1(EPOLL_CLOEXEC);
        curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    }
    transfer *transfers = calloc((size_t)loop.in_flight, sizeof *transfers);
    for (left = 0; left < loop.in_flight; left++) {
        CURL *easy = curl_easy_init();
        transfers[left].easy = easy;
        transfers[left].body = malloc(expected_size(expected) + 1);
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfers[left]);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfers[left]);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 10000L);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        if (option(argv, 6, "roots") != NULL) {
            curl_easy_setopt(easy, CURLOPT_CAINFO, option(argv, 6, "roots"));
        }
        begin(&transfers[left]);
    }
    if (by_epoll) {
        run_epoll();
    } else {
        run_poll();
    }
    report_requests(loop.took, loop.requests);
    return 0;
}
