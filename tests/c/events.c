/**
 * Listening to what happens to connections: in its order, once, with its times, and without an end of the program's
 * memory. Servers: `hello` answers 200 "hello" for ever, `breaks` answers "hello" once and closes at the second request.
 */
#include "check.h"

#include <poll.h>

static hangup_events *listen_to(hangup_manager *manager, size_t capacity) {
    hangup_events *events = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_manager_events(manager, capacity, &events, &error), error);
    return events;
}

static uint64_t get_one(hangup_client *client, const char *url) {
    hangup_response *response = get(client, url);
    uint64_t connection = hangup_response_connection_id(response);
    check_body(response, "hello");
    hangup_response_free(response);
    return connection;
}

/** The next event that is no phase, which must be there; phases are counted by their numbers. */
static hangup_event next_step(hangup_events *events, int phases[9]) {
    for (;;) {
        hangup_event event = {.size = sizeof event};
        CHECK_OK(hangup_events_next(events, 0, &event), NULL);
        CHECK_NUMBER(sizeof event, event.size);
        CHECK(event.at_ns >= 0 && event.number > 0);
        CHECK_NUMBER(0, event.reserved);
        if (event.type != HANGUP_EVENT_TYPE_PHASE) {
            CHECK_NUMBER(-1, event.took_ns);
            CHECK_NUMBER(HANGUP_PHASE_NONE, event.phase);
            return event;
        }
        CHECK(event.took_ns >= 0 && event.phase > 0 && event.phase < 9);
        CHECK_NUMBER(0, event.reason);
        phases[event.phase]++;
    }
}

static hangup_event check_next(hangup_events *events, hangup_event_type what, uint64_t connection) {
    int phases[9] = {0};
    hangup_event event = next_step(events, phases);
    if (event.type != what) {
        FAIL("%s, not %s", hangup_event_type_text(event.type), hangup_event_type_text(what));
    }
    CHECK_NUMBER(connection, event.connection);
    return event;
}

/** Nothing is left but phases, which are told when an exchange is over. */
static void check_nothing(hangup_events *events) {
    hangup_event event = {.size = sizeof event, .number = 4711};
    hangup_status status;
    while ((status = hangup_events_next(events, 0, &event)) == HANGUP_OK) {
        CHECK_TEXT("phase", hangup_event_type_text(event.type));
        event.number = 4711;
    }
    CHECK_STATUS(HANGUP_TIMED_OUT, status, NULL);
    CHECK_NUMBER(4711, event.number);
}

static int readable(hangup_events *events) {
    struct pollfd fd = {.fd = hangup_events_fd(events), .events = POLLIN};
    return poll(&fd, 1, 0);
}

static void the_life_of_a_connection(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    get_one(client, given("hello"));
    CHECK_OK(hangup_manager_close_idle(manager, 0, NULL), NULL);

    /* From its beginning on, and not what was before. */
    hangup_events *events = listen_to(manager, 1000);
    CHECK_TEXT("", hangup_events_origin(events));
    check_nothing(events);
    CHECK_NUMBER(0, readable(events));
    uint64_t connection = get_one(client, given("hello"));
    CHECK_NUMBER(connection, get_one(client, given("hello")));
    CHECK_OK(hangup_manager_close_connection(manager, connection, HANGUP_CLOSE_MODE_GRACEFUL, NULL), NULL);
    CHECK_NUMBER(1, readable(events));

    const hangup_event_type steps[] = {HANGUP_EVENT_TYPE_OPENED, HANGUP_EVENT_TYPE_LEASED,   HANGUP_EVENT_TYPE_RETURNED,
                                     HANGUP_EVENT_TYPE_LEASED, HANGUP_EVENT_TYPE_RETURNED, HANGUP_EVENT_TYPE_CLOSED};
    int phases[9] = {0};
    uint64_t number = 0;
    int64_t at_ns = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        hangup_event event = next_step(events, phases);
        CHECK_TEXT(hangup_event_type_text(steps[i]), hangup_event_type_text(event.type));
        CHECK_NUMBER(connection, event.connection);
        CHECK_NUMBER(i == 5 ? HANGUP_CLOSE_REASON_CLOSED_BY_ID : 0, event.reason);
        CHECK(event.at_ns >= at_ns && event.number > number);
        at_ns = event.at_ns;
        number = event.number;
        const char *origin = hangup_events_origin(events);
        CHECK(strncmp(origin, given("hello"), strlen(origin)) == 0 && strlen(origin) > strlen("http://"));
    }
    CHECK_NUMBER(2, phases[HANGUP_PHASE_WRITE]);
    CHECK_NUMBER(2, phases[HANGUP_PHASE_HEAD]);
    CHECK_NUMBER(1, phases[HANGUP_PHASE_CONNECT]);
    CHECK_NUMBER(0, phases[HANGUP_PHASE_TLS]);
    check_nothing(events);
    CHECK_NUMBER(0, readable(events));
    CHECK_NUMBER(0, hangup_events_lost(events));

    /* It lives by itself, and ends in any order. */
    hangup_client_free(client);
    hangup_manager_free(manager);
    check_nothing(events);
    hangup_events_free(events);
}

static void what_happens_to_requests(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    CHECK_OK(hangup_manager_set_limit(manager, HANGUP_LIMIT_PER_ORIGIN, 1, &error), error);
    hangup_events *events = listen_to(manager, 1000), *others = listen_to(manager, 1000);

    /* One waits, in vain. */
    hangup_response *first = get(client, given("hello")), *second = NULL;
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_client_get(client, given("hello"), 30, &second, NULL), NULL);
    uint64_t connection = hangup_response_connection_id(first);
    hangup_response_free(first);
    check_next(events, HANGUP_EVENT_TYPE_OPENED, connection);
    check_next(events, HANGUP_EVENT_TYPE_LEASED, connection);
    check_next(events, HANGUP_EVENT_TYPE_QUEUED, 0);
    CHECK(strncmp(hangup_events_origin(events), given("hello"), strlen(hangup_events_origin(events))) == 0);
    CHECK_NUMBER(HANGUP_CLOSE_REASON_BODY_LEFT_UNREAD, check_next(events, HANGUP_EVENT_TYPE_CLOSED, connection).reason);
    check_nothing(events);

    /* One is lost by its connection, and sent again. */
    connection = get_one(client, given("breaks"));
    uint64_t next = get_one(client, given("breaks"));
    CHECK(next != connection);
    CHECK_NUMBER(1, stats_of(manager).retried);
    check_next(events, HANGUP_EVENT_TYPE_OPENED, connection);
    check_next(events, HANGUP_EVENT_TYPE_LEASED, connection);
    check_next(events, HANGUP_EVENT_TYPE_RETURNED, connection);
    check_next(events, HANGUP_EVENT_TYPE_LEASED, connection);
    CHECK_NUMBER(HANGUP_CLOSE_REASON_PEER_CLOSED, check_next(events, HANGUP_EVENT_TYPE_CLOSED, connection).reason);
    check_next(events, HANGUP_EVENT_TYPE_RETRIED, connection);
    check_next(events, HANGUP_EVENT_TYPE_OPENED, next);
    hangup_events_free(events);

    /* Each listener hears all of it. */
    int heard = 0;
    for (hangup_event event = {.size = sizeof event}; hangup_events_next(others, 0, &event) == HANGUP_OK;) {
        heard += event.type != HANGUP_EVENT_TYPE_PHASE;
    }
    CHECK_NUMBER(13, heard);
    hangup_events_free(others);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void who_is_slow_is_told_what_was_lost(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_events *events = listen_to(manager, 3);
    uint64_t connection = get_one(client, given("hello"));
    for (int i = 0; i < 20; i++) {
        get_one(client, given("hello"));
    }
    CHECK_OK(hangup_manager_close_idle(manager, 0, NULL), NULL);
    CHECK_NUMBER(0, hangup_events_lost(events));
    hangup_event event = {.size = sizeof event};
    CHECK_OK(hangup_events_next(events, 0, &event), NULL);
    uint64_t lost = hangup_events_lost(events);
    CHECK(lost > 60);
    CHECK_NUMBER(lost + 1, event.number);
    CHECK_OK(hangup_events_next(events, 0, &event), NULL);
    CHECK_OK(hangup_events_next(events, 0, &event), NULL);
    CHECK_NUMBER(HANGUP_EVENT_TYPE_CLOSED, event.type);
    CHECK_NUMBER(connection, event.connection);
    check_nothing(events);
    CHECK_NUMBER(lost, hangup_events_lost(events));
    hangup_events_free(events);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void what_it_does_not_take(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_events *events = NULL;
    hangup_error *error = NULL;
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_manager_events(manager, 0, &events, &error), error);
    CHECK(events == NULL && strstr(hangup_error_message(error), "1024") != NULL);
    hangup_error_free(error);
    events = listen_to(manager, 1000);
    uint64_t connection = get_one(client, given("hello"));

    /* What is refused has read nothing. */
    hangup_event event = {.size = 1};
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_events_next(events, 0, &event), NULL);
    event.size = sizeof event;
    CHECK_STATUS(HANGUP_INVALID_TIMEOUT, hangup_events_next(events, -2, &event), NULL);
    check_next(events, HANGUP_EVENT_TYPE_OPENED, connection);

    /* A caller that knows less of the structure gets less of it. */
    event = (hangup_event){.size = 2 * sizeof(size_t), .connection = 4711};
    CHECK_OK(hangup_events_next(events, 0, &event), NULL);
    CHECK_NUMBER(2 * sizeof(size_t), event.size);
    CHECK_NUMBER(4711, event.connection);

    /* A structure whose size was forgotten gets all fields of version 0.1. */
    event = (hangup_event){0};
    CHECK_OK(hangup_events_next(events, 0, &event), NULL);
    CHECK_NUMBER(sizeof event, event.size);
    CHECK_NUMBER(HANGUP_EVENT_TYPE_RETURNED, event.type);
    CHECK_NUMBER(connection, event.connection);
    hangup_events_free(events);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** A thread that waits for an event. */
struct listener {
    hangup_events *events;
    hangup_status status;
    hangup_event event;
};

static void *wait_for_one(void *argument) {
    struct listener *listener = argument;
    listener->event.size = sizeof listener->event;
    do {
        /* The other one may be in it for a moment, to see whether this one is. */
        listener->status = hangup_events_next(listener->events, HANGUP_NO_LIMIT, &listener->event);
    } while (listener->status == HANGUP_INVALID_STATE);
    return NULL;
}

static int32_t yes(void *user_data) {
    (void)user_data;
    return 1;
}

static void waiting(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_events *events = listen_to(manager, 1000);
    hangup_event event = {.size = sizeof event};
    int64_t began = now_us();
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_events_next(events, 30, &event), NULL);
    CHECK(now_us() - began >= 30000);

    CHECK_OK(hangup_set_interrupt_check(yes, NULL, 20), NULL);
    CHECK_STATUS(HANGUP_CANCELLED, hangup_events_next(events, HANGUP_NO_LIMIT, &event), NULL);
    CHECK_OK(hangup_set_interrupt_check(NULL, NULL, HANGUP_NO_LIMIT), NULL);

    /* One waits and another one is told so; then something happens. */
    struct listener listener = {.events = events, .status = HANGUP_PANIC};
    pthread_t thread;
    start(&thread, wait_for_one, &listener);
    for (int64_t end = now_us() + 10000000 * slowness();;) {
        CHECK(now_us() < end);
        hangup_status status = hangup_events_next(events, 0, &event);
        if (status == HANGUP_INVALID_STATE) {
            break;
        }
        CHECK_STATUS(HANGUP_TIMED_OUT, status, NULL);
        sleep_ms(1);
    }
    CHECK(hangup_events_fd(events) >= 0);
    get_one(client, given("hello"));
    join(thread);
    CHECK_OK(listener.status, NULL);
    CHECK_NUMBER(HANGUP_EVENT_TYPE_OPENED, listener.event.type);

    /* The recorded events are read to their end; after that no thread waits. */
    CHECK_OK(hangup_events_close(events), NULL);
    hangup_status status;
    while ((status = hangup_events_next(events, HANGUP_NO_LIMIT, &event)) == HANGUP_OK) {
        CHECK(event.connection != 0);
    }
    CHECK_STATUS(HANGUP_CLOSED, status, NULL);
    hangup_events_free(events);

    /* Also if a thread waits already. */
    events = listener.events = listen_to(manager, 1000);
    start(&thread, wait_for_one, &listener);
    sleep_ms(20);
    CHECK_OK(hangup_events_close(events), NULL);
    join(thread);
    CHECK_STATUS(HANGUP_CLOSED, listener.status, NULL);
    hangup_events_free(events);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    the_life_of_a_connection();
    what_happens_to_requests();
    who_is_slow_is_told_what_was_lost();
    what_it_does_not_take();
    waiting();
    return 0;
}
