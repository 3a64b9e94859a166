/**
 * Draining a manager: what runs finishes, what waits and what comes is refused, and the call returns when nothing is
 * open any more, or says how much is left. Servers: `hello` answers 200 "hello" for ever, `late` sends its head at once
 * and its body ("done") 300 ms later, `half` sends a head and ten bytes.
 */
#include "check.h"

static void an_empty_one_is_drained_at_once(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    hangup_response *response = get(client, given("hello"));
    check_body(response, "hello");

    /* A timeout that is refused has begun nothing. */
    CHECK_STATUS(HANGUP_INVALID_TIMEOUT, hangup_manager_drain(manager, 0, &error), error);
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_INVALID_TIMEOUT, hangup_manager_drain(manager, -2, NULL), NULL);
    CHECK_NUMBER(1, stats_of(manager).idle);

    uint64_t connection = hangup_response_connection_id(response);
    hangup_response_free(response);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(hangup_manager_drain(manager, i == 0 ? 1000 : HANGUP_NO_LIMIT, &error), error);
    }
    CHECK_NUMBER(0, stats_of(manager).open);
    hangup_close_reason reason = 0;
    CHECK_OK(hangup_manager_close_reason(manager, connection, &reason), NULL);
    CHECK_NUMBER(HANGUP_CLOSE_REASON_MANAGER_SHUT_DOWN, reason);
    CHECK_STATUS(HANGUP_SHUT_DOWN, hangup_client_get(client, given("hello"), 1000, &response, &error), error);
    CHECK_NUMBER(0, hangup_error_open_connections(error));
    hangup_error_free(error);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** A drain on a thread of its own. */
struct drain {
    hangup_manager *manager;
    hangup_status status;
    int64_t done_us;
};

static void *drain(void *argument) {
    struct drain *drain = argument;
    drain->status = hangup_manager_drain(drain->manager, HANGUP_NO_LIMIT, NULL);
    drain->done_us = now_us();
    return NULL;
}

/** Drains for a moment, which is too short for `left` connections. */
static void runs_out_of_time(hangup_manager *manager, uint64_t left) {
    hangup_error *error = NULL;
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_manager_drain(manager, 30, &error), error);
    CHECK_NUMBER(left, hangup_error_open_connections(error));
    CHECK_NUMBER(HANGUP_TIMEOUT_TOTAL, hangup_error_timeout(error));
    CHECK_NUMBER(HANGUP_PHASE_NONE, hangup_error_phase(error));
    CHECK(strlen(hangup_error_message(error)) > 0);
    hangup_error_free(error);
}

static void what_runs_finishes(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_response *one = get(client, given("late")), *two = get(client, given("late"));
    runs_out_of_time(manager, 2);
    struct drain draining = {manager, HANGUP_OK, 0};
    pthread_t thread;
    start(&thread, drain, &draining);
    check_body(one, "done");
    CHECK_NUMBER(1, stats_of(manager).open);
    int64_t last_us = now_us();
    check_body(two, "done");
    join(thread);
    CHECK_OK(draining.status, NULL);
    CHECK(draining.done_us >= last_us);
    CHECK_NUMBER(0, stats_of(manager).open);
    hangup_response_free(one);
    hangup_response_free(two);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void *get_and_be_refused(void *argument) {
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    CHECK_STATUS(HANGUP_SHUT_DOWN, hangup_client_get(argument, given("half"), 20000, &response, &error), error);
    CHECK_NUMBER(HANGUP_PHASE_POOL, hangup_error_phase(error));
    hangup_error_free(error);
    return NULL;
}

static void who_waits_is_refused_and_shutdown_ends_the_rest(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    CHECK_OK(hangup_manager_set_limit(manager, HANGUP_LIMIT_TOTAL, 1, NULL), NULL);
    hangup_response *stuck = get(client, given("half"));
    pthread_t waits, drains;
    start(&waits, get_and_be_refused, client);
    for (int64_t end = now_us() + 10000000 * slowness(); stats_of(manager).queued == 0;) {
        CHECK(now_us() < end);
        sleep_ms(1);
    }
    runs_out_of_time(manager, 1);
    join(waits);
    struct drain draining = {manager, HANGUP_PANIC, 0};
    start(&drains, drain, &draining);
    sleep_ms(30);
    CHECK_OK(hangup_manager_shutdown(manager), NULL);
    join(drains);
    CHECK_OK(draining.status, NULL);
    const uint8_t *data = NULL;
    size_t size = 0;
    CHECK_STATUS(HANGUP_SHUT_DOWN, hangup_response_read_all(stuck, SIZE_MAX, &data, &size, NULL), NULL);
    hangup_response_free(stuck);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static int32_t asked;

static int32_t yes(void *user_data) {
    (void)user_data;
    return ++asked;
}

static void a_signal_ends_the_wait(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    hangup_response *stuck = get(client, given("half"));
    CHECK_OK(hangup_set_interrupt_check(yes, NULL, 20), NULL);
    CHECK_STATUS(HANGUP_CANCELLED, hangup_manager_drain(manager, 20000, &error), error);
    CHECK_OK(hangup_set_interrupt_check(NULL, NULL, HANGUP_NO_LIMIT), NULL);
    CHECK_NUMBER(1, hangup_error_open_connections(error));
    CHECK_NUMBER(1, asked);
    hangup_error_free(error);
    hangup_response_free(stuck);
    CHECK_OK(hangup_manager_drain(manager, 20000, &error), error);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    an_empty_one_is_drained_at_once();
    what_runs_finishes();
    who_waits_is_refused_and_shutdown_ends_the_rest();
    a_signal_ends_the_wait();
    return 0;
}
