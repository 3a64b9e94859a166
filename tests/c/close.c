/**
 * Connections closed by id, by origin, idle, all, and with their manager; and a response closed under its reader. An
 * exchange that this ends answers HANGUP_CLOSED or HANGUP_SHUT_DOWN, never CANCELLED or TIMED_OUT. Servers: `hello`
 * and `other` answer 200 "hello" for ever, `late` sends its head at once and its body ("done") 300 ms later, `silent`
 * never answers, `half` sends a head and ten bytes, `hole` hangs in connect, `large` sends 200,000 bytes.
 */
#include "check.h"

/** Opens `count` connections to `url` and leaves them idle. */
static void leave_idle(hangup_client *client, const char *url, size_t count) {
    hangup_response *open[8];
    CHECK(count <= 8);
    for (size_t i = 0; i < count; i++) {
        open[i] = get(client, url);
    }
    for (size_t i = 0; i < count; i++) {
        check_body(open[i], "hello");
        hangup_response_free(open[i]);
    }
}

static void idle_ones(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    int sockets = open_sockets();
    size_t closed = 99;

    leave_idle(client, given("hello"), 3);
    leave_idle(client, given("other"), 2);
    CHECK_NUMBER(5, stats_of(manager).idle);
    CHECK_OK(hangup_manager_close_origin(manager, given("other"), HANGUP_CLOSE_MODE_GRACEFUL, &closed, &error), error);
    CHECK_NUMBER(2, closed);
    CHECK_NUMBER(3, stats_of(manager).idle);
    CHECK_OK(hangup_manager_close_origin(manager, "http://nobody.invalid", HANGUP_CLOSE_MODE_NOW, &closed, &error), error);
    CHECK_NUMBER(0, closed);

    /* By id, and the id is gone. */
    hangup_connections *list = NULL;
    hangup_connection_info info = {.size = sizeof info};
    CHECK_OK(hangup_manager_connections(manager, &list, &error), error);
    CHECK_OK(hangup_connections_at(list, 0, &info), NULL);
    hangup_connections_free(list);
    CHECK_OK(hangup_manager_close_connection(manager, info.id, HANGUP_CLOSE_MODE_GRACEFUL, &error), error);
    CHECK_STATUS(HANGUP_NOT_FOUND, hangup_manager_close_connection(manager, info.id, HANGUP_CLOSE_MODE_NOW, &error), error);
    hangup_error_free(error);
    CHECK_NUMBER(2, stats_of(manager).idle);

    /* Only those idle for long enough. */
    sleep_ms(60);
    leave_idle(client, given("other"), 1);
    CHECK_OK(hangup_manager_close_idle(manager, 50, &closed), NULL);
    CHECK(closed == 2 || slowness() > 1);
    CHECK_OK(hangup_manager_close_idle(manager, 0, &closed), NULL);
    CHECK(closed == 1 || slowness() > 1);
    CHECK_OK(hangup_manager_close_idle(manager, 0, NULL), NULL);
    CHECK_NUMBER(0, stats_of(manager).open);
    CHECK_NUMBER(6, stats_of(manager).closed);
    CHECK_NUMBER(sockets, open_sockets());

    /* The manager goes on. */
    leave_idle(client, given("hello"), 2);
    CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_GRACEFUL, &closed), NULL);
    CHECK_NUMBER(2, closed);
    CHECK_NUMBER(sockets, open_sockets());
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** What the second thread does, when a connection is in use. */
struct closing {
    hangup_manager *manager;
    hangup_response *response;
    void (*close)(struct closing *closing);
    hangup_close_mode how;
    int64_t closed_us;
};

static void *close_when_in_use(void *argument) {
    struct closing *closing = argument;
    wait_for_state(closing->manager, HANGUP_CONNECTION_STATE_IN_USE);
    sleep_ms(50);
    closing->closed_us = now_us();
    closing->close(closing);
    return NULL;
}

static void by_id(struct closing *closing) {
    hangup_connections *list = NULL;
    hangup_connection_info info = {.size = sizeof info};
    CHECK_OK(hangup_manager_connections(closing->manager, &list, NULL), NULL);
    CHECK_OK(hangup_connections_at(list, 0, &info), NULL);
    CHECK_OK(hangup_manager_close_connection(closing->manager, info.id, closing->how, NULL), NULL);
    hangup_connections_free(list);
    if (closing->how == HANGUP_CLOSE_MODE_GRACEFUL) {
        CHECK_OK(hangup_manager_connections(closing->manager, &list, NULL), NULL);
        CHECK_OK(hangup_connections_at(list, 0, &info), NULL);
        CHECK_NUMBER(1, info.closing);
        CHECK_NUMBER(HANGUP_CONNECTION_STATE_IN_USE, info.state);
        hangup_connections_free(list);
    }
}

static void by_origin(struct closing *closing) {
    hangup_connections *list = NULL;
    hangup_connection_info info = {.size = sizeof info};
    CHECK_OK(hangup_manager_connections(closing->manager, &list, NULL), NULL);
    CHECK_OK(hangup_connections_at(list, 0, &info), NULL);
    size_t closed = 0;
    CHECK_OK(hangup_manager_close_origin(closing->manager, info.origin, closing->how, &closed, NULL), NULL);
    CHECK_NUMBER(1, closed);
    hangup_connections_free(list);
}

static void all(struct closing *closing) {
    size_t closed = 0;
    CHECK_OK(hangup_manager_close_idle(closing->manager, 0, &closed), NULL);
    CHECK_NUMBER(0, closed);
    CHECK_OK(hangup_manager_close_all(closing->manager, closing->how, &closed), NULL);
    CHECK_NUMBER(1, closed);
}

static void shut_down(struct closing *closing) {
    CHECK_OK(hangup_manager_shutdown(closing->manager), NULL);
}

static void the_response(struct closing *closing) {
    CHECK_OK(hangup_response_close(closing->response, closing->how), NULL);
}

/** GETs `url` and reads it to its end, while `close` is done to it; answers how that ended. */
static hangup_status get_under(const char *url, void (*close)(struct closing *), hangup_close_mode how, hangup_phase phase) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    struct closing closing = {manager, NULL, close, how, 0};
    pthread_t thread;
    hangup_error *error = NULL;
    if (phase == HANGUP_PHASE_READ) {
        CHECK_OK(hangup_client_get(client, url, 20000, &closing.response, &error), error);
    }
    start(&thread, close_when_in_use, &closing);
    hangup_status status = HANGUP_OK;
    if (phase != HANGUP_PHASE_READ) {
        status = hangup_client_get(client, url, 20000, &closing.response, &error);
    }
    for (size_t got = 1; status == HANGUP_OK && got > 0;) {
        char piece[64];
        status = hangup_response_read(closing.response, piece, sizeof piece, &got, &error);
    }
    int64_t took = now_us();
    join(thread);
    took -= closing.closed_us;
    if (status != HANGUP_OK) {
        CHECK_NUMBER(phase, hangup_error_phase(error));
        CHECK_NUMBER(status, hangup_error_status(error));
        CHECK_NUMBER(0, hangup_error_reused(error));
        if (took > 100000 * slowness()) {
            FAIL("closed only after %lld us", (long long)took);
        }
    }
    CHECK_NUMBER(0, stats_of(manager).idle);
    wait_until_empty(manager);
    hangup_error_free(error);
    hangup_response_free(closing.response);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return status;
}

static void those_in_use(void) {
    /* Gracefully: the exchange ends well, and the connection with it. */
    CHECK_STATUS(HANGUP_OK, get_under(given("late"), by_id, HANGUP_CLOSE_MODE_GRACEFUL, HANGUP_PHASE_READ), NULL);
    CHECK_STATUS(HANGUP_OK, get_under(given("late"), by_origin, HANGUP_CLOSE_MODE_GRACEFUL, HANGUP_PHASE_READ), NULL);
    CHECK_STATUS(HANGUP_OK, get_under(given("late"), all, HANGUP_CLOSE_MODE_GRACEFUL, HANGUP_PHASE_READ), NULL);
    /* Now: it ends at once, and says that it was closed. */
    CHECK_STATUS(HANGUP_CLOSED, get_under(given("silent"), by_id, HANGUP_CLOSE_MODE_NOW, HANGUP_PHASE_HEAD), NULL);
    CHECK_STATUS(HANGUP_CLOSED, get_under(given("silent"), by_origin, HANGUP_CLOSE_MODE_NOW, HANGUP_PHASE_HEAD), NULL);
    CHECK_STATUS(HANGUP_CLOSED, get_under(given("half"), by_id, HANGUP_CLOSE_MODE_NOW, HANGUP_PHASE_READ), NULL);
    CHECK_STATUS(HANGUP_CLOSED, get_under(given("half"), all, HANGUP_CLOSE_MODE_NOW, HANGUP_PHASE_READ), NULL);
    CHECK_STATUS(HANGUP_SHUT_DOWN, get_under(given("silent"), shut_down, HANGUP_CLOSE_MODE_NOW, HANGUP_PHASE_HEAD), NULL);
    CHECK_STATUS(HANGUP_SHUT_DOWN, get_under(given("half"), shut_down, HANGUP_CLOSE_MODE_NOW, HANGUP_PHASE_READ), NULL);
    /* A response closed by one thread while another is blocked in it. */
    CHECK_STATUS(HANGUP_CLOSED, get_under(given("half"), the_response, HANGUP_CLOSE_MODE_NOW, HANGUP_PHASE_READ), NULL);
    CHECK_STATUS(HANGUP_CLOSED, get_under(given("half"), the_response, HANGUP_CLOSE_MODE_GRACEFUL, HANGUP_PHASE_READ), NULL);
}

/** Closes a response politely; the call may take 2 ms, on a busy machine some more. */
static void close_politely(hangup_response *response) {
    int64_t began = now_us();
    CHECK_OK(hangup_response_close(response, HANGUP_CLOSE_MODE_GRACEFUL), NULL);
    CHECK(now_us() - began < 50000 * slowness());
}

static void a_response_that_nobody_reads_on(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;

    /* 200,000 bytes are politely read away within 50 ms, which a busy machine may miss now and then: one in five. */
    size_t kept = 0;
    for (int turn = 0; turn < 5 && kept == 0; turn++) {
        hangup_response *response = get(client, given("large"));
        close_politely(response);
        /* Twice is once, and reading on is no end. */
        CHECK_OK(hangup_response_close(response, HANGUP_CLOSE_MODE_NOW), NULL);
        char piece[8];
        size_t got = 0;
        CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_read(response, piece, sizeof piece, &got, &error), error);
        hangup_error_free(error);
        hangup_response_free(response);
        wait_for_in_use(manager, 0);
        kept = stats_of(manager).idle;
    }
    CHECK(kept == 1 || slowness() > 1);

    /* Now, and without a word. */
    hangup_response *response = get(client, given("large"));
    CHECK_NUMBER(kept, hangup_response_reused(response));
    CHECK_OK(hangup_response_close(response, HANGUP_CLOSE_MODE_NOW), NULL);
    CHECK_NUMBER(0, stats_of(manager).open);
    hangup_response_free(response);
    hangup_response_free(get(client, given("large")));
    CHECK_NUMBER(0, stats_of(manager).open);

    /* Polite to one that stalls: the same short wait, and closed soon. */
    response = get(client, given("half"));
    close_politely(response);
    hangup_response_free(response);
    wait_until_empty(manager);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** One of many that are stuck when the manager is shut down. */
struct stuck {
    hangup_client *client;
    const char *url;
    hangup_status status;
};

static void *get_stuck(void *argument) {
    struct stuck *stuck = argument;
    hangup_response *response = NULL;
    stuck->status = hangup_client_get(stuck->client, stuck->url, 20000, &response, NULL);
    while (stuck->status == HANGUP_OK) {
        char piece[64];
        size_t got = 0;
        stuck->status = hangup_response_read(response, piece, sizeof piece, &got, NULL);
    }
    hangup_response_free(response);
    return NULL;
}

static void shutdown_ends_everything_once(void) {
    enum { MANY = 30 };
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    /* A polite close before this test may still be reading on, for its 50 ms. */
    for (int64_t end = now_us() + 10000000 * slowness(); open_sockets() > 0;) {
        CHECK(now_us() < end);
        sleep_ms(1);
    }
    int sockets = open_sockets();
    char https[256];
    snprintf(https, sizeof https, "https%s", given("silent") + strlen("http"));
    const char *urls[] = {given("hole"), https, given("silent"), given("half")};
    struct stuck stuck[MANY];
    pthread_t threads[MANY];
    leave_idle(client, given("hello"), 2);
    for (int i = 0; i < MANY; i++) {
        stuck[i] = (struct stuck){client, urls[i % 4], HANGUP_OK};
        start(&threads[i], get_stuck, &stuck[i]);
    }
    for (int64_t end = now_us() + 10000000 * slowness(); stats_of(manager).open < MANY + 2;) {
        CHECK(now_us() < end);
        sleep_ms(1);
    }
    sleep_ms(50);
    CHECK_OK(hangup_manager_shutdown(manager), NULL);
    CHECK_OK(hangup_manager_shutdown(manager), NULL);
    for (int i = 0; i < MANY; i++) {
        join(threads[i]);
        CHECK_STATUS(HANGUP_SHUT_DOWN, stuck[i].status, NULL);
    }
    wait_until_empty(manager);
    CHECK_NUMBER(sockets, open_sockets());
    hangup_response *response = NULL;
    CHECK_STATUS(HANGUP_SHUT_DOWN, hangup_client_get(client, given("hello"), 1000, &response, NULL), NULL);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    idle_ones();
    those_in_use();
    a_response_that_nobody_reads_on();
    shutdown_ends_everything_once();
    return 0;
}
