/**
 * A large body, received again and again on one kept connection.
 *
 *     large_body hangup|curl|curl-large|socket URL BODIES [decode]
 *
 * hangup      hangup_response_read into 256 KiB of the caller
 * curl        a write callback, curl's default buffer (16 KiB)
 * curl-large  a write callback, a buffer of 256 KiB
 * socket      recv into 256 KiB: the floor
 *
 * With `decode` the clients ask for gzip, decode it, and count decoded bytes; so does zlib at each of curl's pieces.
 *
 * Each of them counts the bytes and touches none. (curl lends its own buffer to the callback; hangup fills the
 * caller's.) Prints MB/s and CPU seconds a GB.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <sys/socket.h>

typedef struct {
    const char *url;
    size_t size;
    hangup_client *client;
    hangup_request *request;
    CURL *easy;
    int socket;
    char head[512];
    size_t head_size;
} bench;

static char room[256 * 1024];
static int decodes;

static void begin_hangup(bench *b) {
    hangup_error *error = NULL;
    check(hangup_client_new(NULL, &b->client, &error), "client", &error);
    check(hangup_request_new("GET", b->url, &b->request, &error), "request", &error);
    check(hangup_request_set_decode(b->request, decodes, &error), "decode", &error);
}

static void get_hangup(bench *b) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    check(hangup_client_send(b->client, b->request, &response, &error), b->url, &error);
    size_t got = 0;
    b->size = 0;
    do {
        check(hangup_response_read(response, room, sizeof room, &got, &error), "read", &error);
        b->size += got;
    } while (got > 0);
    hangup_response_free(response);
}

static size_t take(char *data, size_t size, size_t count, void *user_data) {
    (void)data;
    ((bench *)user_data)->size += size * count;
    return size * count;
}

static void begin_curl(bench *b) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    b->easy = curl_easy_init();
    curl_easy_setopt(b->easy, CURLOPT_URL, b->url);
    curl_easy_setopt(b->easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(b->easy, CURLOPT_WRITEDATA, b);
    curl_easy_setopt(b->easy, CURLOPT_NOSIGNAL, 1L);
    if (decodes) {
        curl_easy_setopt(b->easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    }
}

static void begin_curl_large(bench *b) {
    begin_curl(b);
    curl_easy_setopt(b->easy, CURLOPT_BUFFERSIZE, (long)sizeof room);
}

static void get_curl(bench *b) {
    b->size = 0;
    CURLcode code = curl_easy_perform(b->easy);
    if (code != CURLE_OK) {
        stop("%s: %s", b->url, curl_easy_strerror(code));
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
    if (connect(b->socket, (struct sockaddr *)&address, sizeof address) != 0) {
        stop("can't connect to %s", b->url);
    }
    b->head_size =
        (size_t)snprintf(b->head, sizeof b->head, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n\r\n", path, host, port);
}

static void get_socket(bench *b) {
    if (send(b->socket, b->head, b->head_size, MSG_NOSIGNAL) != (ssize_t)b->head_size) {
        stop("send failed");
    }
    size_t have = 0, whole = SIZE_MAX;
    b->size = 0;
    while (have < whole) {
        ssize_t got = recv(b->socket, room, sizeof room - 1, 0);
        if (got <= 0) {
            stop("recv failed");
        }
        have += (size_t)got;
        if (whole == SIZE_MAX) { /* the first piece: nginx sends its head in one */
            room[got] = 0;
            char *end = strstr(room, "\r\n\r\n"), *length = strstr(room, "Content-Length: ");
            if (end == NULL || length == NULL) {
                stop("a head in pieces");
            }
            b->size = strtoul(length + 16, NULL, 10);
            whole = (size_t)(end + 4 - room) + b->size;
        }
    }
}

static const struct {
    const char *name;
    void (*begin)(bench *);
    void (*get)(bench *);
} MODES[] = {{"hangup", begin_hangup, get_hangup},
             {"curl", begin_curl, get_curl},
             {"curl-large", begin_curl_large, get_curl},
             {"socket", begin_socket, get_socket}};

int main(int argc, char **argv) {
    if (argc < 4) {
        stop("usage: %s hangup|curl|curl-large|socket URL BODIES [decode]", argv[0]);
    }
    decodes = argc > 4 && strcmp(argv[4], "decode") == 0;
    static bench b;
    b.url = argv[2];
    long bodies = atol(argv[3]);
    for (size_t m = 0; m < sizeof MODES / sizeof *MODES; m++) {
        if (strcmp(argv[1], MODES[m].name) != 0) {
            continue;
        }
        MODES[m].begin(&b);
        MODES[m].get(&b); /* not counted: it dials, and its pages are touched for the first time */
        size_t size = b.size;
        usage begin = used();
        for (long i = 0; i < bodies; i++) {
            MODES[m].get(&b);
            if (b.size != size) {
                stop("a body of %zu bytes", b.size);
            }
        }
        usage took = used_since(begin);
        double mb = (double)size * (double)bodies / 1e6;
        printf("mb_s=%.0f user_s_gb=%.4f sys_s_gb=%.4f\n", mb / took.wall, took.user * 1000 / mb,
               took.kernel * 1000 / mb);
        return 0;
    }
    stop("no mode %s", argv[1]);
}
