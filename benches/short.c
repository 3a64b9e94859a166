/**
 * Small GETs one after the other, each on a connection of its own that is closed afterwards.
 *
 *     short CLIENT short URL BYTES REQUESTS [ROOTS.pem]
 *
 * CLIENT is hangup (HANGUP_CONNECTION_MODE_CLOSE_AFTER), submitted (to a queue whose caller runs the work), curl
 * (CURLOPT_FORBID_REUSE) or socket (socket, connect, send, recv and close: the floor, for http). The answer has BYTES bytes. With
 * ROOTS.pem and a https URL, sessions are resumed if the server allows that: nginx with `ssl_session_tickets off;
 * ssl_session_cache none;` has a full handshake each time. benches/peers/hyper and benches/peers/ureq take the same
 * arguments behind their name. Prints requests a second and microseconds of CPU a request.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    const char *url, *roots;
    char body[65536];
    size_t size;
    hangup_client *client;
    hangup_request *request;
    hangup_queue *queue;
    CURL *easy;
    struct sockaddr_in address;
    char head[512];
} bench;

static void begin_hangup(bench *b) {
    hangup_error *error = NULL;
    check(hangup_client_new(NULL, &b->client, &error), "client", &error);
    if (b->roots != NULL) {
        check(hangup_client_set_tls_roots_file(b->client, b->roots, &error), b->roots, &error);
    }
    check(hangup_request_new("GET", b->url, &b->request, &error), "request", &error);
    check(hangup_request_set_connection_mode(b->request, HANGUP_CONNECTION_MODE_CLOSE_AFTER, &error), "mode", &error);
}

static void begin_submitted(bench *b) {
    hangup_error *error = NULL;
    begin_hangup(b);
    b->queue = hangup_queue_new();
    check(hangup_queue_set_caller_runs(b->queue, 1, &error), "queue", &error);
}

static void get_hangup(bench *b) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    if (b->queue == NULL) {
        check(hangup_client_send(b->client, b->request, &response, &error), b->url, &error);
    } else {
        hangup_completion done = HANGUP_COMPLETION_INIT;
        check(hangup_client_submit(b->client, b->request, b->queue, 0, &error), "submit", &error);
        check(hangup_queue_next(b->queue, HANGUP_NO_LIMIT, &done), "next", &error);
        check(done.status, b->url, &done.error);
        response = done.response;
    }
    check(hangup_response_read_full(response, b->body, sizeof b->body, sizeof b->body, &b->size, &error), "read", &error);
    if (hangup_response_status_code(response) != 200) {
        stop("status %d", (int)hangup_response_status_code(response));
    }
    hangup_response_free(response);
}

static size_t take(char *data, size_t size, size_t count, void *user_data) {
    bench *b = user_data;
    if (size * count > sizeof b->body - b->size) {
        return 0;
    }
    memcpy(b->body + b->size, data, size * count);
    b->size += size * count;
    return size * count;
}

static void begin_curl(bench *b) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    b->easy = curl_easy_init();
    curl_easy_setopt(b->easy, CURLOPT_URL, b->url);
    curl_easy_setopt(b->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(b->easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(b->easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(b->easy, CURLOPT_WRITEDATA, b);
    if (b->roots != NULL) {
        curl_easy_setopt(b->easy, CURLOPT_CAINFO, b->roots);
    }
    curl_easy_setopt(b->easy, CURLOPT_HTTPHEADER, curl_slist_append(NULL, "Connection: close"));
}

static void get_curl(bench *b) {
    b->size = 0;
    CURLcode code = curl_easy_perform(b->easy);
    long status = 0;
    curl_easy_getinfo(b->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) {
        stop("%s: %s, status %ld", b->url, curl_easy_strerror(code), status);
    }
}

static void begin_socket(bench *b) {
    char host[64], path[256] = "/";
    int port = 80;
    if (sscanf(b->url, "http://%63[^:/]:%d%255s", host, &port, path) < 2) {
        stop("not http://ADDRESS:PORT/PATH: %s", b->url);
    }
    b->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &b->address.sin_addr);
    snprintf(b->head, sizeof b->head, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n", path, host, port);
}

static void get_socket(bench *b) {
    char in[16384];
    size_t have = 0;
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(peer, (struct sockaddr *)&b->address, sizeof b->address) != 0) {
        stop("can't connect to %s", b->url);
    }
    if (send(peer, b->head, strlen(b->head), MSG_NOSIGNAL) <= 0) {
        stop("send failed");
    }
    for (;;) {
        ssize_t got = recv(peer, in + have, sizeof in - 1 - have, 0);
        if (got <= 0) {
            stop("recv failed");
        }
        have += (size_t)got;
        in[have] = 0;
        char *end = strstr(in, "\r\n\r\n");
        char *length = end ? strstr(in, "Content-Length: ") : NULL;
        size_t size = length ? strtoul(length + 16, NULL, 10) : sizeof in;
        if (end && have >= (size_t)(end + 4 - in) + size) {
            b->size = size;
            break;
        }
    }
    close(peer);
}

static const struct {
    const char *name;
    void (*begin)(bench *);
    void (*get)(bench *);
} CLIENTS[] = {{"hangup", begin_hangup, get_hangup},
               {"submitted", begin_submitted, get_hangup},
               {"curl", begin_curl, get_curl},
               {"socket", begin_socket, get_socket}};

int main(int argc, char **argv) {
    if (argc < 6 || strcmp(argv[2], "short") != 0) {
        stop("usage: %s hangup|submitted|curl|socket short URL BYTES REQUESTS [ROOTS.pem]", argv[0]);
    }
    static bench b;
    b.url = argv[3], b.roots = argc > 6 ? argv[6] : NULL;
    size_t size = strtoul(argv[4], NULL, 10);
    long requests = atol(argv[5]);
    for (size_t c = 0; c < sizeof CLIENTS / sizeof *CLIENTS; c++) {
        if (strcmp(argv[1], CLIENTS[c].name) != 0) {
            continue;
        }
        CLIENTS[c].begin(&b);
        /* What is done once is not counted. */
        CLIENTS[c].get(&b);
        usage began = used();
        for (long i = 0; i < requests; i++) {
            CLIENTS[c].get(&b);
            if (b.size != size) {
                stop("a body of %zu bytes", b.size);
            }
        }
        report_requests(used_since(began), requests);
        return 0;
    }
    stop("no client %s", argv[1]);
}
