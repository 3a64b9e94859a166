/**
 * The life of a connection as C sees it: a request, its answer, the connection used again, and what can be asked
 * meanwhile. Servers: `hello` answers 200 "hello" for ever; `echo` answers with the request's head; `large` sends
 * 200,000 bytes; `headers` sends one header twice.
 */
#include "check.h"

/** What is known of the one connection of a manager. Text in it is not kept: the list is freed. */
static hangup_connection_info only_connection(hangup_manager *manager, char *origin, size_t room) {
    hangup_connections *list = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_manager_connections(manager, &list, &error), error);
    CHECK_NUMBER(1, hangup_connections_count(list));
    hangup_connection_info info = {.size = sizeof info};
    CHECK_OK(hangup_connections_at(list, 0, &info), NULL);
    CHECK_NUMBER(sizeof info, info.size);
    snprintf(origin, room, "%s", info.origin);
    CHECK(strchr(info.peer, ':') != NULL);
    CHECK(strchr(info.local, ':') != NULL);
    CHECK_TEXT("", info.tls);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_connections_at(list, 1, &info), NULL);
    hangup_connections_free(list);
    return info;
}

static void two_requests_share_a_connection(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    uint64_t connection = 0;
    for (int i = 0; i < 2; i++) {
        hangup_response *response = get(client, given("hello"));
        CHECK_NUMBER(200, hangup_response_status_code(response));
        CHECK_NUMBER(11, hangup_response_version(response));
        CHECK_NUMBER(i, hangup_response_reused(response));
        check_body(response, "hello");
        CHECK(i == 0 || hangup_response_connection_id(response) == connection);
        connection = hangup_response_connection_id(response);

        /* Read to its end, so the connection is idle although the response is still here. */
        char origin[256];
        hangup_connection_info info = only_connection(manager, origin, sizeof origin);
        CHECK_NUMBER(connection, info.id);
        CHECK_NUMBER(HANGUP_CONNECTION_STATE_IDLE, info.state);
        CHECK_NUMBER(i + 1, info.requests);
        CHECK(info.bytes_in > 0 && info.bytes_out > 0 && info.age_ms >= 0 && info.idle_ms >= 0);
        CHECK(info.rtt_us > 0 && info.silence_ms >= 0 && info.unacked_bytes >= info.unsent_bytes && info.unsent_bytes >= 0);
        CHECK(info.retransmissions >= 0 && info.retransmissions_in_row == 0 && info.unanswered_probes == 0);
        CHECK_NUMBER(0, info.closing);
        CHECK_NUMBER(0, strncmp(given("hello"), origin, strlen(origin)));
        hangup_response_free(response);
    }
    hangup_stats stats = stats_of(manager);
    CHECK_NUMBER(sizeof stats, stats.size);
    CHECK_NUMBER(1, stats.open);
    CHECK_NUMBER(1, stats.idle);
    CHECK_NUMBER(0, stats.in_use);
    CHECK_NUMBER(0, stats.dialling);
    CHECK_NUMBER(1, stats.opened);
    CHECK_NUMBER(0, stats.closed);
    CHECK_NUMBER(1, stats.reused);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void a_short_connection_is_closed_and_a_fresh_one_is_new(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    uint64_t connections[3];
    const hangup_connection_mode modes[3] = {HANGUP_CONNECTION_MODE_CLOSE_AFTER, HANGUP_CONNECTION_MODE_KEEP, HANGUP_CONNECTION_MODE_FRESH};
    for (int i = 0; i < 3; i++) {
        hangup_request *request = new_request("GET", given("echo"));
        hangup_response *response = NULL;
        CHECK_OK(hangup_request_set_connection_mode(request, modes[i], &error), error);
        CHECK_OK(hangup_client_send(client, request, &response, &error), error);
        connections[i] = hangup_response_connection_id(response);
        char *head = body_text(response);
        CHECK_NUMBER(modes[i] == HANGUP_CONNECTION_MODE_CLOSE_AFTER, strcasestr(head, "connection: close") != NULL);
        free(head);
        CHECK_NUMBER(0, hangup_response_reused(response));
        hangup_response_free(response);
        hangup_request_free(request);
    }
    CHECK(connections[0] != connections[1] && connections[1] != connections[2]);
    CHECK_NUMBER(2, stats_of(manager).idle);
    CHECK_NUMBER(1, stats_of(manager).closed);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void a_body_is_read_piece_by_piece(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_response *response = get(client, given("large"));
    hangup_error *error = NULL;
    size_t total = 0, got = 0;
    char piece[777];
    do {
        CHECK_OK(hangup_response_read(response, piece, sizeof piece, &got, &error), error);
        CHECK(got <= sizeof piece);
        for (size_t i = 0; i < got; i++) {
            CHECK(piece[i] == 'x');
        }
        total += got;
    } while (got > 0);
    CHECK_NUMBER(200000, total);
    CHECK_NUMBER(1, stats_of(manager).idle);
    /* The end stays the end. */
    CHECK_OK(hangup_response_read(response, piece, sizeof piece, &got, &error), error);
    CHECK_NUMBER(0, got);
    hangup_response_free(response);

    /* The rest after a piece, lent: the second call lends the same bytes. */
    response = get(client, given("large"));
    CHECK_NUMBER(1, hangup_response_reused(response));
    CHECK_OK(hangup_response_read(response, piece, 100, &got, &error), error);
    const uint8_t *data = NULL, *again = NULL;
    size_t size = 0, same = 0;
    CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &data, &size, &error), error);
    CHECK_NUMBER(200000, got + size);
    CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &again, &same, &error), error);
    CHECK(data == again && size == same);
    hangup_response_free(response);

    /* A bound that is exceeded is an error, and the connection is not kept. */
    response = get(client, given("large"));
    CHECK_STATUS(HANGUP_TOO_LARGE, hangup_response_read_all(response, 1000, &data, &size, &error), error);
    CHECK_NUMBER(HANGUP_TOO_LARGE, hangup_error_status(error));
    hangup_error_free(error);
    hangup_response_free(response);
    wait_until_empty(manager);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void headers_can_be_sent_and_read(void) {
    hangup_client *client = new_client(NULL);
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_set_header(client, "X-Default", "from the client", &error), error);
    CHECK_OK(hangup_client_set_header(client, "X-Replaced", "from the client", &error), error);
    CHECK_OK(hangup_client_set_header(client, "X-Gone", "never seen", &error), error);
    CHECK_OK(hangup_client_set_header(client, "X-Gone", NULL, &error), error);
    hangup_request *request = new_request("GET", given("echo"));
    CHECK_TEXT("GET", hangup_request_method(request));
    CHECK_OK(hangup_request_add_header(request, "X-Replaced", "from the request", &error), error);
    CHECK_OK(hangup_request_add_header(request, "X-Twice", "1", &error), error);
    CHECK_OK(hangup_request_add_header(request, "X-Twice", "2", &error), error);
    hangup_response *response = NULL;
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    char *head = body_text(response);
    CHECK(strcasestr(head, "x-default: from the client\r\n") != NULL);
    CHECK(strcasestr(head, "x-replaced: from the request\r\n") != NULL);
    CHECK(strcasestr(head, "x-replaced: from the client") == NULL);
    CHECK(strcasestr(head, "x-gone") == NULL);
    CHECK(strcasestr(head, "x-twice: 1\r\n") != NULL && strcasestr(head, "x-twice: 2\r\n") != NULL);
    free(head);
    hangup_response_free(response);
    hangup_request_free(request);

    response = get(client, given("headers"));
    size_t size = 99, seen = 0;
    CHECK_TEXT("one", hangup_response_header(response, "X-TWICE", &size));
    CHECK_NUMBER(3, size);
    CHECK_TEXT("", hangup_response_header(response, "x-empty", NULL));
    CHECK(hangup_response_header(response, "x-absent", &size) == NULL);
    for (size_t i = 0; i < hangup_response_header_count(response); i++) {
        const char *name = NULL, *value = NULL;
        CHECK_OK(hangup_response_header_at(response, i, &name, &value, &size), NULL);
        CHECK_NUMBER(strlen(value), size);
        if (strcmp(name, "x-twice") == 0) {
            CHECK_TEXT(seen++ == 0 ? "one" : "two", value);
        }
    }
    CHECK_NUMBER(2, seen);
    CHECK_TEXT("one", hangup_response_header_value(response, "x-twice", 0, NULL));
    CHECK_TEXT("two", hangup_response_header_value(response, "X-Twice", 1, &size));
    CHECK_NUMBER(3, size);
    CHECK(hangup_response_header_value(response, "X-Twice", 2, &size) == NULL);
    CHECK_TEXT("OK", hangup_response_reason(response, &size));
    CHECK_NUMBER(2, size);
    CHECK_NUMBER(0, hangup_response_content_length(response));
    const char *raw_name = NULL;
    CHECK_OK(hangup_response_raw_header_at(response, 0, &raw_name, NULL, NULL), NULL);
    CHECK_TEXT("X-Twice", raw_name);
    const uint8_t *raw = NULL;
    CHECK_OK(hangup_response_raw_head(response, &raw, &size), NULL);
    CHECK(size > 4 && memcmp(raw, "HTTP/1.1 200 OK\r\nX-Twice: one\r\n", 31) == 0);
    CHECK(memcmp(raw + size - 4, "\r\n\r\n", 4) == 0);
    CHECK_NUMBER(0, hangup_response_interim_count(response) + hangup_response_trailer_count(response));
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_response_trailer_at(response, 0, NULL, NULL, NULL), NULL);
    hangup_connection_facts facts = HANGUP_CONNECTION_FACTS_INIT;
    CHECK_OK(hangup_response_connection_facts(response, &facts), NULL);
    CHECK(facts.id == hangup_response_connection_id(response) && facts.certificate_count == 0);
    CHECK(strstr(given("headers"), facts.peer) != NULL && strncmp(facts.local, "127.0.0.1:", 10) == 0);
    CHECK_TEXT("", facts.tls_version);
    CHECK_NUMBER(0, facts.is_tls + facts.resumed);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_response_certificate_at(response, 0, &raw, &size), NULL);
    size_t count = hangup_response_header_count(response);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_response_header_at(response, count, NULL, NULL, NULL), NULL);
    hangup_response_free(response);
    hangup_client_free(client);
}

static void timings_tell_each_part(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    for (int i = 0; i < 2; i++) {
        hangup_response *response = get(client, given("hello"));
        check_body(response, "hello");
        hangup_timings t = {.size = sizeof t};
        CHECK_OK(hangup_response_timings(response, &t), NULL);
        CHECK_NUMBER(sizeof t, t.size);
        CHECK(i == 0 ? t.connect_us >= 0 : t.connect_us == -1);
        CHECK_NUMBER(-1, t.tls_us);
        CHECK_NUMBER(-1, t.proxy_us);
        CHECK(t.head_us >= 0 && t.total_us >= t.head_us);
        hangup_response_free(response);
    }
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void there_is_one_shared_manager(void) {
    hangup_manager *one = hangup_manager_shared(), *two = hangup_manager_shared(), *own = new_manager();
    CHECK(hangup_manager_id(one) == hangup_manager_id(two) && hangup_manager_id(one) != 0);
    CHECK(hangup_manager_id(own) != hangup_manager_id(one));
    hangup_client *client = new_client(NULL);
    hangup_manager *of_client = hangup_client_manager(client);
    CHECK_NUMBER(hangup_manager_id(one), hangup_manager_id(of_client));
    hangup_manager *more = hangup_manager_ref(own);
    CHECK_NUMBER(hangup_manager_id(own), hangup_manager_id(more));
    hangup_manager_free(more);
    hangup_manager_free(of_client);
    hangup_client_free(client);
    hangup_manager_free(own);
    hangup_manager_free(two);
    hangup_manager_free(one);
}

static void limits_keep_fewer_idle_connections(void) {
    hangup_options *options = hangup_options_new();
    hangup_manager *manager = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_options_set_limit(options, HANGUP_LIMIT_IDLE_PER_ORIGIN, 1, &error), error);
    CHECK_OK(hangup_manager_new(options, &manager, &error), error);
    hangup_options_free(options);
    hangup_client *client = new_client(manager);
    hangup_response *one = get(client, given("hello")), *two = get(client, given("hello"));
    check_body(one, "hello");
    check_body(two, "hello");
    CHECK_NUMBER(1, stats_of(manager).idle);
    /* A limit lowered while running applies to what is idle at once. */
    CHECK_OK(hangup_manager_set_limit(manager, HANGUP_LIMIT_IDLE_TOTAL, 0, &error), error);
    CHECK_NUMBER(0, stats_of(manager).idle);
    hangup_response_free(one);
    hangup_response_free(two);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** All of a failure, and of a list, as one text each: for languages that would need a call for each property. */
static void failures_and_lists_are_json(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_response *first = get(client, given("hello"));
    check_body(first, "hello");
    hangup_response_free(first);
    hangup_connections *list = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_manager_connections(manager, &list, &error), error);
    const char *rows = hangup_connections_json(list);
    CHECK(rows[0] == '[' && strstr(rows, "\"state\":\"idle\"") != NULL && strstr(rows, "\"requests\":1") != NULL);
    hangup_connections_free(list);

    hangup_response *response = NULL;
    CHECK_STATUS(HANGUP_CONNECT_FAILED, hangup_client_get(client, "http://u:secret@127.0.0.1:1/x#y", 5000, &response, &error), NULL);
    CHECK_TEXT("GET", hangup_error_method(error));
    CHECK_TEXT("http://127.0.0.1:1/x", hangup_error_url(error));
    CHECK_TEXT("http://127.0.0.1:1", hangup_error_origin(error));
    CHECK_NUMBER(1, hangup_error_retry_may_help(error));
    CHECK_NUMBER(0, hangup_error_resolver_code(error));
    hangup_timings timings = HANGUP_TIMINGS_INIT;
    CHECK_OK(hangup_error_timings(error, &timings), NULL);
    CHECK(timings.connect_us >= 0 && timings.total_us >= timings.connect_us);
    CHECK_NUMBER(-1, timings.head_us);
    const char *json = hangup_error_json(error);
    CHECK(strstr(json, "\"status\":\"CONNECT_FAILED\"") != NULL && strstr(json, "\"phase\":\"connect\"") != NULL);
    CHECK(strstr(json, "secret") == NULL && strchr(json, '\n') == NULL);
    CHECK(json == hangup_error_json(error));
    hangup_error_free(error);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    CHECK_NUMBER(HANGUP_VERSION, hangup_version());
    CHECK_TEXT(HANGUP_VERSION_TEXT, hangup_version_text());
    two_requests_share_a_connection();
    a_short_connection_is_closed_and_a_fresh_one_is_new();
    a_body_is_read_piece_by_piece();
    headers_can_be_sent_and_read();
    timings_tell_each_part();
    there_is_one_shared_manager();
    limits_keep_fewer_idle_connections();
    failures_and_lists_are_json();
    return 0;
}
