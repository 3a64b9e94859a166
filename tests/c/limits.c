/**
 * The limits of a manager: each can be set, told and taken away, and holds. What would let no request pass is refused
 * with a message that says what to do instead. Servers: `hello` and `other` answer 200 "hello" for ever.
 */
#include "check.h"

enum { LIMITS = 9 };

/** A limit, what it is in a new manager, and what 0 answers. */
static const struct {
    hangup_limit limit;
    int64_t standard;
    hangup_status zero;
    const char *instead;
} all[LIMITS] = {
    {HANGUP_LIMIT_TOTAL, HANGUP_NO_LIMIT, HANGUP_INVALID_ARGUMENT, "drain"},
    {HANGUP_LIMIT_PER_ORIGIN, HANGUP_NO_LIMIT, HANGUP_INVALID_ARGUMENT, "drain"},
    {HANGUP_LIMIT_IDLE_TOTAL, 256, HANGUP_OK, NULL},
    {HANGUP_LIMIT_IDLE_PER_ORIGIN, 64, HANGUP_OK, NULL},
    {HANGUP_LIMIT_QUEUE, 10000, HANGUP_OK, NULL},
    {HANGUP_LIMIT_IDLE_MS, 90000, HANGUP_INVALID_TIMEOUT, "HANGUP_LIMIT_IDLE_TOTAL"},
    {HANGUP_LIMIT_AGE_MS, HANGUP_NO_LIMIT, HANGUP_INVALID_TIMEOUT, "HANGUP_LIMIT_REQUESTS"},
    {HANGUP_LIMIT_REQUESTS, HANGUP_NO_LIMIT, HANGUP_INVALID_ARGUMENT, "1 or more"},
    {HANGUP_LIMIT_KEEP_ALIVE_MS, 15000, HANGUP_INVALID_TIMEOUT, "HANGUP_NO_LIMIT"},
};

static int64_t limit_of(hangup_manager *manager, hangup_limit limit) {
    int64_t value = 4711;
    CHECK_OK(hangup_manager_limit(manager, limit, &value), NULL);
    return value;
}

static void set(hangup_manager *manager, hangup_limit limit, int64_t value) {
    hangup_error *error = NULL;
    CHECK_OK(hangup_manager_set_limit(manager, limit, value, &error), error);
}

/** Manager or options refuse it, and say why. */
static void check_refused(hangup_status status, hangup_status expected, hangup_error **error, const char *word) {
    CHECK_STATUS(expected, status, *error);
    if (strstr(hangup_error_message(*error), word) == NULL) {
        FAIL("no \"%s\" in: %s", word, hangup_error_message(*error));
    }
    hangup_error_free(*error);
    *error = NULL;
}

static void each_is_set_and_told(void) {
    hangup_manager *manager = new_manager();
    hangup_options *options = hangup_options_new();
    hangup_error *error = NULL;
    for (int i = 0; i < LIMITS; i++) {
        hangup_limit limit = all[i].limit;
        CHECK_NUMBER(all[i].standard, limit_of(manager, limit));
        set(manager, limit, 7);
        if (all[i].zero != HANGUP_OK) {
            check_refused(hangup_manager_set_limit(manager, limit, 0, &error), all[i].zero, &error, all[i].instead);
            check_refused(hangup_options_set_limit(options, limit, 0, &error), all[i].zero, &error, all[i].instead);
        }
        check_refused(hangup_manager_set_limit(manager, limit, -2, &error), HANGUP_INVALID_ARGUMENT, &error,
                      "HANGUP_NO_LIMIT");
        CHECK_NUMBER(7, limit_of(manager, limit));
        set(manager, limit, HANGUP_NO_LIMIT);
        CHECK_NUMBER(HANGUP_NO_LIMIT, limit_of(manager, limit));
        CHECK_OK(hangup_options_set_limit(options, limit, 1000 + limit, &error), error);
        if (all[i].zero == HANGUP_OK) {
            set(manager, limit, 0);
            CHECK_NUMBER(0, limit_of(manager, limit));
        }
    }
    /* No limit is too large to be one. */
    for (int i = 0; i < LIMITS; i++) {
        set(manager, all[i].limit, INT64_MAX);
    }
    hangup_client *client = new_client(manager);
    hangup_response *response = get(client, given("hello"));
    check_body(response, "hello");
    hangup_response_free(response);
    CHECK_NUMBER(1, stats_of(manager).idle);
    hangup_client_free(client);
    hangup_manager_free(manager);

    int64_t value = 4711;
    CHECK_OK(hangup_manager_new(options, &manager, &error), error);
    for (int i = 0; i < LIMITS; i++) {
        CHECK_NUMBER(1000 + all[i].limit, limit_of(manager, all[i].limit));
    }
    for (hangup_limit unknown = 0; unknown <= 10; unknown += 10) {
        CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_manager_limit(manager, unknown, &value), NULL);
        check_refused(hangup_manager_set_limit(manager, unknown, 1, &error), HANGUP_INVALID_ARGUMENT, &error, "not known");
    }
    CHECK_NUMBER(4711, value);
    hangup_options_free(options);
    hangup_manager_free(manager);
}

/** A thread that waits for a connection. */
struct waiter {
    hangup_client *client;
    const char *url;
    uint64_t connection;
    int32_t reused;
};

static void *get_one(void *argument) {
    struct waiter *waiter = argument;
    hangup_response *response = get(waiter->client, waiter->url);
    waiter->connection = hangup_response_connection_id(response);
    waiter->reused = hangup_response_reused(response);
    check_body(response, "hello");
    hangup_response_free(response);
    return NULL;
}

static void wait_until_queued(hangup_manager *manager, uint64_t count) {
    for (int64_t end = now_us() + 10000000 * slowness(); stats_of(manager).queued != count;) {
        CHECK(now_us() < end);
        sleep_ms(1);
    }
}

/** GETs, and must fail in the queue. */
static void fails_in_the_queue(hangup_client *client, const char *url, hangup_status expected) {
    hangup_request *request = new_request("GET", url);
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_timeout(request, HANGUP_TIMEOUT_POOL, 50, &error), error);
    CHECK_STATUS(expected, hangup_client_send(client, request, &response, &error), error);
    CHECK_NUMBER(HANGUP_PHASE_POOL, hangup_error_phase(error));
    CHECK_NUMBER(expected == HANGUP_TIMED_OUT ? HANGUP_TIMEOUT_POOL : HANGUP_TIMEOUT_NONE, hangup_error_timeout(error));
    CHECK_NUMBER(1, hangup_error_retry_safe(error));
    CHECK_NUMBER(0, hangup_error_connection_id(error));
    hangup_error_free(error);
    hangup_request_free(request);
}

static void at_a_limit_requests_wait(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    set(manager, HANGUP_LIMIT_PER_ORIGIN, 1);
    hangup_response *first = get(client, given("hello"));
    fails_in_the_queue(client, given("hello"), HANGUP_TIMED_OUT);
    CHECK_NUMBER(1, stats_of(manager).waited);
    CHECK_NUMBER(0, stats_of(manager).queued);

    /* Another origin has room. */
    hangup_response *other = get(client, given("other"));
    check_body(other, "hello");
    hangup_response_free(other);

    /* A slot that becomes free goes to a waiter. */
    struct waiter waiter = {client, given("hello"), 0, 0};
    pthread_t thread;
    start(&thread, get_one, &waiter);
    wait_until_queued(manager, 1);
    uint64_t connection = hangup_response_connection_id(first);
    check_body(first, "hello");
    join(thread);
    CHECK_NUMBER(connection, waiter.connection);
    CHECK_NUMBER(1, waiter.reused);
    hangup_response_free(first);

    /* A raised limit lets waiters continue. */
    first = get(client, given("hello"));
    start(&thread, get_one, &waiter);
    wait_until_queued(manager, 1);
    set(manager, HANGUP_LIMIT_PER_ORIGIN, 2);
    join(thread);
    CHECK(waiter.connection != hangup_response_connection_id(first));
    CHECK_NUMBER(3, stats_of(manager).waited);
    CHECK_NUMBER(0, stats_of(manager).refused);

    /* The queue has an end, at 0 for everybody. */
    set(manager, HANGUP_LIMIT_PER_ORIGIN, 1);
    set(manager, HANGUP_LIMIT_QUEUE, 0);
    int64_t began = now_us();
    fails_in_the_queue(client, given("hello"), HANGUP_QUEUE_FULL);
    CHECK(now_us() - began < 40000 * slowness());
    set(manager, HANGUP_LIMIT_QUEUE, 1);
    start(&thread, get_one, &waiter);
    wait_until_queued(manager, 1);
    fails_in_the_queue(client, given("hello"), HANGUP_QUEUE_FULL);
    CHECK_NUMBER(2, stats_of(manager).refused);
    check_body(first, "hello");
    join(thread);
    hangup_response_free(first);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void what_is_idle_makes_room(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    set(manager, HANGUP_LIMIT_TOTAL, 1);
    struct waiter one = {client, given("hello"), 0, 0}, two = {client, given("other"), 0, 0};
    get_one(&one);
    get_one(&two);
    CHECK(two.connection != one.connection);
    hangup_close_reason reason = 0;
    CHECK_OK(hangup_manager_close_reason(manager, one.connection, &reason), NULL);
    CHECK_NUMBER(HANGUP_CLOSE_REASON_POOL_FULL, reason);
    CHECK_NUMBER(1, stats_of(manager).open);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** Three GETs, `pause_ms` apart; answers how many connections they were on and why the first one ended. */
static int connections_of_three(hangup_limit limit, int64_t value, int64_t pause_ms, hangup_close_reason *reason) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    set(manager, limit, value);
    uint64_t first = 0, last = 0;
    int count = 0;
    for (int i = 0; i < 3; i++) {
        struct waiter one = {client, given("hello"), 0, 0};
        get_one(&one);
        count += one.connection != last;
        last = one.connection;
        first = i == 0 ? last : first;
        sleep_ms(pause_ms);
    }
    *reason = 0;
    if (count > 1) {
        CHECK_OK(hangup_manager_close_reason(manager, first, reason), NULL);
    }
    hangup_client_free(client);
    hangup_manager_free(manager);
    return count;
}

static void connections_have_an_end(void) {
    hangup_close_reason reason = 0;
    CHECK_NUMBER(1, connections_of_three(HANGUP_LIMIT_REQUESTS, 3, 0, &reason));
    CHECK_NUMBER(2, connections_of_three(HANGUP_LIMIT_REQUESTS, 2, 0, &reason));
    CHECK_NUMBER(HANGUP_CLOSE_REASON_SERVED_ENOUGH, reason);
    CHECK_NUMBER(3, connections_of_three(HANGUP_LIMIT_REQUESTS, 1, 0, &reason));
    CHECK_NUMBER(3, connections_of_three(HANGUP_LIMIT_AGE_MS, 50, 60, &reason));
    CHECK_NUMBER(HANGUP_CLOSE_REASON_TOO_OLD, reason);
    CHECK_NUMBER(3, connections_of_three(HANGUP_LIMIT_IDLE_MS, 30, 60, &reason));
    CHECK_NUMBER(HANGUP_CLOSE_REASON_IDLE_TOO_LONG, reason);
    CHECK_NUMBER(1, connections_of_three(HANGUP_LIMIT_KEEP_ALIVE_MS, HANGUP_NO_LIMIT, 0, &reason));
}

static void another_network(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_response *in_use = get(client, given("hello"));
    struct waiter idle = {client, given("hello"), 0, 0};
    get_one(&idle);
    size_t closed = 99;
    CHECK_OK(hangup_manager_clear_addresses(manager), NULL);
    CHECK_NUMBER(2, stats_of(manager).open);
    CHECK_NUMBER(1, hangup_manager_network_watch(manager));
    CHECK_OK(hangup_manager_set_network_watch(manager, 0), NULL);
    CHECK_NUMBER(0, hangup_manager_network_watch(manager));
    hangup_events *events = NULL;
    CHECK_OK(hangup_manager_events(manager, 8, &events, NULL), NULL);
    CHECK_OK(hangup_manager_network_changed(manager, &closed), NULL);
    CHECK_NUMBER(2, closed);
    hangup_event event = HANGUP_EVENT_INIT;
    CHECK_OK(hangup_events_next(events, 0, &event), NULL);
    CHECK_NUMBER(HANGUP_EVENT_TYPE_NETWORK_CHANGED, event.type);
    CHECK_TEXT("", hangup_events_origin(events));
    hangup_events_free(events);
    CHECK_NUMBER(1, stats_of(manager).open);
    check_body(in_use, "hello");
    CHECK_NUMBER(0, stats_of(manager).open);
    for (int i = 0; i < 2; i++) {
        hangup_close_reason reason = 0;
        uint64_t connection = i == 0 ? idle.connection : hangup_response_connection_id(in_use);
        CHECK_OK(hangup_manager_close_reason(manager, connection, &reason), NULL);
        CHECK_TEXT("network changed", hangup_close_reason_text(reason));
    }
    hangup_response_free(in_use);
    get_one(&idle);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    each_is_set_and_told();
    at_a_limit_requests_wait();
    what_is_idle_makes_room();
    connections_have_an_end();
    another_network();
    return 0;
}
