/**
 * One body uploaded again and again on one kept connection, made in five ways.
 *
 *     upload CLIENT memory|reader|file|chunked|pushed URL BYTES REQUESTS [ROOTS.pem]
 *
 * CLIENT is hangup, submitted, curl, curl-large or socket:
 *
 * hangup      hangup_client_send
 * submitted   hangup_client_submit, to a queue whose caller runs the work (hangup_queue_set_caller_runs)
 * curl        one easy handle, performed again and again
 * curl-large  the same, with CURLOPT_UPLOAD_BUFFERSIZE at 2 MiB
 * socket      send(2) of 256 KiB at a time: the floor, for memory only and without TLS
 *
 * memory   the body is in memory (hangup_request_set_body_borrowed, CURLOPT_POSTFIELDS)
 * reader   a callback gives it, of a known length: it copies from memory
 * file     a file, read as the library reads it; with curl, by fread(3), as its documentation shows
 * chunked  the callback, of unknown length
 * pushed   a second thread writes it (hangup_upload_write_all); hangup and submitted only
 *
 * The server is benches/sink.c; benches/peers/hyper and benches/peers/ureq take the same arguments behind their name. Prints
 * MB/s, milliseconds of CPU a MB, and requests a second with microseconds of CPU a request.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    const char *how, *url, *roots;
    uint8_t *body;
    size_t size, given;
    char path[64];
    FILE *file;
    hangup_client *client;
    hangup_request *request;
    hangup_queue *queue;
    CURL *easy;
    struct curl_slist *headers;
    int socket;
    char head[512];
} bench;

static int is(const char *text, const char *other) { return strcmp(text, other) == 0; }

/** The body again: as many bytes as there are and fit. */
static size_t give(bench *b, void *into, size_t room) {
    size_t size = b->size - b->given < room ? b->size - b->given : room;
    memcpy(into, b->body + b->given, size);
    b->given += size;
    return size;
}

static int64_t read_hangup(void *user_data, uint8_t *into, size_t room) {
    return (int64_t)give(user_data, into, room);
}

typedef struct {
    bench *b;
    hangup_upload *upload;
} writer;

static void *write_hangup(void *user_data) {
    writer *w = user_data;
    hangup_error *error = NULL;
    const size_t piece = 256 * 1024;
    for (size_t at = 0; at < w->b->size; at += piece) {
        size_t size = w->b->size - at < piece ? w->b->size - at : piece;
        check(hangup_upload_write_all(w->upload, w->b->body + at, size, &error), "write", &error);
    }
    check(hangup_upload_finish(w->upload, &error), "finish", &error);
    return NULL;
}

static void begin_hangup(bench *b) {
    hangup_error *error = NULL;
    check(hangup_client_new(NULL, &b->client, &error), "client", &error);
    if (b->roots != NULL) {
        check(hangup_client_set_tls_roots_file(b->client, b->roots, &error), b->roots, &error);
    }
    check(hangup_request_new("POST", b->url, &b->request, &error), "request", &error);
    if (is(b->how, "memory")) {
        check(hangup_request_set_body_borrowed(b->request, b->body, b->size, NULL, NULL, &error), "body", &error);
    } else if (is(b->how, "file")) {
        check(hangup_request_set_body_file(b->request, b->path, &error), "body", &error);
    }
}

static void begin_submitted(bench *b) {
    hangup_error *error = NULL;
    begin_hangup(b);
    b->queue = hangup_queue_new();
    check(hangup_queue_set_caller_runs(b->queue, 1, &error), "queue", &error);
}

static void post_hangup(bench *b) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    writer w = {.b = b};
    pthread_t thread;
    if (is(b->how, "reader") || is(b->how, "chunked")) {
        int64_t length = is(b->how, "reader") ? (int64_t)b->size : HANGUP_NO_LIMIT;
        check(hangup_request_set_body_reader(b->request, read_hangup, NULL, b, length, &error), "body", &error);
    } else if (is(b->how, "pushed")) {
        check(hangup_upload_new((int64_t)b->size, &w.upload, &error), "upload", &error);
        check(hangup_request_set_body_upload(b->request, w.upload, &error), "body", &error);
        if (pthread_create(&thread, NULL, write_hangup, &w) != 0) {
            stop("no thread");
        }
    }
    if (b->queue == NULL) {
        check(hangup_client_send(b->client, b->request, &response, &error), b->url, &error);
    } else {
        hangup_completion done = HANGUP_COMPLETION_INIT;
        check(hangup_client_submit(b->client, b->request, b->queue, 0, &error), "submit", &error);
        check(hangup_queue_next(b->queue, HANGUP_NO_LIMIT, &done), "next", &error);
        check(done.status, b->url, &done.error);
        response = done.response;
    }
    if (w.upload != NULL) {
        pthread_join(thread, NULL);
        hangup_upload_free(w.upload);
    }
    char answer[16];
    size_t got = 0;
    check(hangup_response_read_full(response, answer, sizeof answer, sizeof answer, &got, &error), "read", &error);
    if (hangup_response_status_code(response) != 200 || got != 3) {
        stop("status %d", (int)hangup_response_status_code(response));
    }
    hangup_response_free(response);
}

static size_t read_curl(char *into, size_t size, size_t count, void *user_data) {
    bench *b = user_data;
    return b->file != NULL ? fread(into, 1, size * count, b->file) : give(b, into, size * count);
}

static size_t take_curl(char *data, size_t size, size_t count, void *user_data) {
    (void)data;
    *(size_t *)user_data += size * count;
    return size * count;
}

static void begin_curl(bench *b) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    b->easy = curl_easy_init();
    curl_easy_setopt(b->easy, CURLOPT_URL, b->url);
    curl_easy_setopt(b->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(b->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(b->easy, CURLOPT_WRITEFUNCTION, take_curl);
    if (b->roots != NULL) {
        curl_easy_setopt(b->easy, CURLOPT_CAINFO, b->roots);
    }
    /* It would wait for 100 Continue for a second. */
    b->headers = curl_slist_append(NULL, "Expect:");
    b->headers = curl_slist_append(b->headers, "Content-Type: application/octet-stream");
    if (is(b->how, "memory")) {
        curl_easy_setopt(b->easy, CURLOPT_POSTFIELDS, b->body);
    } else {
        curl_easy_setopt(b->easy, CURLOPT_READFUNCTION, read_curl);
        curl_easy_setopt(b->easy, CURLOPT_READDATA, b);
    }
    if (is(b->how, "chunked")) {
        b->headers = curl_slist_append(b->headers, "Transfer-Encoding: chunked");
    } else {
        curl_easy_setopt(b->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)b->size);
    }
    curl_easy_setopt(b->easy, CURLOPT_HTTPHEADER, b->headers);
}

static void begin_curl_large(bench *b) {
    begin_curl(b);
    curl_easy_setopt(b->easy, CURLOPT_UPLOAD_BUFFERSIZE, 2L * 1024 * 1024);
}

static void post_curl(bench *b) {
    size_t got = 0;
    curl_easy_setopt(b->easy, CURLOPT_WRITEDATA, &got);
    if (is(b->how, "file")) {
        b->file = fopen(b->path, "rb");
    }
    CURLcode code = curl_easy_perform(b->easy);
    long status = 0;
    curl_easy_getinfo(b->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200 || got != 3) {
        stop("%s: %s, status %ld", b->url, curl_easy_strerror(code), status);
    }
    if (b->file != NULL) {
        fclose(b->file);
    }
}

static void begin_socket(bench *b) {
    int port = 80, on = 1;
    char host[64];
    if (!is(b->how, "memory") || sscanf(b->url, "http://%63[^:/]:%d", host, &port) < 2) {
        stop("socket is for memory and http://ADDRESS:PORT/PATH");
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    b->socket = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(b->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(b->socket, (struct sockaddr *)&address, sizeof address) != 0) {
        stop("can't connect to %s", b->url);
    }
    snprintf(b->head, sizeof b->head, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\n\r\n", host, b->size);
}

static void post_socket(bench *b) {
    struct iovec parts[2] = {{b->head, strlen(b->head)}, {b->body, 0}};
    size_t at = 0;
    char answer[256];
    while (at < b->size) {
        size_t most = 256 * 1024, left = b->size - at;
        parts[1] = (struct iovec){b->body + at, left < most ? left : most};
        struct msghdr message = {.msg_iov = at == 0 ? parts : parts + 1, .msg_iovlen = at == 0 ? 2 : 1};
        ssize_t sent = sendmsg(b->socket, &message, MSG_NOSIGNAL);
        if (sent < (ssize_t)strlen(b->head)) {
            stop("send failed");
        }
        at += (size_t)sent - (at == 0 ? strlen(b->head) : 0);
    }
    if (recv(b->socket, answer, sizeof answer, 0) <= 0) {
        stop("recv failed");
    }
}

static const struct {
    const char *name;
    void (*begin)(bench *);
    void (*post)(bench *);
} CLIENTS[] = {{"hangup", begin_hangup, post_hangup},
               {"submitted", begin_submitted, post_hangup},
               {"curl", begin_curl, post_curl},
               {"curl-large", begin_curl_large, post_curl},
               {"socket", begin_socket, post_socket}};

int main(int argc, char **argv) {
    if (argc < 6) {
        stop("usage: %s CLIENT memory|reader|file|chunked|pushed URL BYTES REQUESTS [ROOTS.pem]", argv[0]);
    }
    static bench b;
    b.how = argv[2], b.url = argv[3], b.roots = argc > 6 ? argv[6] : NULL;
    b.size = strtoul(argv[4], NULL, 10);
    long requests = atol(argv[5]);
    b.body = malloc(b.size + 1);
    memset(b.body, 'x', b.size);
    if (is(b.how, "file")) {
        strcpy(b.path, "/tmp/hangup-upload-XXXXXX");
        int file = mkstemp(b.path);
        if (file < 0 || write(file, b.body, b.size) != (ssize_t)b.size) {
            stop("%s can't be written", b.path);
        }
        close(file);
    }
    for (size_t c = 0; c < sizeof CLIENTS / sizeof *CLIENTS; c++) {
        if (!is(argv[1], CLIENTS[c].name)) {
            continue;
        }
        CLIENTS[c].begin(&b);
        /* The connection is opened by a request that is not counted, and buffers are there. */
        b.given = 0;
        CLIENTS[c].post(&b);
        usage began = used();
        for (long i = 0; i < requests; i++) {
            b.given = 0;
            CLIENTS[c].post(&b);
        }
        usage took = used_since(began);
        double mb = (double)b.size * (double)requests / 1e6, cpu = took.user + took.kernel;
        printf("mb_s=%.0f user_ms_mb=%.4f cpu_ms_mb=%.4f rps=%.0f cpu_us=%.3f\n", mb / took.wall, took.user * 1e3 / mb,
               cpu * 1e3 / mb, (double)requests / took.wall, cpu * 1e6 / (double)requests);
        if (b.path[0] != 0) {
            unlink(b.path);
        }
        return 0;
    }
    stop("no client %s", argv[1]);
}
