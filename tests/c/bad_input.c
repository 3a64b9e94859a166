/**
 * Bad input is refused before anything is opened, with a status of its own and a message that says what to do.
 * Servers: `hello` answers 200 "hello".
 */
#include "check.h"

/** The message has to name at least this, so that its reader knows what to do. */
static void refused(hangup_status expected, hangup_status actual, hangup_error **place, const char *what,
                    const char *hint) {
    hangup_error *error = *place;
    *place = NULL;
    if (actual != expected) {
        FAIL("\"%s\": %s, not %s", what, hangup_status_text(actual), hangup_status_text(expected));
    }
    CHECK_NUMBER(expected, hangup_error_status(error));
    CHECK_NUMBER(HANGUP_PHASE_NONE, hangup_error_phase(error));
    CHECK_NUMBER(0, hangup_error_connection_id(error));
    CHECK_NUMBER(HANGUP_SENT_NOTHING, hangup_error_sent(error));
    const char *message = hangup_error_message(error);
    if (strlen(message) < 10 || (hint != NULL && strcasestr(message, hint) == NULL)) {
        FAIL("\"%s\": the message \"%s\" does not speak of \"%s\"", what, message, hint == NULL ? "" : hint);
    }
    hangup_error_free(error);
}

static void urls(void) {
    static const char *const bad[] = {
        "",
        "nonsense",
        "/path",
        "//host/path",
        "http://",
        "ftp://host/",
        "file:///etc/passwd",
        "gopher://host/",
        "javascript:alert(1)",
        "http://ho st/",
        "http://ho st/a",
        "http://host/a\r\nX-Injected: 1",
        "http://host/a\tb",
        " http://host/",
        "http://host:99999/",
        "http://host:port/",
        "http://[::1/",
        "http://ho\x01st/",
    };
    hangup_client *client = new_client(NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hangup_request *request = NULL;
        hangup_response *response = NULL;
        hangup_error *error = NULL;
        hangup_status status = hangup_request_new("GET", bad[i], &request, &error);
        refused(HANGUP_INVALID_URL, status, &error, bad[i], NULL);
        CHECK(request == NULL);
        error = NULL;
        status = hangup_client_get(client, bad[i], 1000, &response, &error);
        refused(HANGUP_INVALID_URL, status, &error, bad[i], NULL);
        CHECK(response == NULL);
    }
    hangup_error *error = NULL;
    hangup_request *request = NULL;
    hangup_status status = hangup_request_new("GET", "http://\xff\xfe/", &request, &error);
    refused(HANGUP_INVALID_ARGUMENT, status, &error, "not UTF-8", "UTF-8");
    hangup_client_free(client);
}

static void methods(void) {
    static const char *const bad[] = {"", "G T", "GET ", "GET\r\nX: 1", "G\tT", "GET/", "M\xc3\xa9thode", "(GET)"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hangup_request *request = NULL;
        hangup_error *error = NULL;
        hangup_status status = hangup_request_new(bad[i], given("hello"), &request, &error);
        refused(HANGUP_INVALID_METHOD, status, &error, bad[i], NULL);
        CHECK(request == NULL);
    }
    /* Not known, but a token: a server may know it. */
    hangup_request *request = new_request("PROPFIND", given("hello"));
    CHECK_TEXT("PROPFIND", hangup_request_method(request));
    hangup_request_free(request);
}

static void headers(void) {
    static const char *const bad[][2] = {
        {"", "v"},
        {"X Y", "v"},
        {"X:", "v"},
        {"X\r\nY", "v"},
        {"X\xc3\xa9", "v"},
        {"X", "v\r\nInjected: 1"},
        {"X", "v\nInjected: 1"},
        {"X", "v\rw"},
        {"X", "v\x01w"},
    };
    hangup_request *request = new_request("GET", given("hello"));
    hangup_client *client = new_client(NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hangup_error *error = NULL;
        hangup_status status = hangup_request_add_header(request, bad[i][0], bad[i][1], &error);
        refused(HANGUP_INVALID_HEADER, status, &error, bad[i][0], NULL);
        error = NULL;
        status = hangup_client_set_header(client, bad[i][0], bad[i][1], &error);
        refused(HANGUP_INVALID_HEADER, status, &error, bad[i][0], NULL);
    }
    hangup_client_free(client);
    hangup_request_free(request);
}

/** What the library says itself can't be contradicted; where that depends on the rest, it is seen when it is sent. */
static void contradictions(void) {
    static const char *const bad[][2] = {
        {"Content-Length", "12"},
        {"content-length", "nonsense"},
        {"Transfer-Encoding", "chunked"},
        {"Transfer-Encoding", "gzip"},
        {"Host", "elsewhere invalid"},
        {"Connection", "upgrade"},
    };
    hangup_manager *manager = new_manager();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int by_client = 0; by_client < 2; by_client++) {
            hangup_client *client = new_client(manager);
            hangup_request *request = new_request("POST", given("hello"));
            CHECK_OK(hangup_request_set_body(request, (const uint8_t *)"body", 4, NULL), NULL);
            hangup_response *response = NULL;
            hangup_error *error = NULL;
            hangup_status status = by_client ? hangup_client_set_header(client, bad[i][0], bad[i][1], &error)
                                             : hangup_request_add_header(request, bad[i][0], bad[i][1], &error);
            if (status == HANGUP_OK) {
                status = hangup_client_send(client, request, &response, &error);
            }
            refused(HANGUP_INVALID_HEADER, status, &error, bad[i][0], bad[i][0]);
            hangup_request_free(request);
            hangup_client_free(client);
        }
    }
    CHECK_NUMBER(0, stats_of(manager).opened);
    hangup_manager_free(manager);
}

static void timeouts(void) {
    static const int64_t bad[] = {0, -2, -1000, INT64_MIN};
    hangup_request *request = new_request("GET", given("hello"));
    hangup_client *client = new_client(NULL);
    hangup_cancel *token = hangup_cancel_new();
    hangup_response *response = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (hangup_timeout which = HANGUP_TIMEOUT_TOTAL; which <= HANGUP_TIMEOUT_READ; which++) {
            hangup_error *error = NULL;
            hangup_status status = hangup_request_set_timeout(request, which, bad[i], &error);
            refused(HANGUP_INVALID_TIMEOUT, status, &error, hangup_timeout_text(which), "HANGUP_NO_LIMIT");
            error = NULL;
            status = hangup_client_set_timeout(client, which, bad[i], &error);
            refused(HANGUP_INVALID_TIMEOUT, status, &error, hangup_timeout_text(which), "HANGUP_NO_LIMIT");
        }
        hangup_error *error = NULL;
        hangup_status status = hangup_client_get(client, given("hello"), bad[i], &response, &error);
        refused(HANGUP_INVALID_TIMEOUT, status, &error, "a total", "HANGUP_NO_LIMIT");
        error = NULL;
        status = hangup_request_set_min_rate(request, 1, bad[i], &error);
        refused(HANGUP_INVALID_TIMEOUT, status, &error, "a window", NULL);
        CHECK_STATUS(HANGUP_INVALID_TIMEOUT, hangup_cancel_fire_after(token, bad[i]), NULL);
        CHECK_STATUS(HANGUP_INVALID_TIMEOUT, hangup_set_interrupt_check(NULL, NULL, bad[i]), NULL);
    }
    CHECK_STATUS(HANGUP_INVALID_TIMEOUT, hangup_cancel_fire_after(token, HANGUP_NO_LIMIT), NULL);
    CHECK_NUMBER(0, hangup_cancel_is_fired(token));
    CHECK(response == NULL);
    /* Spelled right, and as large as can be. */
    CHECK_OK(hangup_request_set_timeout(request, HANGUP_TIMEOUT_HEAD, HANGUP_NO_LIMIT, NULL), NULL);
    CHECK_OK(hangup_request_set_timeout(request, HANGUP_TIMEOUT_TOTAL, INT64_MAX, NULL), NULL);
    CHECK_OK(hangup_cancel_fire_after(token, INT64_MAX), NULL);
    CHECK_OK(hangup_request_set_cancel(request, token), NULL);
    CHECK_OK(hangup_client_send(client, request, &response, NULL), NULL);
    check_body(response, "hello");
    hangup_response_free(response);
    hangup_cancel_free(token);
    hangup_client_free(client);
    hangup_request_free(request);
}

static void numbers(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_request *request = new_request("GET", given("hello"));
    hangup_options *options = hangup_options_new();
    static const int32_t unknown[] = {-1, 99, INT32_MIN, INT32_MAX};
    const hangup_status bad = HANGUP_INVALID_ARGUMENT;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        int32_t n = unknown[i];
        hangup_error *e = NULL;
        refused(bad, hangup_request_set_timeout(request, (hangup_timeout)n, 1000, &e), &e, "clock", "HANGUP_TIMEOUT_");
        refused(bad, hangup_client_set_timeout(client, (hangup_timeout)n, 1000, &e), &e, "clock", "HANGUP_TIMEOUT_");
        refused(bad, hangup_request_set_connection_mode(request, (hangup_connection_mode)n, &e), &e, "mode", "HANGUP_CONNECTION_MODE_KEEP");
        refused(bad, hangup_client_set_connection_mode(client, (hangup_connection_mode)n, &e), &e, "mode", "HANGUP_CONNECTION_MODE_KEEP");
        refused(bad, hangup_manager_set_limit(manager, (hangup_limit)n, 1, &e), &e, "limit", "HANGUP_LIMIT_");
        refused(bad, hangup_options_set_limit(options, (hangup_limit)n, 1, &e), &e, "limit", "HANGUP_LIMIT_");
        refused(bad, hangup_manager_close_connection(manager, 1, (hangup_close_mode)n, &e), &e, "close mode", "HANGUP_CLOSE_MODE_NOW");
        refused(bad, hangup_manager_close_origin(manager, "http://host", (hangup_close_mode)n, NULL, &e), &e, "close mode", "HANGUP_CLOSE_MODE_NOW");
        CHECK_STATUS(bad, hangup_manager_close_all(manager, (hangup_close_mode)n, NULL), NULL);
    }
    hangup_error *e = NULL;
    /* Those that only an error can name. */
    refused(bad, hangup_request_set_timeout(request, HANGUP_TIMEOUT_NONE, 1, &e), &e, "none", "HANGUP_TIMEOUT_");
    refused(bad, hangup_request_set_timeout(request, HANGUP_TIMEOUT_MIN_RATE, 1, &e), &e, "rate", "HANGUP_TIMEOUT_");
    refused(bad, hangup_request_set_timeout(request, HANGUP_TIMEOUT_TOKEN, 1, &e), &e, "token", "HANGUP_TIMEOUT_");
    refused(bad, hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_TOTAL, -2, &e), &e, "a negative limit", NULL);
    refused(HANGUP_INVALID_TIMEOUT, hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_MS, 0, &e), &e, "0 ms", NULL);
    refused(HANGUP_INVALID_URL, hangup_manager_close_origin(manager, "host", HANGUP_CLOSE_MODE_NOW, NULL, &e), &e, "host", NULL);
    refused(bad, hangup_request_set_min_rate(request, 0, 1000, &e), &e, "a rate of 0", "HANGUP_NO_LIMIT");
    refused(bad, hangup_client_set_max_head(client, 255, &e), &e, "255 bytes", "256");
    CHECK_STATUS(bad, hangup_manager_close_idle(manager, -1, NULL), NULL);
    CHECK_STATUS(HANGUP_NOT_FOUND, hangup_manager_close_connection(manager, 0, HANGUP_CLOSE_MODE_NOW, NULL), NULL);
    CHECK_NUMBER(0, stats_of(manager).opened);

    /* A report whose size was forgotten, one whose size is none, and one by a program older than the library. */
    hangup_stats stats = {.size = 0, .open = 7};
    CHECK_OK(hangup_manager_stats(manager, &stats), NULL);
    CHECK_NUMBER(sizeof stats, stats.size);
    CHECK_NUMBER(0, stats.open);
    stats.size = sizeof(size_t);
    CHECK_STATUS(bad, hangup_manager_stats(manager, &stats), NULL);
    stats.size = offsetof(hangup_stats, dialling);
    stats.dialling = 4711;
    CHECK_OK(hangup_manager_stats(manager, &stats), NULL);
    CHECK_NUMBER(4711, stats.dialling);
    CHECK_NUMBER(0, stats.open);
    hangup_response *response = get(client, given("hello"));
    hangup_timings timings = {.size = 3};
    CHECK_STATUS(bad, hangup_response_timings(response, &timings), NULL);
    timings.size = 0;
    CHECK_OK(hangup_response_timings(response, &timings), NULL);
    CHECK_NUMBER(sizeof timings, timings.size);
    CHECK(timings.head_us >= 0 && timings.tls_us == -1);
    hangup_connections *list = NULL;
    hangup_connection_info info = {0};
    CHECK_OK(hangup_manager_connections(manager, &list, NULL), NULL);
    CHECK_OK(hangup_connections_at(list, 0, &info), NULL);
    CHECK_NUMBER(sizeof info, info.size);
    CHECK(info.id == hangup_response_connection_id(response) && info.bytes_out > 0);
    hangup_connections_free(list);
    CHECK_STATUS(bad, hangup_response_close(response, 99), NULL);
    char room[1];
    size_t got = 0;
    refused(bad, hangup_response_read(response, room, 0, &got, &e), &e, "a room of 0", "0 bytes");
    check_body(response, "hello");
    hangup_response_free(response);
    hangup_options_free(options);
    hangup_request_free(request);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void certificates(void) {
    hangup_client *client = new_client(NULL);
    hangup_error *e = NULL;
    const uint8_t junk[] = "-----BEGIN NONSENSE-----";
    const hangup_status bad = HANGUP_INVALID_ARGUMENT;
    refused(bad, hangup_client_set_tls_roots(client, junk, sizeof junk - 1, &e), &e, "junk roots", "certificate");
    refused(bad, hangup_client_set_tls_roots(client, NULL, 0, &e), &e, "no roots", "certificate");
    refused(bad, hangup_client_set_tls_roots_file(client, "/dev/null", &e), &e, "an empty file", "certificate");
    refused(bad, hangup_client_set_tls_certificate(client, junk, 5, junk, 5, &e), &e, "junk", NULL);
    CHECK_STATUS(HANGUP_SYSTEM, hangup_client_set_tls_roots_file(client, "/no/such/file.pem", &e), e);
    CHECK_NUMBER(ENOENT, hangup_error_os_code(e));
    CHECK(strstr(hangup_error_message(e), "/no/such/file.pem") != NULL);
    hangup_error_free(e);
    hangup_client_free(client);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    urls();
    methods();
    headers();
    contradictions();
    timeouts();
    numbers();
    certificates();
    return 0;
}
