/**
 * Small GETs, one at a time, on one kept connection.
 *
 *     small_get hangup|hangup-url|curl|socket URL REQUESTS [WARM-UP]
 *
 * hangup      one request handle, sent again and again: what curl does with one easy handle
 * hangup-url  hangup_client_get with the URL as text, each time
 * curl        one easy handle, performed again and again
 * socket      send, then recv until the head's empty line and the body's length are there: the floor
 *
 * Each of them gets the body into memory of the caller and looks at its size and the status. Prints requests a second
 * and microseconds of CPU a request, in the program and in the kernel.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    const char *url;
    char body[4096];
    size_t size;
    hangup_client *client;
    hangup_request *request;
    CURL *easy;
    int socket;
    char head[512];
    size_t head_size;
} bench;

static void read_hangup(bench *b, hangup_response *response) {
    hangup_error *error = NULL;
    size_t got = 0;
    b->size = 0;
    do {
        hangup_status status =
            hangup_response_read(response, b->body + b->size, sizeof b->body - b->size, &got, &error);
        check(status, "read", &error);
        b->size += got;
    } while (got > 0);
    if (hangup_response_status_code(response) != 200) {
        stop("status %d", (int)hangup_response_status_code(response));
    }
    hangup_response_free(response);
}

static void begin_hangup(bench *b) {
    hangup_error *error = NULL;
    check(hangup_client_new(NULL, &b->client, &error), "client", &error);
    check(hangup_request_new("GET", b->url, &b->request, &error), "request", &error);
}

static void get_hangup(bench *b) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    check(hangup_client_send(b->client, b->request, &response, &error), b->url, &error);
    read_hangup(b, response);
}

static void get_hangup_url(bench *b) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    check(hangup_client_get(b->client, b->url, HANGUP_NO_LIMIT, &response, &error), b->url, &error);
    read_hangup(b, response);
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
    curl_easy_setopt(b->easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(b->easy, CURLOPT_WRITEDATA, b);
    /* As programs with threads must; it spares curl two system calls a request. */
    curl_easy_setopt(b->easy, CURLOPT_NOSIGNAL, 1L);
}

static void get_curl(bench *b) {
    b->size = 0;
    CURLcode code = curl_easy_perform(b->easy);
    if (code != CURLE_OK) {
        stop("%s: %s", b->url, curl_easy_strerror(code));
    }
    long status = 0;
    curl_easy_getinfo(b->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        stop("status %ld", status);
    }
}

static void begin_socket(bench *b) {
    char host[64];
    int port = 80;
    char path[256] = "/";
    if (sscanf(b->url, "http://%63[^:/]:%d%255s", host, &port, path) < 2) {
        stop("not http://ADDRESS:PORT/PATH: %s", b->url);
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    b->socket = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(b->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(b->socket, (struct sockaddr *)&address, sizeof address) != 0) {
        stop("can't connect to %s", b->url);
    }
    b->head_size =
        (size_t)snprintf(b->head, sizeof b->head, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n\r\n", path, host, port);
}

static void get_socket(bench *b) {
    char in[16384];
    size_t have = 0;
    if (send(b->socket, b->head, b->head_size, MSG_NOSIGNAL) != (ssize_t)b->head_size) {
        stop("send failed");
    }
    for (;;) {
        ssize_t got = recv(b->socket, in + have, sizeof in - 1 - have, 0);
        if (got <= 0) {
            stop("recv failed");
        }
        have += (size_t)got;
        in[have] = 0;
        char *end = strstr(in, "\r\n\r\n");
        char *length = end ? strstr(in, "Content-Length: ") : NULL;
        size_t size = length ? strtoul(length + 16, NULL, 10) : sizeof in;
        if (end && have >= (size_t)(end + 4 - in) + size) {
            memcpy(b->body, end + 4, size);
            b->size = size;
            break;
        }
    }
    if (strncmp(in, "HTTP/1.1 200", 12) != 0) {
        stop("no 200");
    }
}

static const struct {
    const char *name;
    void (*begin)(bench *);
    void (*get)(bench *);
} MODES[] = {{"hangup", begin_hangup, get_hangup},
             {"hangup-url", begin_hangup, get_hangup_url},
             {"curl", begin_curl, get_curl},
             {"socket", begin_socket, get_socket}};

int main(int argc, char **argv) {
    if (argc < 4) {
        stop("usage: %s hangup|hangup-url|curl|socket URL REQUESTS [WARM-UP]", argv[0]);
    }
    static bench b;
    b.url = argv[2];
    long requests = atol(argv[3]), warm_up = argc > 4 ? atol(argv[4]) : 200;
    for (size_t m = 0; m < sizeof MODES / sizeof *MODES; m++) {
        if (strcmp(argv[1], MODES[m].name) != 0) {
            continue;
        }
        MODES[m].begin(&b);
        for (long i = 0; i < warm_up; i++) {
            MODES[m].get(&b);
        }
        usage begin = used();
        for (long i = 0; i < requests; i++) {
            MODES[m].get(&b);
            if (b.size != 3) {
                stop("a body of %zu bytes", b.size);
            }
        }
        report_requests(used_since(begin), requests);
        return 0;
    }
    stop("no mode %s", argv[1]);
}
