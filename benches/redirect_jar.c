/**
 * Small GETs that a redirect leads to, and with a cookie jar.
 *
 *     redirect_jar hangup|curl URL COOKIES REQUESTS [WARM-UP]
 *
 * URL answers with 200 and a body of three bytes, or redirects to such a URL: redirects are followed. COOKIES is "off" for
 * no jar, "0" for an empty one, a number for a jar with as many cookies of other sites, and "own" and a number, as "own50",
 * for cookies that are sent with each request.
 *
 * One request handle is sent again and again, as curl performs one easy handle. Prints requests a second and
 * microseconds of CPU a request. Instructions: the difference of two runs under callgrind (see README.md).
 */
#include "bench.h"
#include <curl/curl.h>

typedef struct {
    const char *url;
    char body[4096];
    size_t size;
    hangup_client *client;
    hangup_request *request;
    CURL *easy;
} bench;

/** A cookie of the URL's host, or of a site of its own. */
static void name_cookie(char *cookie, size_t size, int own, long number) {
    snprintf(cookie, size, own ? "own%ld=%ld; Path=/" : "other%ld=%ld; Path=/", number, number);
}

static void begin_hangup(bench *b, int jar, int own, long cookies) {
    hangup_error *error = NULL;
    char url[64], cookie[64];
    check(hangup_client_new(NULL, &b->client, &error), "client", &error);
    check(hangup_client_set_cookies(b->client, jar, &error), "jar", &error);
    for (long i = 0; i < cookies; i++) {
        snprintf(url, sizeof url, "http://www.site%ld.example/", i);
        name_cookie(cookie, sizeof cookie, own, i);
        check(hangup_client_add_cookie(b->client, own ? b->url : url, cookie, &error), "cookie", &error);
    }
    check(hangup_request_new("GET", b->url, &b->request, &error), "request", &error);
}

static void get_hangup(bench *b) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    size_t got = 0;
    b->size = 0;
    check(hangup_client_send(b->client, b->request, &response, &error), b->url, &error);
    do {
        check(hangup_response_read(response, b->body + b->size, sizeof b->body - b->size, &got, &error), "read",
              &error);
        b->size += got;
    } while (got > 0);
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

static void begin_curl(bench *b, int jar, int own, long cookies) {
    char host[128], cookie[64], line[512];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    b->easy = curl_easy_init();
    curl_easy_setopt(b->easy, CURLOPT_URL, b->url);
    curl_easy_setopt(b->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(b->easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(b->easy, CURLOPT_WRITEDATA, b);
    curl_easy_setopt(b->easy, CURLOPT_NOSIGNAL, 1L);
    if (jar) {
        curl_easy_setopt(b->easy, CURLOPT_COOKIEFILE, "");
    }
    for (long i = 0; i < cookies; i++) {
        snprintf(host, sizeof host, "www.site%ld.example", i);
        if (own && sscanf(b->url, "http://%127[^:/]", host) != 1) {
            stop("not http://HOST: %s", b->url);
        }
        name_cookie(cookie, sizeof cookie, own, i);
        snprintf(line, sizeof line, "Set-Cookie: %s; Domain=%s", cookie, host);
        curl_easy_setopt(b->easy, CURLOPT_COOKIELIST, line);
    }
}

static void get_curl(bench *b) {
    long status = 0;
    b->size = 0;
    CURLcode code = curl_easy_perform(b->easy);
    curl_easy_getinfo(b->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) {
        stop("%s: %s, status %ld", b->url, curl_easy_strerror(code), status);
    }
}

int main(int argc, char **argv) {
    if (argc < 5) {
        stop("usage: %s hangup|curl URL off|COOKIES|ownCOOKIES REQUESTS [WARM-UP]", argv[0]);
    }
    static bench b;
    int is_curl = strcmp(argv[1], "curl") == 0;
    int jar = strcmp(argv[3], "off") != 0, own = strncmp(argv[3], "own", 3) == 0;
    long cookies = jar ? atol(argv[3] + (own ? 3 : 0)) : 0;
    long requests = atol(argv[4]), warm_up = argc > 5 ? atol(argv[5]) : 200;
    void (*get)(bench *) = is_curl ? get_curl : get_hangup;
    b.url = argv[2];
    (is_curl ? begin_curl : begin_hangup)(&b, jar, own, cookies);
    for (long i = 0; i < warm_up; i++) {
        get(&b);
    }
    usage begin = used();
    for (long i = 0; i < requests; i++) {
        get(&b);
        if (b.size != 3) {
            stop("a body of %zu bytes", b.size);
        }
    }
    report_requests(used_since(begin), requests);
    return 0;
}
