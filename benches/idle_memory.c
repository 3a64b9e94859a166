/**
 * What an idle connection costs in heap.
 *
 *     idle_memory hangup|curl URL ROOTS.pem CONNECTIONS
 *
 * hangup  a request with HANGUP_CONNECTION_MODE_FRESH each time; the manager keeps the connections
 * curl    a transfer with CURLOPT_FRESH_CONNECT each time; the easy handle's cache keeps the connections
 *
 * Opens one connection that is not counted (it pays for what is there once), then CONNECTIONS more, one after the
 * other, and leaves all of them idle. Prints the bytes of heap in use (mallinfo2) that each of them added. What the
 * kernel holds for a socket is not in it: it is the same for both.
 */
#include "bench.h"
#include <curl/curl.h>
#include <dirent.h>
#include <malloc.h>

static size_t take(char *data, size_t size, size_t count, void *unused) {
    (void)data;
    (void)unused;
    return size * count;
}

static void get_hangup(hangup_client *client, hangup_request *request) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    check(hangup_client_send(client, request, &response, &error), "send", &error);
    char body[4096];
    size_t got = 0;
    do {
        check(hangup_response_read(response, body, sizeof body, &got, &error), "read", &error);
    } while (got > 0);
    hangup_response_free(response);
}

static void get_curl(CURL *easy) {
    CURLcode code = curl_easy_perform(easy);
    if (code != CURLE_OK) {
        stop("%s", curl_easy_strerror(code));
    }
}

/** Bytes that were allocated and not freed, in all arenas and in mappings. */
static size_t heap(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/** Open descriptors: a client that closed a connection unnoticed would look cheap. */
static long descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    long count = 0;
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        stop("usage: %s hangup|curl URL ROOTS.pem CONNECTIONS", argv[0]);
    }
    const char *url = argv[2], *roots = argv[3];
    long connections = atol(argv[4]);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    hangup_error *error = NULL;
    hangup_client *client = NULL;
    hangup_request *request = NULL;
    CURL *easy = NULL;
    if (strcmp(argv[1], "hangup") == 0) {
        hangup_manager *manager = hangup_manager_shared();
        check(hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_TOTAL, HANGUP_NO_LIMIT, &error), "limit", &error);
        check(hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_PER_ORIGIN, HANGUP_NO_LIMIT, &error), "limit", &error);
        hangup_manager_free(manager);
        check(hangup_client_new(NULL, &client, &error), "client", &error);
        check(hangup_client_set_tls_roots_file(client, roots, &error), roots, &error);
        check(hangup_request_new("GET", url, &request, &error), "request", &error);
        check(hangup_request_set_connection_mode(request, HANGUP_CONNECTION_MODE_FRESH, &error), "mode", &error);
        get_hangup(client, request);
    } else {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        easy = curl_easy_init();
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_CAINFO, roots);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, connections + 10);
        get_curl(easy);
    }
    long open = descriptors();
    size_t before = heap();
    for (long i = 0; i < connections; i++) {
        if (easy != NULL) {
            get_curl(easy);
        } else {
            get_hangup(client, request);
        }
    }
    size_t after = heap();
    if (descriptors() - open < connections) {
        stop("%ld connections are open instead of %ld", descriptors() - open, connections);
    }
    printf("bytes=%.0f\n", ((double)after - (double)before) / (double)connections);
    return 0;
}
