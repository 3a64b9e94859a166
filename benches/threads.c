/**
 * Small GETs from many threads at once.
 *
 *     threads hangup|curl URL THREADS REQUESTS-A-THREAD
 *
 * hangup  one client for all threads, each with a request handle of its own
 * curl    one easy handle a thread, each with a connection of its own: what libcurl asks for (libcurl-thread(3))
 *
 * Prints requests a second of all threads together and microseconds of CPU a request.
 */
#include "bench.h"
#include <curl/curl.h>
#include <pthread.h>

static const char *mode, *url;
static long requests;
static hangup_client *client;
static pthread_barrier_t line;

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

static size_t take(char *data, size_t size, size_t count, void *user_data) {
    memcpy(user_data, data, size * count < 4096 ? size * count : 4096);
    return size * count;
}

static void get_curl(CURL *easy) {
    CURLcode code = curl_easy_perform(easy);
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) {
        stop("%s: %s, status %ld", url, curl_easy_strerror(code), status);
    }
}

static void *work(void *unused) {
    (void)unused;
    if (strcmp(mode, "hangup") == 0) {
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
    } else {
        char body[4096];
        CURL *easy = curl_easy_init();
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        get_curl(easy);
        pthread_barrier_wait(&line);
        for (long i = 0; i < requests; i++) {
            get_curl(easy);
        }
        pthread_barrier_wait(&line);
        curl_easy_cleanup(easy);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        stop("usage: %s hangup|curl URL THREADS REQUESTS-A-THREAD", argv[0]);
    }
    mode = argv[1];
    url = argv[2];
    int threads = atoi(argv[3]);
    requests = atol(argv[4]);
    if ((strcmp(mode, "hangup") != 0 && strcmp(mode, "curl") != 0) || threads < 1 || threads > 256) {
        stop("mode %s, %d threads", mode, threads);
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    hangup_error *error = NULL;
    check(hangup_client_new(NULL, &client, &error), "client", &error);
    pthread_barrier_init(&line, NULL, (unsigned)threads + 1);
    pthread_t ids[256];
    for (int i = 0; i < threads; i++) {
        if (pthread_create(&ids[i], NULL, work, NULL) != 0) {
            stop("no thread %d", i);
        }
    }
    pthread_barrier_wait(&line); /* every thread has its connection */
    usage begin = used();
    pthread_barrier_wait(&line);
    usage took = used_since(begin);
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
    }
    report_requests(took, requests * threads);
    hangup_client_free(client);
    return 0;
}
