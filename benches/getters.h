/**
 * One GET after the other, with each client that is in C: what small_get.c, large_body.c, redirect_jar.c and get.c share.
 *
 * hangup      a request handle that is sent again and again, as curl performs an easy handle; the body is read into 256 KiB
 *             of the caller
 * hangup-url  hangup_client_get with the URL as text, each time
 * curl        an easy handle that is performed again and again; it lends its buffer (16 KiB by default) to a callback
 * curl-large  the same with a buffer of 256 KiB
 * socket      send, then recv into 256 KiB until the head's empty line and the body's length are there: the floor. It knows
 *             plain HTTP and Content-Length
 *
 * All of them follow redirects (not the socket), look at the status and count the body's bytes.
 */
#ifndef GETTERS_H
#define GETTERS_H

#include "bench.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/** What is asked for. What is zero is left as the client has it. */
typedef struct {
    const char *url;
    const char *roots; /* a file of root certificates, for https */
    int decodes;       /* undoes gzip, br and zstd; only gzip is asked for by name */
    long origins;      /* so many, in turn: the first one is the URL's, 127.0.0.1, and the others are the addresses behind it */
    int jar;           /* keeps cookies */
    int own;           /* the cookies are of the URL's host, and are sent */
    long cookies;      /* how many there are at first */
} wanted;

typedef struct {
    wanted what;
    size_t size; /* of the last body */
    long turn;
    char **urls; /* one for each origin */
    hangup_client *client;
    hangup_request **requests; /* likewise */
    CURL *easy;
    int socket;
    char head[512];
    size_t head_size;
    char room[256 * 1024];
} getter;

/** The begin and the get of a mode; the program ends if there is no such mode. */
typedef struct {
    const char *name;
    void (*begin)(getter *);
    void (*get)(void *);
} getter_mode;

static inline long origins_of(const getter *g) {
    return g->what.origins > 1 ? g->what.origins : 1;
}

static inline void name_urls(getter *g) {
    char scheme[16], rest[256];
    long count = origins_of(g);
    g->urls = calloc((size_t)count, sizeof *g->urls);
    g->urls[0] = strdup(g->what.url);
    for (long i = 1; i < count; i++) {
        if (sscanf(g->what.url, "%15[a-z]://127.0.0.1%255s", scheme, rest) != 2) {
            stop("not at 127.0.0.1: %s", g->what.url);
        }
        char url[320];
        snprintf(url, sizeof url, "%s://127.0.%ld.%ld%s", scheme, (i + 1) / 256, (i + 1) % 256, rest);
        g->urls[i] = strdup(url);
    }
}

/** The next origin's turn. */
static inline long next_origin(getter *g) {
    long origin = g->turn;
    g->turn = origin + 1 < origins_of(g) ? origin + 1 : 0;
    return origin;
}

/** A cookie of the URL's host, or of a site of its own. */
static inline void name_cookie(const getter *g, char *cookie, size_t size, long number) {
    snprintf(cookie, size, g->what.own ? "own%ld=%ld; Path=/" : "other%ld=%ld; Path=/", number, number);
}

static inline void begin_hangup(getter *g) {
    hangup_error *error = NULL;
    hangup_manager *manager = NULL;
    char url[64], cookie[64];
    check(hangup_manager_new(NULL, &manager, &error), "manager", &error);
    if (g->what.origins > 1) {
        check(hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_TOTAL, HANGUP_NO_LIMIT, &error), "limit", &error);
    }
    check(hangup_client_new(manager, &g->client, &error), "client", &error);
    hangup_manager_free(manager);
    if (g->what.roots != NULL) {
        check(hangup_client_set_tls_roots_file(g->client, g->what.roots, &error), g->what.roots, &error);
    }
    if (g->what.jar) {
        check(hangup_client_set_cookies(g->client, 1, &error), "jar", &error);
    }
    for (long i = 0; i < g->what.cookies; i++) {
        snprintf(url, sizeof url, "http://www.site%ld.example/", i);
        name_cookie(g, cookie, sizeof cookie, i);
        check(hangup_client_add_cookie(g->client, g->what.own ? g->what.url : url, cookie, &error), "cookie", &error);
    }
    name_urls(g);
    g->requests = calloc((size_t)origins_of(g), sizeof *g->requests);
    for (long i = 0; i < origins_of(g); i++) {
        check(hangup_request_new("GET", g->urls[i], &g->requests[i], &error), g->urls[i], &error);
        check(hangup_request_set_decode(g->requests[i], g->what.decodes, &error), "decode", &error);
    }
}

static inline void read_hangup(getter *g, hangup_response *response) {
    hangup_error *error = NULL;
    size_t got = 0;
    g->size = 0;
    do {
        check(hangup_response_read(response, g->room, sizeof g->room, &got, &error), "read", &error);
        g->size += got;
    } while (got > 0);
    if (hangup_response_status_code(response) != 200) {
        stop("status %d", (int)hangup_response_status_code(response));
    }
    hangup_response_free(response);
}

static inline void get_hangup(void *with) {
    getter *g = with;
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    check(hangup_client_send(g->client, g->requests[next_origin(g)], &response, &error), g->what.url, &error);
    read_hangup(g, response);
}

static inline void get_hangup_url(void *with) {
    getter *g = with;
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    const char *url = g->urls[next_origin(g)];
    check(hangup_client_get(g->client, url, HANGUP_NO_LIMIT, &response, &error), url, &error);
    read_hangup(g, response);
}

/** A small body ends up in memory of the program; of a large one the bytes are counted, and curl's buffer is not copied. */
static size_t take_curl(char *data, size_t size, size_t count, void *user_data) {
    getter *g = user_data;
    if (g->size + size * count <= 4096) {
        memcpy(g->room + g->size, data, size * count);
    }
    g->size += size * count;
    return size * count;
}

static inline void begin_curl(getter *g) {
    char host[128], cookie[64], line[512];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    name_urls(g);
    g->easy = curl_easy_init();
    curl_easy_setopt(g->easy, CURLOPT_URL, g->what.url);
    curl_easy_setopt(g->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(g->easy, CURLOPT_WRITEFUNCTION, take_curl);
    curl_easy_setopt(g->easy, CURLOPT_WRITEDATA, g);
    /* As programs with threads must; it spares curl two system calls a request. */
    curl_easy_setopt(g->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(g->easy, CURLOPT_MAXCONNECTS, origins_of(g) + 5);
    if (g->what.roots != NULL) {
        curl_easy_setopt(g->easy, CURLOPT_CAINFO, g->what.roots);
    }
    if (g->what.decodes) {
        curl_easy_setopt(g->easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    }
    if (g->what.jar) {
        curl_easy_setopt(g->easy, CURLOPT_COOKIEFILE, "");
    }
    for (long i = 0; i < g->what.cookies; i++) {
        snprintf(host, sizeof host, "www.site%ld.example", i);
        if (g->what.own && sscanf(g->what.url, "http://%127[^:/]", host) != 1) {
            stop("not http://HOST: %s", g->what.url);
        }
        name_cookie(g, cookie, sizeof cookie, i);
        snprintf(line, sizeof line, "Set-Cookie: %s; Domain=%s", cookie, host);
        curl_easy_setopt(g->easy, CURLOPT_COOKIELIST, line);
    }
}

static inline void begin_curl_large(getter *g) {
    begin_curl(g);
    curl_easy_setopt(g->easy, CURLOPT_BUFFERSIZE, (long)sizeof g->room);
}

static inline void get_curl(void *with) {
    getter *g = with;
    long status = 0;
    g->size = 0;
    if (g->what.origins > 1) {
        curl_easy_setopt(g->easy, CURLOPT_URL, g->urls[next_origin(g)]);
    }
    CURLcode code = curl_easy_perform(g->easy);
    curl_easy_getinfo(g->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) {
        stop("%s: %s, status %ld", g->what.url, curl_easy_strerror(code), status);
    }
}

static inline void begin_socket(getter *g) {
    char host[64], path[256] = "/";
    int port = 80, on = 1;
    if (sscanf(g->what.url, "http://%63[^:/]:%d%255s", host, &port, path) < 2) {
        stop("not http://ADDRESS:PORT/PATH: %s", g->what.url);
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    g->socket = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(g->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(g->socket, (struct sockaddr *)&address, sizeof address) != 0) {
        stop("can't connect to %s", g->what.url);
    }
    g->head_size =
        (size_t)snprintf(g->head, sizeof g->head, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n\r\n", path, host, port);
}

static inline void get_socket(void *with) {
    getter *g = with;
    size_t have = 0, whole = SIZE_MAX;
    if (send(g->socket, g->head, g->head_size, MSG_NOSIGNAL) != (ssize_t)g->head_size) {
        stop("send failed");
    }
    while (have < whole) {
        /* The head stays where it is until it is whole. */
        size_t at = whole == SIZE_MAX ? have : 0;
        ssize_t got = recv(g->socket, g->room + at, sizeof g->room - 1 - at, 0);
        if (got <= 0) {
            stop("recv failed");
        }
        have += (size_t)got;
        if (whole == SIZE_MAX) {
            g->room[have] = 0;
            char *end = strstr(g->room, "\r\n\r\n");
            char *length = end != NULL ? strstr(g->room, "Content-Length: ") : NULL;
            if (end != NULL && (length == NULL || strncmp(g->room, "HTTP/1.1 200", 12) != 0)) {
                stop("no 200 with a length");
            }
            if (end != NULL) {
                g->size = strtoul(length + 16, NULL, 10);
                whole = (size_t)(end + 4 - g->room) + g->size;
            }
        }
    }
}

static inline getter_mode getter_named(const char *name) {
    static const getter_mode MODES[] = {{"hangup", begin_hangup, get_hangup},
                                        {"hangup-url", begin_hangup, get_hangup_url},
                                        {"curl", begin_curl, get_curl},
                                        {"curl-large", begin_curl_large, get_curl},
                                        {"socket", begin_socket, get_socket}};
    for (size_t m = 0; m < sizeof MODES / sizeof *MODES; m++) {
        if (strcmp(name, MODES[m].name) == 0) {
            return MODES[m];
        }
    }
    stop("no mode %s", name);
    exit(1);
}

/** GETs it again and again, and stops the program if a body has another size than the first one (or than `size`, if that is
 * not 0): see `repeat`. */
typedef struct {
    getter *g;
    void (*get)(void *);
    size_t size;
} same_size;

static inline void get_same_size(void *with) {
    same_size *s = with;
    s->get(s->g);
    if (s->size == 0) {
        s->size = s->g->size;
    }
    if (s->g->size != s->size) {
        stop("a body of %zu bytes instead of %zu", s->g->size, s->size);
    }
}

static inline usage get_again(const char *mode, getter *g, size_t size, long warm_up, long count) {
    getter_mode m = getter_named(mode);
    m.begin(g);
    same_size s = {g, m.get, size};
    return repeat(get_same_size, &s, warm_up, count);
}

#endif
