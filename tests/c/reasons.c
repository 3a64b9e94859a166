/**
 * Every connection ends for exactly one reason, and that can be asked afterwards. Servers: `hello` answers 200 "hello"
 * for ever, `large` sends 200,000 bytes, `silent` never answers, `half` sends a head and ten bytes, `gone` reads the head
 * and resets, `leaves` reads the head and closes, `short` answers and says that it closes, `junk` answers what is no
 * HTTP, `once` answers once and closes without a word.
 */
#include "check.h"

static hangup_manager *manager;
static hangup_client *client;

static void check_reason(hangup_close_reason expected, uint64_t connection) {
    hangup_close_reason reason = 0;
    CHECK_OK(hangup_manager_close_reason(manager, connection, &reason), NULL);
    CHECK_TEXT(hangup_close_reason_text(expected), hangup_close_reason_text(reason));
}

/** An exchange that fails: the connection that it was on, and why that ended. */
static void fails(const char *url, int64_t total_ms, hangup_status status, hangup_close_reason reason) {
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    CHECK_STATUS(status, hangup_client_get(client, url, total_ms, &response, &error), error);
    if (hangup_error_connection_id(error) == 0) {
        FAIL("%s: no connection in the error %s", url, hangup_error_message(error));
    }
    check_reason(reason, hangup_error_connection_id(error));
    hangup_error_free(error);
}

/** An exchange that goes well; answers its connection. */
static uint64_t goes_well(const char *url, hangup_connection_mode mode) {
    hangup_request *request = new_request("GET", url);
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_connection_mode(request, mode, NULL), NULL);
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    uint64_t connection = hangup_response_connection_id(response);
    check_body(response, "hello");
    hangup_response_free(response);
    hangup_request_free(request);
    return connection;
}

static void of_exchanges(void) {
    fails(given("silent"), 50, HANGUP_TIMED_OUT, HANGUP_CLOSE_REASON_TIMED_OUT);
    fails(given("gone"), 5000, HANGUP_PEER_RESET, HANGUP_CLOSE_REASON_PEER_RESET);
    fails(given("leaves"), 5000, HANGUP_PEER_CLOSED, HANGUP_CLOSE_REASON_PEER_CLOSED);
    fails(given("junk"), 5000, HANGUP_PROTOCOL, HANGUP_CLOSE_REASON_PROTOCOL_ERROR);
    check_reason(HANGUP_CLOSE_REASON_ASKED_BY_REQUEST, goes_well(given("hello"), HANGUP_CONNECTION_MODE_CLOSE_AFTER));
    check_reason(HANGUP_CLOSE_REASON_ASKED_BY_RESPONSE, goes_well(given("short"), HANGUP_CONNECTION_MODE_KEEP));

    hangup_response *response = get(client, given("large"));
    uint64_t connection = hangup_response_connection_id(response);
    hangup_close_reason reason = 0;
    CHECK_STATUS(HANGUP_NOT_FOUND, hangup_manager_close_reason(manager, connection, &reason), NULL);
    CHECK_NUMBER(0, reason);
    hangup_response_free(response);
    check_reason(HANGUP_CLOSE_REASON_BODY_LEFT_UNREAD, connection);

    hangup_request *request = new_request("GET", given("half"));
    hangup_cancel *token = hangup_cancel_new();
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_cancel(request, token), NULL);
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    hangup_cancel_fire(token, NULL);
    const uint8_t *data = NULL;
    size_t size = 0;
    CHECK_STATUS(HANGUP_CANCELLED, hangup_response_read_all(response, SIZE_MAX, &data, &size, &error), error);
    check_reason(HANGUP_CLOSE_REASON_CANCELLED, hangup_error_connection_id(error));
    hangup_error_free(error);
    hangup_response_free(response);
    hangup_cancel_free(token);
    hangup_request_free(request);
}

static void of_idle_connections(void) {
    uint64_t connection = goes_well(given("hello"), HANGUP_CONNECTION_MODE_FRESH);
    CHECK_OK(hangup_manager_close_connection(manager, connection, HANGUP_CLOSE_MODE_GRACEFUL, NULL), NULL);
    check_reason(HANGUP_CLOSE_REASON_CLOSED_BY_ID, connection);

    connection = goes_well(given("hello"), HANGUP_CONNECTION_MODE_FRESH);
    CHECK_OK(hangup_manager_close_origin(manager, given("hello"), HANGUP_CLOSE_MODE_GRACEFUL, NULL, NULL), NULL);
    check_reason(HANGUP_CLOSE_REASON_CLOSED_BY_ORIGIN, connection);

    connection = goes_well(given("hello"), HANGUP_CONNECTION_MODE_FRESH);
    CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_GRACEFUL, NULL), NULL);
    check_reason(HANGUP_CLOSE_REASON_CLOSED_BY_ALL, connection);

    connection = goes_well(given("hello"), HANGUP_CONNECTION_MODE_FRESH);
    CHECK_OK(hangup_manager_close_idle(manager, 0, NULL), NULL);
    check_reason(HANGUP_CLOSE_REASON_IDLE_TOO_LONG, connection);

    CHECK_OK(hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_TOTAL, 0, NULL), NULL);
    check_reason(HANGUP_CLOSE_REASON_POOL_FULL, goes_well(given("hello"), HANGUP_CONNECTION_MODE_FRESH));
    CHECK_OK(hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_TOTAL, HANGUP_NO_LIMIT, NULL), NULL);

    /* The peer closed an idle connection: a sweep sees it, or the next checkout. */
    connection = goes_well(given("once"), HANGUP_CONNECTION_MODE_KEEP);
    sleep_ms(50 * slowness());
    CHECK(goes_well(given("once"), HANGUP_CONNECTION_MODE_KEEP) != connection);
    hangup_close_reason reason = 0;
    CHECK_OK(hangup_manager_close_reason(manager, connection, &reason), NULL);
    CHECK(reason == HANGUP_CLOSE_REASON_STALE_AT_CHECKOUT || reason == HANGUP_CLOSE_REASON_PEER_CLOSED);

    connection = goes_well(given("hello"), HANGUP_CONNECTION_MODE_FRESH);
    CHECK_OK(hangup_manager_shutdown(manager), NULL);
    check_reason(HANGUP_CLOSE_REASON_MANAGER_SHUT_DOWN, connection);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    manager = new_manager();
    client = new_client(manager);
    of_exchanges();
    of_idle_connections();
    hangup_close_reason reason = 0;
    CHECK_STATUS(HANGUP_NOT_FOUND, hangup_manager_close_reason(manager, UINT64_MAX, &reason), NULL);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return 0;
}
