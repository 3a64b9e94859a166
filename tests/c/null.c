/**
 * NULL for every pointer and a foreign handle for every handle, in every function of the header: HANGUP_NULL,
 * HANGUP_BAD_HANDLE or a harmless no-op, and never a crash. tests/c_abi.rs checks that no function is missing here.
 * Servers: `hello` answers 200 "hello".
 *
 * A foreign handle is memory that is no handle, or a live handle of another type. One that was freed is not tried: it
 * is recognised only until its memory is used again, which no test can exclude.
 */
#include "check.h"

/** The call answers this status, and its error, given as `&error`, says the same. */
#define IS(expected, call)                                            \
    do {                                                              \
        hangup_error *error = NULL;                                   \
        CHECK_STATUS(expected, call, error);                          \
        CHECK_NUMBER(expected, hangup_error_status(error));           \
        CHECK(strlen(hangup_error_message(error)) > 0);               \
        hangup_error_free(error);                                     \
    } while (0)

/** The same for calls without an error. */
#define SAYS(expected, call) CHECK_STATUS(expected, call, NULL)

/** One live handle of each type, and places for results that must not be written to. */
static hangup_manager *manager;
static hangup_client *client;
static hangup_request *request;
static hangup_response *response;
static hangup_cancel *cancel;
static hangup_options *options;
static hangup_tls *tls;
static hangup_connections *list;
static hangup_events *events;
static hangup_queue *queue;
static hangup_form *form;
static hangup_upload *upload;
static hangup_progress *progress;
static hangup_string *cookies;
static size_t written = 4711;
static const uint8_t *lent;
static char room[16];
static int32_t is_here;

static int64_t no_body(void *user_data, uint8_t *into, size_t size) {
    (void)user_data, (void)into, (void)size;
    return 0;
}

static int32_t no_rewind(void *user_data) {
    (void)user_data;
    return 1;
}

static int32_t no_address(void *user_data, const char *host, hangup_addresses *addresses) {
    (void)user_data, (void)host, (void)addresses;
    return 1;
}

static int32_t no_connection(void *user_data, const char *origin, const char *host, int32_t port) {
    (void)user_data, (void)origin, (void)host, (void)port;
    return -1;
}

static int32_t no_token(void *user_data, const char *origin, const char *refused, hangup_token *token) {
    (void)user_data, (void)origin, (void)refused, (void)token;
    return 1;
}

static void count(void *user_data) {
    ++*(int *)user_data;
}

static void versions_and_names(void) {
    CHECK(hangup_version() > 0 && hangup_version_text() != NULL);
    for (int32_t number = -2; number < 120; number++) {
        CHECK(hangup_status_text((hangup_status)number) != NULL && hangup_phase_text((hangup_phase)number) != NULL);
        CHECK(hangup_timeout_text((hangup_timeout)number) != NULL && hangup_connection_state_text((hangup_connection_state)number) != NULL);
        CHECK(hangup_close_reason_text((hangup_close_reason)number) != NULL && hangup_event_type_text((hangup_event_type)number) != NULL);
        CHECK(hangup_sent_text((hangup_sent)number) != NULL && hangup_limit_text((hangup_limit)number) != NULL);
        CHECK(hangup_retry_reason_text((hangup_retry_reason)number) != NULL && hangup_cookie_format_text((hangup_cookie_format)number) != NULL);
        CHECK(hangup_close_mode_text((hangup_close_mode)number) != NULL);
        CHECK(hangup_connection_mode_text((hangup_connection_mode)number) != NULL);
        CHECK(hangup_address_family_text((hangup_address_family)number) != NULL);
        CHECK(hangup_completion_type_text((hangup_completion_type)number) != NULL);
        CHECK(hangup_trace_type_text((hangup_trace_type)number) != NULL);
        CHECK(hangup_tls_version_text((hangup_tls_version)number) != NULL);
    }
    CHECK_TEXT("UNKNOWN", hangup_status_text((hangup_status)INT32_MIN));
    CHECK_TEXT("unknown", hangup_phase_text((hangup_phase)-1));
    CHECK_TEXT("unknown", hangup_timeout_text((hangup_timeout)INT32_MAX));
    CHECK_TEXT("unknown", hangup_connection_state_text((hangup_connection_state)-1));
    CHECK_TEXT("unknown", hangup_close_reason_text((hangup_close_reason)0));
    CHECK_TEXT("unknown", hangup_event_type_text((hangup_event_type)0));
    CHECK_TEXT("suspected", hangup_event_type_text(HANGUP_EVENT_TYPE_SUSPECTED));
    CHECK_TEXT("probed", hangup_event_type_text(HANGUP_EVENT_TYPE_PROBED));
    CHECK_TEXT("lost", hangup_event_type_text(HANGUP_EVENT_TYPE_LOST));
    CHECK_TEXT("recovered", hangup_event_type_text(HANGUP_EVENT_TYPE_RECOVERED));
    CHECK_TEXT("unknown", hangup_limit_text((hangup_limit)0));
    CHECK_TEXT("per_origin", hangup_limit_text(HANGUP_LIMIT_PER_ORIGIN));
    CHECK_TEXT("part", hangup_sent_text(HANGUP_SENT_PART));
    CHECK_TEXT("all", hangup_acknowledged_text(HANGUP_ACKNOWLEDGED_ALL));
    CHECK_TEXT("unknown", hangup_acknowledged_text((hangup_acknowledged)0));
    CHECK_TEXT("now", hangup_close_mode_text(HANGUP_CLOSE_MODE_NOW));
    CHECK_TEXT("close after", hangup_connection_mode_text(HANGUP_CONNECTION_MODE_CLOSE_AFTER));
    CHECK_TEXT("request head", hangup_trace_type_text(HANGUP_TRACE_TYPE_REQUEST_HEAD));
    CHECK_NUMBER(0, hangup_has_feature(NULL));
    CHECK_NUMBER(0, hangup_has_feature("no such feature"));
    CHECK_NUMBER(1, hangup_has_feature("http1"));
    CHECK(strstr(hangup_features(), "http1") != NULL);
    CHECK_TEXT("read", hangup_completion_type_text(HANGUP_COMPLETION_TYPE_READ));
    CHECK_TEXT("TLSv1.3", hangup_tls_version_text(HANGUP_TLS_VERSION_TLS13));
}

/** An error is asked after a failure, so its answers to a handle that is none are harmless values. */
static void errors(const void *none) {
    const hangup_error *error = none;
    CHECK_NUMBER(0, hangup_error_status(error));
    CHECK_NUMBER(HANGUP_PHASE_NONE, hangup_error_phase(error));
    CHECK_NUMBER(HANGUP_TIMEOUT_NONE, hangup_error_timeout(error));
    CHECK_TEXT("", hangup_error_message(error));
    CHECK(hangup_error_reason(error) == NULL);
    CHECK_NUMBER(0, hangup_error_os_code(error));
    CHECK_NUMBER(0, hangup_error_retry_safe(error));
    CHECK_NUMBER(0, hangup_error_connection_id(error));
    CHECK_NUMBER(0, hangup_error_reused(error));
    CHECK_NUMBER(HANGUP_SENT_NOTHING, hangup_error_sent(error));
    CHECK_NUMBER(0, hangup_error_bytes_sent(error));
    CHECK_NUMBER(0, hangup_error_response_started(error));
    CHECK_NUMBER(0, hangup_error_attempts(error));
    CHECK_NUMBER(0, hangup_error_status_code(error));
    CHECK_NUMBER(0, hangup_error_open_connections(error));
    CHECK_NUMBER(0, hangup_error_resolver_code(error));
    CHECK_NUMBER(0, hangup_error_retry_may_help(error));
    CHECK_TEXT("", hangup_error_method(error));
    CHECK_TEXT("", hangup_error_url(error));
    CHECK_TEXT("", hangup_error_origin(error));
    CHECK_TEXT("{}", hangup_error_json(error));
    hangup_timings timings = HANGUP_TIMINGS_INIT;
    CHECK(hangup_error_timings(error, &timings) != HANGUP_OK);
    CHECK_NUMBER(0, hangup_error_acknowledged(error));
    hangup_tcp_facts facts = HANGUP_TCP_FACTS_INIT;
    CHECK(hangup_error_tcp_facts(error, &facts) != HANGUP_OK);
    hangup_error_free((hangup_error *)(uintptr_t)none);
}

/** Everything that asks a handle and answers a value. */
static void values(void *none, void *no_cancel) {
    CHECK_NUMBER(0, hangup_manager_id(none));
    CHECK_NUMBER(0, hangup_manager_network_watch(none));
    CHECK(hangup_manager_ref(none) == NULL);
    CHECK(hangup_client_ref(none) == NULL);
    CHECK(hangup_client_manager(none) == NULL);
    CHECK(hangup_cancel_ref(no_cancel) == NULL);
    CHECK_NUMBER(0, hangup_cancel_is_fired(no_cancel));
    CHECK_NUMBER(0, hangup_connections_count(none));
    CHECK_TEXT("[]", hangup_connections_json(none));
    CHECK_TEXT("", hangup_events_origin(none));
    CHECK_NUMBER(0, hangup_events_lost(none));
    CHECK_NUMBER(-1, hangup_events_fd(none));
    CHECK_NUMBER(-1, hangup_queue_fd(none));
    CHECK_NUMBER(-1, hangup_queue_drive_fd(none));
    CHECK_TEXT("", hangup_request_method(none));
    CHECK_NUMBER(0, hangup_response_status_code(none));
    CHECK_NUMBER(0, hangup_response_version(none));
    CHECK_NUMBER(0, hangup_response_connection_id(none));
    CHECK_NUMBER(0, hangup_response_reused(none));
    CHECK_TEXT("", hangup_response_url(none));
    CHECK(hangup_response_header(none, "x", &written) == NULL);
    CHECK_NUMBER(0, hangup_response_header_count(none));
    CHECK(hangup_response_header_value(none, "x", 0, &written) == NULL);
    CHECK_TEXT("", hangup_response_reason(none, &written));
    CHECK_NUMBER(-1, hangup_response_content_length(none));
    CHECK_NUMBER(-1, hangup_response_left(none));
    CHECK_NUMBER(0, hangup_response_interim_count(none));
    CHECK_NUMBER(0, hangup_response_interim_status_code(none, 0));
    CHECK_NUMBER(0, hangup_response_interim_header_count(none, 0));
    CHECK_NUMBER(0, hangup_response_trailer_count(none));
    CHECK_NUMBER(0, hangup_response_attempts(none));
    CHECK_NUMBER(0, hangup_response_history_count(none));
    CHECK(hangup_response_history_at(none, 0, NULL) == NULL);
    CHECK(hangup_stream_ref(none) == NULL);
    CHECK_NUMBER(0, hangup_stream_buffered(none));
    CHECK_NUMBER(-1, hangup_stream_fd(none));
    CHECK_NUMBER(0, hangup_stream_connection_id(none));
    CHECK_NUMBER(0, hangup_stream_is_closing(none));
    CHECK_NUMBER(0, hangup_stream_is_closed(none));
    hangup_stream_free(none);
    CHECK_NUMBER(0, hangup_progress_bytes_sent(none));
    CHECK_NUMBER(-1, hangup_progress_bytes_to_send(none));
    CHECK_NUMBER(0, hangup_progress_bytes_received(none));
    CHECK_NUMBER(-1, hangup_progress_bytes_to_receive(none));
    CHECK_NUMBER(-1, hangup_upload_fd(none));
    hangup_progress_free(none);
    hangup_upload_free(none);
    hangup_form_free(none);
    CHECK_TEXT("", hangup_string_value(none, &written));
    hangup_cancel_fire(no_cancel, "nobody");
    hangup_cancel_fire(no_cancel, NULL);
    hangup_manager_free(none);
    hangup_options_free(none);
    hangup_tls_free(none);
    hangup_connections_free(none);
    hangup_events_free(none);
    hangup_queue_free(none);
    hangup_string_free(none);
    hangup_cookies_free(none);
    hangup_cancel_free(no_cancel);
    hangup_client_free(none);
    hangup_request_free(none);
    hangup_response_free(none);
}

/** Everything that answers a status, with a handle that is none: NULL or foreign, as `bad` says. */
static void handles(hangup_status bad, void *none, void *no_cancel) {
    hangup_manager *new_share = NULL;
    hangup_client *new_client = NULL;
    hangup_request *new_request = NULL;
    hangup_cancel *new_cancel = NULL;
    hangup_response *answer = NULL;
    hangup_connections *new_list = NULL;
    hangup_events *new_events = NULL;
    hangup_string *new_text = NULL;
    hangup_cookies *new_cookies = NULL;
    hangup_cookie_info cookie = HANGUP_COOKIE_INFO_INIT;
    hangup_event event = {.size = sizeof event};
    hangup_completion completion = {.size = sizeof completion};
    int64_t value = 4711;
    hangup_stats stats = {.size = sizeof stats};
    hangup_timings timings = {.size = sizeof timings};
    hangup_connection_info info = {.size = sizeof info};
    hangup_close_reason reason = 0;
    const uint8_t pem[1] = {'x'};

    if (bad == HANGUP_BAD_HANDLE) {
        /* NULL is legal here: the defaults, the shared manager, no token. */
        IS(bad, hangup_manager_new(none, &new_share, &error));
        IS(bad, hangup_client_new(none, &new_client, &error));
        SAYS(bad, hangup_request_set_cancel(request, no_cancel));
        IS(bad, hangup_request_set_progress(request, none, &error));
    }
    IS(bad, hangup_options_set_limit(none, HANGUP_LIMIT_IDLE_TOTAL, 1, &error));
    IS(bad, hangup_manager_set_limit(none, HANGUP_LIMIT_IDLE_TOTAL, 1, &error));
    SAYS(bad, hangup_manager_limit(none, HANGUP_LIMIT_IDLE_TOTAL, &value));
    IS(bad, hangup_manager_set_address(none, "name.test", "127.0.0.1", &error));
    SAYS(bad, hangup_addresses_add(none, "127.0.0.1"));
    SAYS(bad, hangup_addresses_set_ttl(none, 1000));
    IS(bad, hangup_manager_preconnect(none, given("hello"), 1, &written, &error));
    IS(bad, hangup_manager_connections(none, &new_list, &error));
    IS(bad, hangup_manager_events(none, 16, &new_events, &error));
    SAYS(bad, hangup_events_next(none, 0, &event));
    SAYS(bad, hangup_events_close(none));
    SAYS(bad, hangup_manager_stats(none, &stats));
    IS(bad, hangup_manager_close_connection(none, 1, HANGUP_CLOSE_MODE_NOW, &error));
    IS(bad, hangup_manager_close_origin(none, "http://x", HANGUP_CLOSE_MODE_NOW, &written, &error));
    SAYS(bad, hangup_manager_close_idle(none, 0, &written));
    SAYS(bad, hangup_manager_close_all(none, HANGUP_CLOSE_MODE_NOW, &written));
    IS(bad, hangup_manager_drain(none, 1000, &error));
    SAYS(bad, hangup_manager_network_changed(none, &written));
    SAYS(bad, hangup_manager_set_network_watch(none, 1));
    SAYS(bad, hangup_manager_clear_addresses(none));
    SAYS(bad, hangup_manager_shutdown(none));
    SAYS(bad, hangup_manager_close_reason(none, 1, &reason));
    SAYS(bad, hangup_connections_at(none, 0, &info));
    hangup_connection_facts facts = HANGUP_CONNECTION_FACTS_INIT;
    SAYS(bad, hangup_connections_facts_at(none, 0, &facts));
    SAYS(bad, hangup_connections_certificate_at(none, 0, 0, &lent, &written));
    SAYS(bad, hangup_response_connection_facts(none, &facts));
    SAYS(bad, hangup_response_certificate_at(none, 0, &lent, &written));
    SAYS(bad, hangup_response_raw_head(none, &lent, &written));
    SAYS(bad, hangup_response_raw_header_at(none, 0, NULL, NULL, NULL));
    SAYS(bad, hangup_response_interim_header_at(none, 0, 0, NULL, NULL, NULL));
    SAYS(bad, hangup_response_trailer_at(none, 0, NULL, NULL, NULL));
    SAYS(bad, hangup_cancel_child(no_cancel, &new_cancel));
    SAYS(bad, hangup_cancel_fire_after(no_cancel, 1000));
    IS(bad, hangup_client_set_timeout(none, HANGUP_TIMEOUT_TOTAL, 1000, &error));
    IS(bad, hangup_client_set_header(none, "x", "y", &error));
    IS(bad, hangup_client_set_connection_mode(none, HANGUP_CONNECTION_MODE_KEEP, &error));
    IS(bad, hangup_client_set_max_head(none, 65536, &error));
    IS(bad, hangup_client_set_redirects(none, 1, &error));
    IS(bad, hangup_client_set_retries(none, 1, &error));
    IS(bad, hangup_client_set_detect_lost_connections(none, 1, &error));
    IS(bad, hangup_client_add_sensitive_header(none, "x", &error));
    IS(bad, hangup_client_set_decode(none, 1, &error));
    IS(bad, hangup_client_set_max_codings(none, 1, &error));
    IS(bad, hangup_client_set_max_body(none, 1, &error));
    IS(bad, hangup_client_set_cookies(none, 1, &error));
    IS(bad, hangup_client_add_cookie(none, given("hello"), "a=b", &error));
    IS(bad, hangup_client_cookies_for(none, given("hello"), &new_text, &error));
    SAYS(bad, hangup_client_clear_cookies(none));
    IS(bad, hangup_client_set_auth_basic(none, "u", "p", &error));
    IS(bad, hangup_client_set_auth_bearer(none, "t", &error));
    IS(bad, hangup_client_set_auth_digest(none, "u", "p", &error));
    IS(bad, hangup_client_set_auth_netrc(none, NULL, &error));
    IS(bad, hangup_client_set_auth_token(none, no_token, NULL, NULL, &error));
    SAYS(bad, hangup_client_clear_auth(none));
    IS(bad, hangup_client_set_proxy_digest(none, 1, &error));
    IS(bad, hangup_client_set_retry_policy(none, NULL, &error));
    IS(bad, hangup_request_set_auth_basic(none, "u", "p", &error));
    IS(bad, hangup_request_set_auth_bearer(none, "t", &error));
    IS(bad, hangup_request_set_auth_digest(none, "u", "p", &error));
    IS(bad, hangup_request_set_auth_netrc(none, NULL, &error));
    IS(bad, hangup_request_set_auth_token(none, no_token, NULL, NULL, &error));
    SAYS(bad, hangup_request_clear_auth(none));
    SAYS(bad, hangup_token_set_value(none, "t"));
    IS(bad, hangup_client_set_secure_cookies_on_localhost(none, 1, &error));
    IS(bad, hangup_client_cookies(none, &new_cookies, &error));
    SAYS(bad, hangup_cookies_at(none, 0, &cookie));
    CHECK_NUMBER(0, hangup_cookies_count(none));
    IS(bad, hangup_client_save_cookies(none, "x", HANGUP_COOKIE_FORMAT_JSON, &error));
    IS(bad, hangup_client_load_cookies(none, "x", &error));
    IS(bad, hangup_client_set_proxy(none, "http://x", &error));
    IS(bad, hangup_client_set_proxy_from_env(none, &error));
    IS(bad, hangup_client_set_no_proxy(none, "x", &error));
    IS(bad, hangup_client_set_trace(none, NULL, NULL, NULL, 0, &error));
    IS(bad, hangup_client_set_trace_file(none, NULL, 0, &error));
    IS(bad, hangup_client_set_local_address(none, "127.0.0.1", &error));
    IS(bad, hangup_client_ignored_no_proxy(none, &new_text, &error));
    IS(bad, hangup_client_set_interface(none, "lo", &error));
    IS(bad, hangup_client_set_address_family(none, HANGUP_ADDRESS_FAMILY_IPV4, &error));
    IS(bad, hangup_client_set_happy_eyeballs_delay(none, 100, &error));
    IS(bad, hangup_client_add_connect_to(none, "a:80", "b:80", NULL, &error));
    SAYS(bad, hangup_client_clear_connect_to(none));
    IS(bad, hangup_client_preconnect(none, given("hello"), 1, &written, &error));
    IS(bad, hangup_tls_set_roots(none, pem, sizeof pem, &error));
    IS(bad, hangup_tls_add_roots(none, pem, sizeof pem, &error));
    IS(bad, hangup_tls_set_roots_path(none, "x", &error));
    IS(bad, hangup_tls_add_roots_path(none, "x", &error));
    IS(bad, hangup_tls_set_certificate(none, pem, sizeof pem, pem, sizeof pem, "x", &error));
    IS(bad, hangup_tls_set_versions(none, HANGUP_TLS_VERSION_TLS12, HANGUP_TLS_VERSION_TLS13, &error));
    IS(bad, hangup_tls_add_pin(none, "x", &error));
    IS(bad, hangup_tls_set_server_name(none, "x", &error));
    IS(bad, hangup_tls_set_key_log(none, "x", &error));
    IS(bad, hangup_tls_set_key_log_from_env(none, &error));
    IS(bad, hangup_tls_set_dangerously_accept_any_certificate(none, 0, &error));
    IS(bad, hangup_client_set_tls(none, tls, &error));
    IS(bad, hangup_request_set_tls(none, tls, &error));
    if (none != NULL) {
        IS(bad, hangup_client_set_tls(client, none, &error));
        IS(bad, hangup_request_set_tls(request, none, &error));
    }
    IS(bad, hangup_client_set_tls_roots(none, pem, sizeof pem, &error));
    IS(bad, hangup_client_set_tls_roots_file(none, "x", &error));
    IS(bad, hangup_client_set_tls_certificate(none, pem, sizeof pem, pem, sizeof pem, &error));
    IS(bad, hangup_client_set_tls_dangerously_accept_any_certificate(none, 0, &error));
    IS(bad, hangup_client_get(none, given("hello"), 1000, &answer, &error));
    IS(bad, hangup_client_send(none, request, &answer, &error));
    IS(bad, hangup_client_send(client, none, &answer, &error));
    IS(bad, hangup_client_submit(none, request, queue, 1, &error));
    IS(bad, hangup_client_submit(client, none, queue, 1, &error));
    IS(bad, hangup_client_submit(client, request, none, 1, &error));
    SAYS(bad, hangup_queue_next(none, 0, &completion));
    IS(bad, hangup_queue_set_caller_runs(none, 1, &error));
    SAYS(bad, hangup_queue_close(none));
    SAYS(bad, hangup_queue_drive(none));
    IS(bad, hangup_request_copy(none, &new_request, &error));
    IS(bad, hangup_request_add_header(none, "x", "y", &error));
    IS(bad, hangup_request_remove_header(none, "x", &error));
    IS(bad, hangup_request_set_target(none, "/", &error));
    IS(bad, hangup_request_set_body(none, pem, sizeof pem, &error));
    IS(bad, hangup_request_set_body_file(none, "x", &error));
    IS(bad, hangup_request_set_body_fd(none, 0, 0, &error));
    IS(bad, hangup_request_set_body_form(none, form, &error));
    IS(bad, hangup_request_set_body_form(request, none, &error));
    IS(bad, hangup_request_set_body_urlencoded(none, form, &error));
    IS(bad, hangup_request_set_body_urlencoded(request, none, &error));
    IS(bad, hangup_form_set_boundary(none, "x", &error));
    IS(bad, hangup_form_add_text(none, "x", "y", &error));
    IS(bad, hangup_form_add_bytes(none, "x", pem, sizeof pem, NULL, NULL, &error));
    IS(bad, hangup_form_add_file(none, "x", "/dev/null", NULL, NULL, &error));
    hangup_upload *new_upload = NULL;
    IS(HANGUP_INVALID_ARGUMENT, hangup_upload_new(-7, &new_upload, &error));
    CHECK(new_upload == NULL);
    IS(bad, hangup_request_set_body_upload(none, upload, &error));
    IS(bad, hangup_request_set_body_upload(request, none, &error));
    IS(bad, hangup_upload_write_all(none, pem, sizeof pem, &error));
    IS(bad, hangup_upload_try_write(none, pem, sizeof pem, &written, &error));
    IS(bad, hangup_upload_submit_write(none, pem, sizeof pem, queue, 1, &error));
    IS(bad, hangup_upload_submit_write(upload, pem, sizeof pem, none, 1, &error));
    IS(bad, hangup_upload_finish(none, &error));
    IS(bad, hangup_upload_abort(none, "x", &error));
    IS(bad, hangup_request_set_progress(none, progress, &error));
    IS(bad, hangup_request_set_max_rate(none, 1, 1, &error));
    IS(bad, hangup_request_set_expect_continue(none, 1, &error));
    IS(bad, hangup_client_set_max_rate(none, 1, 1, &error));
    IS(bad, hangup_client_set_expect_continue(none, 1, &error));
    IS(bad, hangup_request_set_timeout(none, HANGUP_TIMEOUT_TOTAL, 1000, &error));
    IS(bad, hangup_request_set_min_rate(none, 1, 1000, &error));
    IS(bad, hangup_request_set_connection_mode(none, HANGUP_CONNECTION_MODE_KEEP, &error));
    IS(bad, hangup_request_set_retries(none, 1, &error));
    IS(bad, hangup_request_set_redirects(none, 1, &error));
    IS(bad, hangup_request_set_buffer_body(none, 1, &error));
    IS(bad, hangup_request_set_buffer_up_to(none, 1, &error));
    IS(bad, hangup_request_set_decode(none, 1, &error));
    SAYS(bad, hangup_request_set_cancel(none, cancel));
    SAYS(bad, hangup_response_header_at(none, 0, NULL, NULL, NULL));
    SAYS(bad, hangup_response_timings(none, &timings));
    IS(bad, hangup_response_read(none, room, sizeof room, &written, &error));
    IS(bad, hangup_response_read_full(none, room, sizeof room, SIZE_MAX, &written, &error));
    IS(bad, hangup_response_read_available(none, room, sizeof room, &written, &is_here, &error));
    IS(bad, hangup_response_read_all(none, SIZE_MAX, &lent, &written, &error));
    IS(bad, hangup_response_set_raw(none, &error));
    hangup_response *file = NULL;
    hangup_download download = HANGUP_DOWNLOAD_INIT;
    IS(bad, hangup_client_download(none, none, "/tmp/none", NULL, &file, &error));
    IS(bad, hangup_client_submit_download(none, none, "/tmp/none", NULL, none, 1, &error));
    SAYS(bad, hangup_response_download(none, &download));
    IS(bad, hangup_response_submit_read(none, 1, queue, 1, &error));
    IS(bad, hangup_response_submit_read(response, 1, none, 1, &error));
    SAYS(bad, hangup_response_close(none, HANGUP_CLOSE_MODE_NOW));
    SAYS(bad, hangup_response_free_body(none));
    hangup_stream *new_stream = NULL;
    IS(bad, hangup_response_take_stream(none, &new_stream, &error));
    IS(bad, hangup_stream_read(none, room, sizeof room, &written, &error));
    IS(bad, hangup_stream_write_all(none, pem, sizeof pem, &error));
    IS(bad, hangup_stream_shutdown_write(none, &error));
    IS(bad, hangup_stream_set_timeout(none, HANGUP_TIMEOUT_READ, 1, &error));
    IS(bad, hangup_stream_submit_read(none, 1, queue, 1, &error));
    IS(bad, hangup_stream_submit_write(none, pem, sizeof pem, queue, 1, &error));
    IS(bad, hangup_stream_submit_shutdown_write(none, queue, 1, &error));
    SAYS(bad, hangup_stream_close(none));
    CHECK(new_stream == NULL);

    /* The end is called exactly once, also when the reader was not taken. */
    int ends = 0;
    IS(bad, hangup_request_set_body_reader(none, no_body, count, &ends, 0, &error));
    CHECK_NUMBER(1, ends);
    IS(bad, hangup_manager_set_resolver(none, no_address, count, &ends, &error));
    CHECK_NUMBER(2, ends);
    IS(bad, hangup_request_set_body_borrowed(none, pem, sizeof pem, count, &ends, &error));
    CHECK_NUMBER(3, ends);
    IS(bad, hangup_client_set_connector(none, no_connection, count, &ends, &error));
    CHECK_NUMBER(4, ends);
    IS(bad, hangup_request_set_body_rewindable(none, no_body, no_rewind, count, &ends, 0, &error));
    CHECK_NUMBER(5, ends);
    IS(bad, hangup_form_add_reader(none, "x", no_body, NULL, count, &ends, 0, NULL, NULL, &error));
    CHECK_NUMBER(6, ends);

    CHECK(new_share == NULL && new_client == NULL && new_request == NULL && new_cancel == NULL);
    CHECK(answer == NULL && new_list == NULL && new_events == NULL && new_text == NULL && new_cookies == NULL && lent == NULL);
    CHECK_NUMBER(4711, written);
    CHECK_NUMBER(4711, value);
}

/** The other pointers, one by one, beside live handles. */
static void arguments(void) {
    const uint8_t pem[1] = {'x'};
    IS(HANGUP_NULL, hangup_manager_new(NULL, NULL, &error));
    IS(HANGUP_NULL, hangup_manager_connections(manager, NULL, &error));
    SAYS(HANGUP_NULL, hangup_manager_stats(manager, NULL));
    SAYS(HANGUP_NULL, hangup_manager_limit(manager, HANGUP_LIMIT_IDLE_TOTAL, NULL));
    IS(HANGUP_NULL, hangup_manager_events(manager, 16, NULL, &error));
    SAYS(HANGUP_NULL, hangup_events_next(events, 0, NULL));
    SAYS(HANGUP_NULL, hangup_queue_next(queue, 0, NULL));
    IS(HANGUP_INVALID_ARGUMENT, hangup_set_io_threads(0, &error));
    IS(HANGUP_NULL, hangup_manager_close_origin(manager, NULL, HANGUP_CLOSE_MODE_NOW, &written, &error));
    SAYS(HANGUP_NULL, hangup_manager_close_reason(manager, 1, NULL));
    SAYS(HANGUP_NULL, hangup_connections_at(list, 0, NULL));
    SAYS(HANGUP_NULL, hangup_connections_certificate_at(list, 0, 0, NULL, &written));
    SAYS(HANGUP_NULL, hangup_response_connection_facts(response, NULL));
    SAYS(HANGUP_NULL, hangup_response_certificate_at(response, 0, NULL, &written));
    SAYS(HANGUP_NULL, hangup_response_raw_head(response, NULL, &written));
    CHECK(hangup_response_header_value(response, NULL, 0, &written) == NULL);
    CHECK_TEXT("OK", hangup_response_reason(response, NULL));
    SAYS(HANGUP_OK, hangup_response_raw_header_at(response, 0, NULL, NULL, NULL));
    SAYS(HANGUP_NULL, hangup_cancel_child(cancel, NULL));
    IS(HANGUP_NULL, hangup_client_new(manager, NULL, &error));
    IS(HANGUP_NULL, hangup_client_set_header(client, NULL, "y", &error));
    IS(HANGUP_NULL, hangup_manager_set_address(manager, NULL, "127.0.0.1", &error));
    IS(HANGUP_NULL, hangup_manager_preconnect(manager, NULL, 1, &written, &error));
    IS(HANGUP_NULL, hangup_client_add_sensitive_header(client, NULL, &error));
    IS(HANGUP_NULL, hangup_client_set_auth_basic(client, NULL, "p", &error));
    IS(HANGUP_NULL, hangup_client_set_auth_basic(client, "u", NULL, &error));
    IS(HANGUP_NULL, hangup_client_set_auth_bearer(client, NULL, &error));
    IS(HANGUP_NULL, hangup_client_set_auth_digest(client, "u", NULL, &error));
    IS(HANGUP_INVALID_ARGUMENT, hangup_client_set_auth_basic(client, "u:", "p", &error));
    IS(HANGUP_NULL, hangup_client_set_auth_token(client, NULL, NULL, NULL, &error));
    IS(HANGUP_NULL, hangup_client_cookies(client, NULL, &error));
    IS(HANGUP_NULL, hangup_client_save_cookies(client, NULL, HANGUP_COOKIE_FORMAT_JSON, &error));
    IS(HANGUP_INVALID_ARGUMENT, hangup_client_save_cookies(client, "x", (hangup_cookie_format)9, &error));
    IS(HANGUP_INVALID_STATE, hangup_client_save_cookies(client, "x", HANGUP_COOKIE_FORMAT_JSON, &error));
    IS(HANGUP_NULL, hangup_client_load_cookies(client, NULL, &error));
    hangup_retry_policy no_size = {0};
    IS(HANGUP_INVALID_ARGUMENT, hangup_client_set_retry_policy(client, &no_size, &error));
    IS(HANGUP_NULL, hangup_client_add_cookie(client, NULL, "a=b", &error));
    IS(HANGUP_NULL, hangup_client_add_cookie(client, given("hello"), NULL, &error));
    IS(HANGUP_NULL, hangup_client_cookies_for(client, NULL, &cookies, &error));
    IS(HANGUP_NULL, hangup_client_cookies_for(client, given("hello"), NULL, &error));
    IS(HANGUP_NULL, hangup_client_set_no_proxy(client, NULL, &error));
    IS(HANGUP_NULL, hangup_client_ignored_no_proxy(client, NULL, &error));
    IS(HANGUP_NULL, hangup_client_add_connect_to(client, NULL, "b:80", NULL, &error));
    IS(HANGUP_NULL, hangup_client_add_connect_to(client, "a:80", NULL, NULL, &error));
    IS(HANGUP_NULL, hangup_client_preconnect(client, NULL, 1, &written, &error));
    IS(HANGUP_NULL, hangup_tls_set_roots(tls, NULL, 1, &error));
    IS(HANGUP_NULL, hangup_tls_add_roots(tls, NULL, 1, &error));
    IS(HANGUP_NULL, hangup_tls_set_roots_path(tls, NULL, &error));
    IS(HANGUP_NULL, hangup_tls_add_roots_path(tls, NULL, &error));
    IS(HANGUP_NULL, hangup_tls_set_certificate(tls, NULL, 1, pem, sizeof pem, NULL, &error));
    IS(HANGUP_NULL, hangup_tls_set_certificate(tls, pem, sizeof pem, NULL, 1, NULL, &error));
    IS(HANGUP_NULL, hangup_tls_add_pin(tls, NULL, &error));
    IS(HANGUP_NULL, hangup_client_set_tls_roots(client, NULL, 1, &error));
    IS(HANGUP_NULL, hangup_client_set_tls_roots_file(client, NULL, &error));
    IS(HANGUP_NULL, hangup_client_set_tls_certificate(client, NULL, 1, pem, sizeof pem, &error));
    IS(HANGUP_NULL, hangup_client_set_tls_certificate(client, pem, sizeof pem, NULL, 1, &error));
    IS(HANGUP_NULL, hangup_client_get(client, NULL, 1000, &response, &error));
    IS(HANGUP_NULL, hangup_client_get(client, given("hello"), 1000, NULL, &error));
    IS(HANGUP_NULL, hangup_client_send(client, request, NULL, &error));
    IS(HANGUP_NULL, hangup_request_new(NULL, given("hello"), &request, &error));
    IS(HANGUP_NULL, hangup_request_new("GET", NULL, &request, &error));
    IS(HANGUP_NULL, hangup_request_new("GET", given("hello"), NULL, &error));
    IS(HANGUP_NULL, hangup_request_new_connect(NULL, "x:1", &request, &error));
    IS(HANGUP_NULL, hangup_request_new_connect(given("hello"), NULL, &request, &error));
    IS(HANGUP_NULL, hangup_request_new_connect(given("hello"), "x:1", NULL, &error));
    IS(HANGUP_NULL, hangup_response_take_stream(response, NULL, &error));
    IS(HANGUP_NULL, hangup_request_copy(request, NULL, &error));
    IS(HANGUP_NULL, hangup_request_new_as_given(NULL, given("hello"), &request, &error));
    IS(HANGUP_NULL, hangup_request_new_as_given("GET", NULL, &request, &error));
    IS(HANGUP_NULL, hangup_request_new_as_given("GET", given("hello"), NULL, &error));
    IS(HANGUP_NULL, hangup_request_remove_header(request, NULL, &error));
    IS(HANGUP_NULL, hangup_request_add_header(request, NULL, "y", &error));
    IS(HANGUP_NULL, hangup_request_add_header(request, "x", NULL, &error));
    IS(HANGUP_NULL, hangup_request_set_body(request, NULL, 1, &error));
    IS(HANGUP_NULL, hangup_request_set_body_file(request, NULL, &error));
    int ends = 0;
    IS(HANGUP_NULL, hangup_request_set_body_reader(request, NULL, count, &ends, 0, &error));
    CHECK_NUMBER(1, ends);
    IS(HANGUP_NULL, hangup_request_set_body_reader(request, NULL, NULL, NULL, 0, &error));
    IS(HANGUP_NULL, hangup_request_set_body_borrowed(request, NULL, 1, count, &ends, &error));
    CHECK_NUMBER(2, ends);
    IS(HANGUP_NULL, hangup_request_set_body_rewindable(request, NULL, no_rewind, count, &ends, 0, &error));
    IS(HANGUP_NULL, hangup_request_set_body_rewindable(request, no_body, NULL, count, &ends, 0, &error));
    CHECK_NUMBER(4, ends);
    IS(HANGUP_NULL, hangup_form_add_reader(form, "x", NULL, NULL, count, &ends, 0, NULL, NULL, &error));
    IS(HANGUP_NULL, hangup_form_add_reader(form, NULL, no_body, NULL, count, &ends, 0, NULL, NULL, &error));
    CHECK_NUMBER(6, ends);
    IS(HANGUP_NULL, hangup_form_set_boundary(form, NULL, &error));
    IS(HANGUP_NULL, hangup_form_add_text(form, NULL, "y", &error));
    IS(HANGUP_NULL, hangup_form_add_text(form, "x", NULL, &error));
    IS(HANGUP_NULL, hangup_form_add_bytes(form, "x", NULL, 1, NULL, NULL, &error));
    IS(HANGUP_NULL, hangup_form_add_file(form, "x", NULL, NULL, NULL, &error));
    IS(HANGUP_NULL, hangup_upload_new(1, NULL, &error));
    IS(HANGUP_NULL, hangup_upload_write_all(upload, NULL, 1, &error));
    IS(HANGUP_NULL, hangup_upload_try_write(upload, NULL, 1, &written, &error));
    IS(HANGUP_NULL, hangup_upload_try_write(upload, pem, 1, NULL, &error));
    IS(HANGUP_NULL, hangup_upload_submit_write(upload, NULL, 1, queue, 1, &error));
    CHECK_OK(hangup_request_set_progress(request, NULL, NULL), NULL);
    CHECK(hangup_response_header(response, NULL, &written) == NULL);
    SAYS(HANGUP_NULL, hangup_response_timings(response, NULL));
    IS(HANGUP_NULL, hangup_response_read(response, NULL, 16, &written, &error));
    IS(HANGUP_NULL, hangup_response_read(response, room, sizeof room, NULL, &error));
    IS(HANGUP_NULL, hangup_response_read_full(response, NULL, 16, SIZE_MAX, &written, &error));
    IS(HANGUP_NULL, hangup_response_read_full(response, room, sizeof room, SIZE_MAX, NULL, &error));
    IS(HANGUP_NULL, hangup_response_read_available(response, NULL, 16, &written, &is_here, &error));
    IS(HANGUP_NULL, hangup_response_read_available(response, room, sizeof room, NULL, &is_here, &error));
    IS(HANGUP_NULL, hangup_response_read_available(response, room, sizeof room, &written, NULL, &error));
    IS(HANGUP_NULL, hangup_response_read_all(response, SIZE_MAX, NULL, &written, &error));
    IS(HANGUP_NULL, hangup_response_read_all(response, SIZE_MAX, &lent, NULL, &error));
    CHECK_NUMBER(4711, written);
    CHECK(lent == NULL);
}

/** Where NULL means something, and an error that the caller does not want. */
static void legal(void) {
    SAYS(HANGUP_OK, hangup_manager_close_origin(manager, "http://nobody.invalid", HANGUP_CLOSE_MODE_NOW, NULL, NULL));
    SAYS(HANGUP_OK, hangup_manager_close_idle(manager, 3600000, NULL));
    SAYS(HANGUP_NOT_FOUND, hangup_manager_close_connection(manager, UINT64_MAX, HANGUP_CLOSE_MODE_NOW, NULL));
    CHECK_TEXT("", hangup_string_value(cookies, NULL));
    CHECK(hangup_response_history_at(response, 0, NULL) == NULL);
    SAYS(HANGUP_OK, hangup_manager_set_address(manager, "name.test", NULL, NULL));
    SAYS(HANGUP_OK, hangup_manager_set_resolver(manager, NULL, NULL, NULL, NULL));
    SAYS(HANGUP_OK, hangup_manager_preconnect(manager, given("hello"), 0, NULL, NULL));
    SAYS(HANGUP_OK, hangup_client_preconnect(client, given("hello"), 0, NULL, NULL));
    SAYS(HANGUP_OK, hangup_client_set_proxy(client, NULL, NULL));
    SAYS(HANGUP_OK, hangup_client_set_local_address(client, NULL, NULL));
    SAYS(HANGUP_OK, hangup_client_set_interface(client, NULL, NULL));
    SAYS(HANGUP_OK, hangup_client_set_connector(client, NULL, NULL, NULL, NULL));
    SAYS(HANGUP_OK, hangup_set_io_threads(1, NULL));
    SAYS(HANGUP_OK, hangup_request_set_buffer_body(request, HANGUP_NO_LIMIT, NULL));
    SAYS(HANGUP_OK, hangup_request_set_target(request, NULL, NULL));
    SAYS(HANGUP_OK, hangup_manager_clear_addresses(manager));
    SAYS(HANGUP_OK, hangup_manager_network_changed(manager, NULL));
    SAYS(HANGUP_OK, hangup_client_set_header(client, "x", NULL, NULL));
    SAYS(HANGUP_OK, hangup_request_set_body(request, NULL, 0, NULL));
    SAYS(HANGUP_OK, hangup_request_set_cancel(request, NULL));
    SAYS(HANGUP_OK, hangup_request_set_tls(request, NULL, NULL));
    SAYS(HANGUP_OK, hangup_client_set_tls(client, NULL, NULL));
    SAYS(HANGUP_OK, hangup_tls_set_server_name(tls, NULL, NULL));
    SAYS(HANGUP_OK, hangup_tls_set_key_log(tls, NULL, NULL));
    SAYS(HANGUP_OK, hangup_response_header_at(response, 0, NULL, NULL, NULL));
    SAYS(HANGUP_OK, hangup_set_interrupt_check(NULL, NULL, HANGUP_NO_LIMIT));
    SAYS(HANGUP_NULL, hangup_request_new(NULL, NULL, NULL, NULL));
    SAYS(HANGUP_NULL, hangup_client_get(NULL, NULL, 0, NULL, NULL));
    hangup_cancel_fire(cancel, NULL);
    CHECK_NUMBER(1, hangup_cancel_is_fired(cancel));
    SAYS(HANGUP_OK, hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_NOW, NULL));
}

int main(int argc, char **argv) {
    begin(argc, argv);
    static uint64_t junk[8] = {42, 42, 42, 42, 42, 42, 42, 42};
    manager = hangup_manager_shared();
    client = new_client(manager);
    request = new_request("GET", given("hello"));
    response = get(client, given("hello"));
    cancel = hangup_cancel_new();
    queue = hangup_queue_new();
    CHECK(queue != NULL);
    options = hangup_options_new();
    tls = hangup_tls_new();
    CHECK(tls != NULL);
    form = hangup_form_new();
    progress = hangup_progress_new();
    CHECK(form != NULL && progress != NULL);
    hangup_request *uploading = new_request("POST", given("hello"));
    CHECK_OK(hangup_upload_new(HANGUP_NO_LIMIT, &upload, NULL), NULL);
    CHECK_OK(hangup_request_set_body_upload(uploading, upload, NULL), NULL);
    CHECK_OK(hangup_manager_connections(manager, &list, NULL), NULL);
    CHECK_OK(hangup_manager_events(manager, 16, &events, NULL), NULL);
    CHECK_OK(hangup_client_cookies_for(client, given("hello"), &cookies, NULL), NULL);

    versions_and_names();
    errors(NULL);
    errors(junk);
    errors(manager);
    values(NULL, NULL);
    values(junk, junk);
    values(cancel, options);
    handles(HANGUP_NULL, NULL, NULL);
    handles(HANGUP_BAD_HANDLE, junk, junk);
    handles(HANGUP_BAD_HANDLE, cancel, options);
    arguments();

    /* All of this has done nothing to the handles. */
    hangup_completion none = {.size = sizeof none};
    SAYS(HANGUP_TIMED_OUT, hangup_queue_next(queue, 0, &none));
    check_body(response, "hello");
    CHECK_NUMBER(0, hangup_cancel_is_fired(cancel));
    legal();

    hangup_string_free(cookies);
    hangup_queue_free(queue);
    hangup_events_free(events);
    hangup_connections_free(list);
    hangup_upload_free(upload);
    hangup_request_free(uploading);
    hangup_progress_free(progress);
    hangup_form_free(form);
    hangup_tls_free(tls);
    hangup_options_free(options);
    hangup_cancel_free(cancel);
    hangup_response_free(response);
    hangup_request_free(request);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return 0;
}
