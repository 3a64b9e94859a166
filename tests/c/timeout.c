/**
 * Each clock alone, against a server that stalls just there: the kind, the phase and the clock in the error, and that
 * it fired in time; and what TCP knew of the server by then. Servers: `hole` (connecting hangs), `silent` (accepts, then nothing: TLS and head), `deaf` (reads
 * the head, never the body), `half` (head and a piece of the body), `drip` (a byte every 20 ms), `hello`.
 */
#include "check.h"

/**
 * How late a clock may be. Far above what it is (about 1 ms), since the machine may be busy; and under valgrind reading the
 * system's certificates alone takes seconds.
 */
static int64_t late_ms(void) {
    return slowness() > 1 ? 30000 : 100;
}

static void check_in_time(int64_t began, int64_t ms) {
    int64_t took = (now_us() - began) / 1000;
    if (took < ms - 1 || took > ms + late_ms()) {
        FAIL("a limit of %lld ms fired after %lld ms", (long long)ms, (long long)took);
    }
}

/** TCP is asked about a wait for the server, not about a dial. */
static void check_tcp(const hangup_error *error, hangup_phase phase) {
    hangup_tcp_facts facts = HANGUP_TCP_FACTS_INIT;
    if (phase < HANGUP_PHASE_WRITE) {
        CHECK_TEXT("unknown", hangup_acknowledged_text(hangup_error_acknowledged(error)));
        CHECK_STATUS(HANGUP_NOT_FOUND, hangup_error_tcp_facts(error, &facts), NULL);
        return;
    }
    const hangup_acknowledged expected = phase == HANGUP_PHASE_WRITE ? HANGUP_ACKNOWLEDGED_PART : HANGUP_ACKNOWLEDGED_ALL;
    CHECK_TEXT(hangup_acknowledged_text(expected), hangup_acknowledged_text(hangup_error_acknowledged(error)));
    CHECK_OK(hangup_error_tcp_facts(error, &facts), NULL);
    CHECK_NUMBER(sizeof facts, facts.size);
    CHECK(facts.rtt_us > 0 && facts.silence_ms >= 0 && facts.retransmissions >= 0);
    CHECK((facts.unacked_bytes > 0) == (phase == HANGUP_PHASE_WRITE) && facts.unsent_bytes <= facts.unacked_bytes);
    CHECK(strstr(hangup_error_message(error), "acknowledged") != NULL && strstr(hangup_error_message(error), "round-trip time") != NULL);
    CHECK(strstr(hangup_error_json(error), "\"tcp_facts\":{") != NULL);
}

static void check_timed_out(hangup_error *error, hangup_phase phase, hangup_timeout limit) {
    CHECK_NUMBER(HANGUP_TIMED_OUT, hangup_error_status(error));
    CHECK_TEXT(hangup_phase_text(phase), hangup_phase_text(hangup_error_phase(error)));
    CHECK_TEXT(hangup_timeout_text(limit), hangup_timeout_text(hangup_error_timeout(error)));
    CHECK(hangup_error_reason(error) == NULL);
    CHECK(strlen(hangup_error_message(error)) > 0);
    check_tcp(error, phase);
    hangup_error_free(error);
}

/** Sends `request` with one limit and expects that limit to end it before the head. */
static void expect(hangup_request *request, hangup_timeout which, int64_t ms, hangup_phase phase) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_timeout(request, which, ms, &error), error);
    int64_t began = now_us();
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_client_send(client, request, &response, &error), error);
    check_in_time(began, ms);
    CHECK(response == NULL);
    check_timed_out(error, phase, which);
    /* Nothing of it is left in the pool. */
    wait_until_empty(manager);
    hangup_request_free(request);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void before_the_head(void) {
    static uint8_t large[32 * 1024 * 1024];
    expect(new_request("GET", given("hole")), HANGUP_TIMEOUT_CONNECT, 120, HANGUP_PHASE_CONNECT);
    expect(new_request("GET", given("hole")), HANGUP_TIMEOUT_TOTAL, 120, HANGUP_PHASE_CONNECT);

    char https[256];
    snprintf(https, sizeof https, "https%s", given("silent") + strlen("http"));
    expect(new_request("GET", https), HANGUP_TIMEOUT_TLS, 120, HANGUP_PHASE_TLS);
    expect(new_request("GET", https), HANGUP_TIMEOUT_TOTAL, 120, HANGUP_PHASE_TLS);

    expect(new_request("GET", given("silent")), HANGUP_TIMEOUT_HEAD, 120, HANGUP_PHASE_HEAD);
    expect(new_request("GET", given("silent")), HANGUP_TIMEOUT_TOTAL, 120, HANGUP_PHASE_HEAD);

    /* More than the two sockets' buffers hold, to a server that does not read. */
    hangup_request *upload = new_request("PUT", given("deaf"));
    CHECK_OK(hangup_request_set_body(upload, large, sizeof large, NULL), NULL);
    expect(upload, HANGUP_TIMEOUT_WRITE, 150, HANGUP_PHASE_WRITE);
    upload = new_request("PUT", given("deaf"));
    CHECK_OK(hangup_request_set_body(upload, large, sizeof large, NULL), NULL);
    expect(upload, HANGUP_TIMEOUT_TOTAL, 150, HANGUP_PHASE_WRITE);
}

/** Sends, reads until an error comes, and hands that error back. */
static hangup_error *read_to_error(hangup_client *client, hangup_request *request, size_t *total) {
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    char piece[4096];
    hangup_status status = HANGUP_OK;
    for (*total = 0; status == HANGUP_OK;) {
        size_t got = 0;
        status = hangup_response_read(response, piece, sizeof piece, &got, &error);
        CHECK(status != HANGUP_OK || got > 0);
        *total += got;
    }
    hangup_response_free(response);
    return error;
}

static void in_the_body(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    size_t total = 0;

    hangup_request *request = new_request("GET", given("half"));
    CHECK_OK(hangup_request_set_timeout(request, HANGUP_TIMEOUT_READ, 120, NULL), NULL);
    int64_t began = now_us();
    check_timed_out(read_to_error(client, request, &total), HANGUP_PHASE_READ, HANGUP_TIMEOUT_READ);
    check_in_time(began, 120);
    CHECK_NUMBER(10, total);
    hangup_request_free(request);

    /* A drip keeps `read` content; only the total or the minimum rate ends it. */
    request = new_request("GET", given("drip"));
    CHECK_OK(hangup_request_set_timeout(request, HANGUP_TIMEOUT_READ, 5000, NULL), NULL);
    CHECK_OK(hangup_request_set_timeout(request, HANGUP_TIMEOUT_TOTAL, 200, NULL), NULL);
    began = now_us();
    check_timed_out(read_to_error(client, request, &total), HANGUP_PHASE_READ, HANGUP_TIMEOUT_TOTAL);
    check_in_time(began, 200);
    CHECK(total > 0);
    hangup_request_free(request);

    request = new_request("GET", given("drip"));
    CHECK_OK(hangup_request_set_min_rate(request, 100000, 150, NULL), NULL);
    check_timed_out(read_to_error(client, request, &total), HANGUP_PHASE_READ, HANGUP_TIMEOUT_MIN_RATE);
    hangup_request_free(request);

    wait_until_empty(manager);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void a_token_can_carry_a_deadline(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_cancel *parent = hangup_cancel_new(), *child = NULL;
    CHECK_OK(hangup_cancel_child(parent, &child), NULL);
    hangup_request *request = new_request("GET", given("silent"));
    CHECK_OK(hangup_request_set_cancel(request, child), NULL);
    CHECK_OK(hangup_cancel_fire_after(parent, 60000), NULL);
    CHECK_OK(hangup_cancel_fire_after(parent, 120), NULL);
    CHECK_NUMBER(0, hangup_cancel_is_fired(child));
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    int64_t began = now_us();
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_client_send(client, request, &response, &error), error);
    check_in_time(began, 120);
    check_timed_out(error, HANGUP_PHASE_HEAD, HANGUP_TIMEOUT_TOKEN);
    CHECK_NUMBER(1, hangup_cancel_is_fired(child));
    hangup_request_free(request);
    hangup_cancel_free(child);
    hangup_cancel_free(parent);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void a_limit_that_is_not_hit_leaves_no_trace(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    /* The client's default is long, the request's is short, and only that request's. */
    CHECK_OK(hangup_client_set_timeout(client, HANGUP_TIMEOUT_TOTAL, 30000, &error), error);
    hangup_request *request = new_request("GET", given("hello"));
    CHECK_OK(hangup_request_set_timeout(request, HANGUP_TIMEOUT_TOTAL, 300 * slowness(), &error), error);
    hangup_response *response = NULL;
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    check_body(response, "hello");
    uint64_t connection = hangup_response_connection_id(response);
    hangup_response_free(response);
    sleep_ms(350 * slowness());
    response = get(client, given("hello"));
    CHECK_NUMBER(connection, hangup_response_connection_id(response));
    check_body(response, "hello");
    hangup_response_free(response);

    /* A limit on one request does not close another one's idle connection. */
    hangup_request *stalled = new_request("GET", given("silent"));
    CHECK_OK(hangup_request_set_timeout(stalled, HANGUP_TIMEOUT_TOTAL, 50, &error), error);
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_client_send(client, stalled, &response, &error), error);
    hangup_error_free(error);
    CHECK_NUMBER(1, stats_of(manager).idle);
    hangup_request_free(stalled);
    hangup_request_free(request);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    before_the_head();
    in_the_body();
    a_token_can_carry_a_deadline();
    a_limit_that_is_not_hit_leaves_no_trace();
    return 0;
}
