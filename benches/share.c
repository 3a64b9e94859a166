/**
 * Small GETs from many threads over fewer connections.
 *
 *     share hangup|curl-lent|curl-share URL THREADS REQUESTS-A-THREAD CONNECTIONS
 *
 * hangup      one client for all threads and a limit of CONNECTIONS for its manager: a request that finds none free waits in line
 * curl-lent   CONNECTIONS easy handles, lent to one thread after the other under a lock and a condition: what a program
 *             has to do by itself. libcurl's own limits, CURLMOPT_MAX_HOST_CONNECTIONS and CURLMOPT_MAX_TOTAL_CONNECTIONS,
 *             are those of a multi handle, which is one thread's; easy handles have none.
 * curl-share  an easy handle a thread, and one share object for their connections, names and TLS sessions with a lock
 *             for each kind of data. "It is not supported to share connections between multiple concurrent threads"
 *             (CURLSHOPT_SHARE(3)); for it to be seen what comes of it, it runs in a child process and for ten seconds
 *             at most.
 *
 * Prints requests a second of all threads together, microseconds of CPU a request, and how many connections were
 * opened; of curl-share, how many requests came to an end as well, and how the child ended.
 */
#include "bench.h"
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 256

static const char *url;
static int threads, connections;
static long requests;
static pthread_barrier_t line;

static hangup_manager *manager;
static hangup_client *client;

static void get_hangup(hangup_request *request) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    check(hangup_client_send(client, request, &response, &error), url, &error);
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

static void *work_hangup(void *unused) {
    (void)unused;
    hangup_error *error = NULL;
    hangup_request *request = NULL;
    check(hangup_request_new("GET", url, &request, &error), "request", &error);
    get_hangup(request);
    pthread_barrier_wait(&line);
    for (long i = 0; i < requests; i++) {
        get_hangup(request);
    }
    pthread_barrier_wait(&line);
    hangup_request_free(request);
    return NULL;
}

static size_t take(char *data, size_t size, size_t count, void *user_data) {
    memcpy(user_data, data, size * count < 4096 ? size * count : 4096);
    return size * count;
}

static CURL *new_easy(void) {
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    return easy;
}

/** One request; answers how many connections were opened for it. */
static long get_curl(CURL *easy) {
    char body[4096];
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
    CURLcode code = curl_easy_perform(easy);
    long status = 0, opened = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) {
        stop("%s: %s, status %ld", url, curl_easy_strerror(code), status);
    }
    curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &opened);
    return opened;
}

static pthread_mutex_t shelf_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t shelf_filled = PTHREAD_COND_INITIALIZER;
static CURL *shelf[MOST];
static int on_shelf;
static long shelf_opened;

static void get_lent(void) {
    pthread_mutex_lock(&shelf_lock);
    while (on_shelf == 0) {
        pthread_cond_wait(&shelf_filled, &shelf_lock);
    }
    CURL *easy = shelf[--on_shelf];
    pthread_mutex_unlock(&shelf_lock);
    long opened = get_curl(easy);
    pthread_mutex_lock(&shelf_lock);
    shelf_opened += opened;
    shelf[on_shelf++] = easy;
    pthread_mutex_unlock(&shelf_lock);
    pthread_cond_signal(&shelf_filled);
}

static void *work_lent(void *unused) {
    (void)unused;
    get_lent();
    pthread_barrier_wait(&line);
    for (long i = 0; i < requests; i++) {
        get_lent();
    }
    pthread_barrier_wait(&line);
    return NULL;
}

/** What the child of curl-share has done so far, for its parent to see whatever becomes of it. */
static struct counts {
    long begun, done, opened;
    double wall, user, kernel;
} *shared;

static CURLSH *share;
static pthread_mutex_t share_locks[CURL_LOCK_DATA_LAST];

static void lock_share(CURL *easy, curl_lock_data data, curl_lock_access access, void *unused) {
    (void)easy;
    (void)access;
    (void)unused;
    pthread_mutex_lock(&share_locks[data]);
}

static void unlock_share(CURL *easy, curl_lock_data data, void *unused) {
    (void)easy;
    (void)unused;
    pthread_mutex_unlock(&share_locks[data]);
}

static void get_shared(CURL *easy) {
    long opened = get_curl(easy);
    __atomic_add_fetch(&shared->opened, opened, __ATOMIC_RELAXED);
}

static void *work_share(void *unused) {
    (void)unused;
    CURL *easy = new_easy();
    curl_easy_setopt(easy, CURLOPT_SHARE, share);
    curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, (long)connections);
    get_shared(easy);
    pthread_barrier_wait(&line);
    for (long i = 0; i < requests; i++) {
        get_shared(easy);
        __atomic_add_fetch(&shared->done, 1, __ATOMIC_RELAXED);
    }
    pthread_barrier_wait(&line);
    curl_easy_cleanup(easy);
    return NULL;
}

/** Runs the threads; answers what their requests took, without the first one of each. */
static usage run(void *work(void *)) {
    pthread_t ids[MOST];
    pthread_barrier_init(&line, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        if (pthread_create(&ids[i], NULL, work, NULL) != 0) {
            stop("no thread %d", i);
        }
    }
    pthread_barrier_wait(&line);
    usage begin = used();
    pthread_barrier_wait(&line);
    usage took = used_since(begin);
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
    }
    return took;
}

static void run_hangup(void) {
    hangup_error *error = NULL;
    check(hangup_manager_new(NULL, &manager, &error), "manager", &error);
    check(hangup_manager_set_limit(manager, HANGUP_LIMIT_PER_ORIGIN, connections, &error), "limit", &error);
    check(hangup_client_new(manager, &client, &error), "client", &error);
    usage took = run(work_hangup);
    hangup_stats stats = {.size = sizeof stats};
    check(hangup_manager_stats(manager, &stats), "stats", &error);
    /* Not those that were given up before there was a socket, because another one became free. */
    unsigned long long opened = stats.opened - stats.dials_failed;
    if (stats.open > (uint64_t)connections) {
        stop("%d connections were asked for, %llu are open", connections, (unsigned long long)stats.open);
    }
    printf("opened=%llu waited=%.3f ", opened, (double)stats.waited / (double)(threads * (requests + 1)));
    report_requests(took, requests * threads);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void run_lent(void) {
    for (int i = 0; i < connections; i++) {
        shelf[on_shelf++] = new_easy();
    }
    usage took = run(work_lent);
    printf("opened=%ld ", shelf_opened);
    report_requests(took, requests * threads);
    while (on_shelf > 0) {
        curl_easy_cleanup(shelf[--on_shelf]);
    }
}

static void run_share(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        stop("no memory to share");
    }
    double begin = now();
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        alarm(10);
        for (int i = 0; i < CURL_LOCK_DATA_LAST; i++) {
            pthread_mutex_init(&share_locks[i], NULL);
        }
        share = curl_share_init();
        curl_share_setopt(share, CURLSHOPT_LOCKFUNC, lock_share);
        curl_share_setopt(share, CURLSHOPT_UNLOCKFUNC, unlock_share);
        curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
        curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
        curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
        usage took = run(work_share);
        shared->wall = took.wall;
        shared->user = took.user;
        shared->kernel = took.kernel;
        _exit(0);
    }
    int status = 0;
    struct rusage cpu;
    if (child < 0 || wait4(child, &status, 0, &cpu) != child) {
        stop("no child");
    }
    long done = shared->done > 0 ? shared->done : 1;
    usage took = {shared->wall, shared->user, shared->kernel};
    if (took.wall == 0) {
        took.wall = now() - begin;
        took.user = (double)cpu.ru_utime.tv_sec + (double)cpu.ru_utime.tv_usec / 1e6;
        took.kernel = (double)cpu.ru_stime.tv_sec + (double)cpu.ru_stime.tv_usec / 1e6;
    }
    printf("opened=%ld done=%ld of=%ld signal=%d exit=%d ", shared->opened, shared->done, requests * threads,
           WIFSIGNALED(status) ? WTERMSIG(status) : 0, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
    report_requests(took, done);
}

int main(int argc, char **argv) {
    if (argc < 6) {
        stop("usage: %s hangup|curl-lent|curl-share URL THREADS REQUESTS-A-THREAD CONNECTIONS", argv[0]);
    }
    url = argv[2];
    threads = atoi(argv[3]);
    requests = atol(argv[4]);
    connections = atoi(argv[5]);
    if (threads < 1 || threads > MOST || connections < 1 || connections > MOST) {
        stop("%d threads, %d connections", threads, connections);
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (strcmp(argv[1], "hangup") == 0) {
        run_hangup();
    } else if (strcmp(argv[1], "curl-lent") == 0) {
        run_lent();
    } else if (strcmp(argv[1], "curl-share") == 0) {
        run_share();
    } else {
        stop("no mode %s", argv[1]);
    }
    return 0;
}
