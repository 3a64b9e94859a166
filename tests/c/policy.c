/**
 * What a call does by itself, and that it can be told not to: redirects, retries, cookies, decoding. Servers: `moves`
 * redirects "/" to "/there" (302, with a cookie), "/loop" to itself and "/away" to `echo`, and answers "/there" with the
 * request's head; `echo` answers with the request's head; `breaks` answers "hello" once and closes at the second
 * request; `gzip` answers "hello" in 25 bytes of gzip.
 */
#include "check.h"

/** GET `base` followed by `path`, or the end of the program. */
static hangup_response *get_path(hangup_client *client, const char *base, const char *path) {
    char url[256];
    snprintf(url, sizeof url, "%s%s", base, path);
    return get(client, url);
}

/** Reads the response to its end and frees it; answers whether its body holds that text. */
static int says(hangup_response *response, const char *text) {
    char *body = body_text(response);
    int found = strstr(body, text) != NULL;
    free(body);
    hangup_response_free(response);
    return found;
}

static hangup_status send_one(hangup_client *client, hangup_request *request, hangup_error **error) {
    hangup_response *response = NULL;
    hangup_status status = hangup_client_send(client, request, &response, error);
    hangup_response_free(response);
    return status;
}

static void redirects(void) {
    hangup_client *client = new_client(NULL);
    hangup_error *error = NULL;
    const char *moves = given("moves");

    hangup_response *response = get(client, moves);
    CHECK_NUMBER(200, hangup_response_status_code(response));
    CHECK_NUMBER(1, hangup_response_history_count(response));
    int32_t status = 0;
    CHECK_TEXT(moves, hangup_response_history_at(response, 0, &status));
    CHECK_NUMBER(302, status);
    CHECK_TEXT(moves, hangup_response_history_at(response, 0, NULL));
    CHECK(hangup_response_history_at(response, 1, &status) == NULL);
    CHECK_NUMBER(302, status);
    CHECK_TEXT("/there", strstr(hangup_response_url(response), "/there"));
    CHECK_NUMBER(1, hangup_response_attempts(response));
    hangup_response_free(response);

    /* As many as the request says, or the client. */
    char loop[256];
    snprintf(loop, sizeof loop, "%sloop", moves);
    hangup_request *request = new_request("GET", loop);
    CHECK_OK(hangup_request_set_redirects(request, 3, &error), error);
    CHECK_STATUS(HANGUP_REDIRECT_REFUSED, send_one(client, request, &error), error);
    CHECK_NUMBER(302, hangup_error_status_code(error));
    CHECK_NUMBER(1, hangup_error_attempts(error));
    CHECK(strstr(hangup_error_message(error), "more than 3") != NULL);
    hangup_error_free(error);
    CHECK_OK(hangup_client_set_redirects(client, 0, &error), error);
    CHECK_STATUS(HANGUP_REDIRECT_REFUSED, send_one(client, request, NULL), NULL);
    hangup_request_free(request);
    response = get(client, moves);
    CHECK_NUMBER(302, hangup_response_status_code(response));
    CHECK_NUMBER(0, hangup_response_history_count(response));
    hangup_response_free(response);
    CHECK_OK(hangup_client_set_redirects(client, HANGUP_NO_LIMIT, &error), error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_redirects(client, -2, &error), error);
    hangup_error_free(error);

    /* What is secret stays with the origin that it was meant for. */
    CHECK_OK(hangup_client_set_header(client, "X-Key", "open sesame", &error), error);
    CHECK(says(get_path(client, moves, "away"), "open sesame"));
    CHECK_OK(hangup_client_add_sensitive_header(client, "x-key", &error), error);
    CHECK(!says(get_path(client, moves, "away"), "open sesame"));
    CHECK(says(get(client, moves), "open sesame"));
    CHECK_STATUS(HANGUP_INVALID_HEADER, hangup_client_add_sensitive_header(client, "no name", &error), error);
    hangup_error_free(error);
    hangup_client_free(client);
}

/** Two GETs, the first of which leaves a connection behind that breaks under the second. */
static hangup_response *get_over_what_breaks(hangup_client *client, int on, hangup_error **error) {
    hangup_response *response = get(client, given("breaks"));
    CHECK_NUMBER(1, hangup_response_attempts(response));
    check_body(response, "hello");
    hangup_response_free(response);
    response = NULL;
    hangup_request *request = new_request("GET", given("breaks"));
    if (on >= 0) {
        CHECK_OK(hangup_request_set_retries(request, on, NULL), NULL);
    }
    hangup_client_send(client, request, &response, error);
    hangup_request_free(request);
    return response;
}

static void retries(void) {
    /* The default, the request's word, the client's word, and the request's against it. */
    static const struct {
        int client, request, sent_again;
    } cases[] = {{1, -1, 1}, {1, 0, 0}, {0, -1, 0}, {0, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hangup_manager *manager = new_manager();
        hangup_client *client = new_client(manager);
        hangup_error *error = NULL;
        if (!cases[i].client) {
            CHECK_OK(hangup_client_set_retries(client, 0, &error), error);
        }
        hangup_response *response = get_over_what_breaks(client, cases[i].request, &error);
        CHECK_NUMBER(cases[i].sent_again, response != NULL);
        CHECK_NUMBER(cases[i].sent_again, stats_of(manager).retried);
        if (response != NULL) {
            CHECK_NUMBER(2, hangup_response_attempts(response));
            check_body(response, "hello");
        } else {
            CHECK_NUMBER(HANGUP_PEER_CLOSED, hangup_error_status(error));
            CHECK_NUMBER(1, hangup_error_attempts(error));
            CHECK_NUMBER(1, hangup_error_reused(error));
            CHECK_NUMBER(1, hangup_error_retry_safe(error));
        }
        hangup_error_free(error);
        hangup_response_free(response);
        hangup_client_free(client);
        hangup_manager_free(manager);
    }
}

static void check_cookies(hangup_client *client, const char *expected) {
    hangup_string *text = NULL;
    hangup_error *error = NULL;
    size_t size = 4711;
    CHECK_OK(hangup_client_cookies_for(client, given("moves"), &text, &error), error);
    CHECK_TEXT(expected, hangup_string_value(text, &size));
    CHECK_NUMBER(strlen(expected), size);
    CHECK_TEXT(expected, hangup_string_value(text, NULL));
    hangup_string_free(text);
}

static void cookies(void) {
    hangup_client *client = new_client(NULL);
    hangup_error *error = NULL;
    const char *moves = given("moves");
    CHECK(!says(get(client, moves), "id=7"));
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_client_add_cookie(client, moves, "a=b", &error), error);
    hangup_error_free(error);
    check_cookies(client, "");

    CHECK_OK(hangup_client_set_cookies(client, 1, &error), error);
    CHECK(says(get(client, moves), "id=7"));
    check_cookies(client, "id=7");
    CHECK_OK(hangup_client_add_cookie(client, moves, "theme=dark; Path=/; Max-Age=60", &error), error);
    check_cookies(client, "id=7; theme=dark");
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_add_cookie(client, moves, "nothing", &error), error);
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_INVALID_URL, hangup_client_add_cookie(client, "nowhere", "a=b", &error), error);
    hangup_error_free(error);
    hangup_string *text = NULL;
    CHECK_STATUS(HANGUP_INVALID_URL, hangup_client_cookies_for(client, "nowhere", &text, &error), error);
    CHECK(text == NULL);
    hangup_error_free(error);

    CHECK_OK(hangup_client_clear_cookies(client), NULL);
    check_cookies(client, "");
    CHECK(says(get(client, moves), "id=7"));
    CHECK_OK(hangup_client_set_cookies(client, 0, &error), error);
    check_cookies(client, "");
    hangup_client_free(client);
}

/* For a client that decodes. */
static void raw_and_bounded(hangup_client *client) {
    hangup_request *request = NULL;
    hangup_error *error = NULL;
    const uint8_t *data = NULL;
    size_t size = 0;
    hangup_response *response = get(client, given("gzip"));
    CHECK_OK(hangup_response_set_raw(response, &error), error);
    CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &data, &size, &error), error);
    CHECK_NUMBER(25, size);
    hangup_response_free(response);

    response = get(client, given("gzip"));
    char byte = 0;
    CHECK_OK(hangup_response_read(response, &byte, 1, &size, &error), error);
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_set_raw(response, NULL), NULL);
    CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &data, &size, &error), error);
    CHECK_NUMBER(4, size);
    hangup_response_free(response);

    CHECK_OK(hangup_request_new("GET", given("gzip"), &request, &error), error);
    CHECK_OK(hangup_request_set_decode(request, 0, &error), error);
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    CHECK_OK(hangup_response_read_all(response, 100, &data, &size, &error), error);
    CHECK_NUMBER(25, size);
    hangup_response_free(response);
    CHECK_OK(hangup_request_set_decode(request, 1, &error), error);
    CHECK_OK(hangup_request_set_buffer_body(request, INT64_MAX, &error), error);

    CHECK_OK(hangup_client_set_max_body(client, 4, &error), error);
    CHECK_STATUS(HANGUP_TOO_LARGE, hangup_client_send(client, request, &response, &error), error);
    CHECK(strstr(hangup_error_message(error), "max_body") != NULL);
    hangup_error_free(error);
    error = NULL;
    response = get(client, given("gzip"));
    CHECK_STATUS(HANGUP_TOO_LARGE, hangup_response_read_all(response, SIZE_MAX, &data, &size, NULL), NULL);
    hangup_response_free(response);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_max_body(client, -2, NULL), NULL);
    CHECK_OK(hangup_client_set_max_body(client, HANGUP_NO_LIMIT, &error), error);
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    check_body(response, "hello");
    hangup_response_free(response);
    hangup_request_free(request);
}

static void decoding(void) {
    hangup_client *client = new_client(NULL);
    hangup_error *error = NULL;
    const uint8_t *data = NULL;
    size_t size = 0;
    hangup_response *response = get(client, given("gzip"));
    CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &data, &size, &error), error);
    CHECK_NUMBER(25, size);
    hangup_response_free(response);
    CHECK_OK(hangup_client_set_decode(client, 1, &error), error);
    response = get(client, given("gzip"));
    check_body(response, "hello");
    CHECK_TEXT("gzip", hangup_response_header(response, "content-encoding", NULL));
    hangup_response_free(response);
    CHECK(says(get(client, given("echo")), "gzip"));
    CHECK_OK(hangup_client_set_max_codings(client, 1, &error), error);
    CHECK_OK(hangup_client_set_max_codings(client, HANGUP_NO_LIMIT, &error), error);
    for (int32_t codings = 0; codings >= -2; codings -= 2) {
        CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_max_codings(client, codings, &error), error);
        hangup_error_free(error);
        error = NULL;
    }
    raw_and_bounded(client);
    CHECK_OK(hangup_client_set_decode(client, 0, &error), error);
    CHECK(!says(get(client, given("echo")), "gzip"));
    hangup_client_free(client);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    redirects();
    retries();
    cookies();
    decoding();
    return 0;
}
