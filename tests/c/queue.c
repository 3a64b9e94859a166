/**
 * Thousands at once: requests and reads that are submitted, each with exactly one completion, whatever becomes of it,
 * taken from any thread or by any event loop. Servers: `hello` answers 200 "hello" for ever; `large` sends 200,000
 * bytes; `half` sends a head and ten bytes; `silent` accepts, and then nothing; `hole` can't be connected to.
 */
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>

/** How long what is bound to come may take. */
#define SOON (20000 * slowness())

static hangup_queue *new_queue(void) {
    hangup_queue *queue = hangup_queue_new();
    CHECK(queue != NULL);
    return queue;
}

static void submit(hangup_client *client, hangup_request *request, hangup_queue *queue, uint64_t tag) {
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_submit(client, request, queue, tag, &error), error);
}

static void submit_read(hangup_response *response, size_t at_most, hangup_queue *queue, uint64_t tag) {
    hangup_error *error = NULL;
    CHECK_OK(hangup_response_submit_read(response, at_most, queue, tag, &error), error);
}

static hangup_completion next(hangup_queue *queue) {
    hangup_completion done = {.size = sizeof done};
    CHECK_OK(hangup_queue_next(queue, SOON, &done), NULL);
    CHECK_NUMBER(sizeof done, done.size);
    CHECK_NUMBER(done.status == HANGUP_OK, done.error == NULL);
    if (done.error != NULL) {
        CHECK_NUMBER(done.status, hangup_error_status(done.error));
        CHECK(done.response == NULL && done.data == NULL && done.data_size == 0);
    }
    return done;
}

static void check_nothing(hangup_queue *queue) {
    hangup_completion done = {.size = sizeof done, .tag = 4711};
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_queue_next(queue, 0, &done), NULL);
    CHECK_NUMBER(4711, done.tag);
}

static int readable(hangup_queue *queue, int timeout_ms) {
    struct pollfd fd = {.fd = hangup_queue_fd(queue), .events = POLLIN};
    return poll(&fd, 1, timeout_ms);
}

/** The response to a request that was submitted. */
static hangup_response *submitted(hangup_client *client, const char *url, hangup_queue *queue) {
    hangup_request *request = new_request("GET", url);
    submit(client, request, queue, 1);
    hangup_request_free(request);
    hangup_completion done = next(queue);
    CHECK_OK(done.status, done.error);
    CHECK_NUMBER(HANGUP_COMPLETION_RESPONSE, done.what);
    CHECK_NUMBER(1, done.tag);
    CHECK(done.response != NULL && done.data == NULL && done.data_size == 0);
    return done.response;
}

static void the_descriptor_is_readable_while_there_is_something(void) {
    hangup_client *client = new_client(NULL);
    hangup_request *request = new_request("GET", given("hello"));
    hangup_queue *queue = new_queue();
    CHECK_NUMBER(0, readable(queue, 0));
    for (int round = 0; round < 2; round++) {
        submit(client, request, queue, 1);
        submit(client, request, queue, 2);
        uint64_t seen = 0;
        for (int i = 0; i < 2; i++) {
            CHECK_NUMBER(1, readable(queue, (int)SOON));
            hangup_completion done = next(queue);
            CHECK_OK(done.status, done.error);
            CHECK_NUMBER(200, hangup_response_status(done.response));
            check_body(done.response, "hello");
            hangup_response_free(done.response);
            seen |= done.tag;
        }
        CHECK_NUMBER(3, seen);
        CHECK_NUMBER(0, readable(queue, 0));
        check_nothing(queue);
    }
    hangup_queue_free(queue);
    hangup_request_free(request);
    hangup_client_free(client);
}

static void an_epoll_loop_serves_many(void) {
    enum { ALL = 200 };
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_request *request = new_request("GET", given("hello"));
    hangup_error *error = NULL;
    CHECK_OK(hangup_manager_limit(manager, HANGUP_LIMIT_PER_ORIGIN, 16, &error), error);
    CHECK_OK(hangup_request_whole(request, 1000, &error), error);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_NUMBER(0, epoll_ctl(loop, EPOLL_CTL_ADD, hangup_queue_fd(queue), &event));

    unsigned char seen[ALL] = {0};
    for (uint64_t tag = 0; tag < ALL; tag++) {
        submit(client, request, queue, tag);
    }
    hangup_request_free(request);
    hangup_client_free(client);
    for (int left = ALL; left > 0;) {
        CHECK_NUMBER(1, epoll_wait(loop, &event, 1, (int)SOON));
        hangup_completion done = {.size = sizeof done};
        hangup_status status;
        while ((status = hangup_queue_next(queue, 0, &done)) == HANGUP_OK) {
            CHECK_OK(done.status, done.error);
            CHECK(done.tag < ALL && seen[done.tag]++ == 0);
            CHECK(done.data_size == 5 && memcmp(done.data, "hello", 5) == 0);
            hangup_response_free(done.response);
            left--;
        }
        CHECK_STATUS(HANGUP_TIMED_OUT, status, NULL);
    }
    CHECK_NUMBER(0, epoll_wait(loop, &event, 1, 0));
    CHECK(stats_of(manager).opened <= 16);
    close(loop);
    hangup_queue_free(queue);
    hangup_manager_free(manager);
}

/** Each ends in its own way, and each is told once. */
static void whatever_happens_there_is_one_completion(void) {
    enum { WELL, LATE, CANCELLED, CUT, NOWHERE, SHUT, KINDS, EACH = 10, ALL = KINDS * EACH };
    static const hangup_status expected[KINDS] = {HANGUP_OK,       HANGUP_TIMED_OUT,      HANGUP_CANCELLED,
                                                  HANGUP_CANCELLED, HANGUP_CONNECT_FAILED, HANGUP_SHUT_DOWN};
    static const char *const server[KINDS] = {"hello", "silent", "hole", "half", NULL, "silent"};
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_cancel *cancel = hangup_cancel_new();
    hangup_error *error = NULL;
    for (uint64_t tag = 0; tag < ALL; tag++) {
        int kind = (int)(tag % KINDS);
        /* Nobody listens on port 1. */
        hangup_request *request = new_request("GET", kind == NOWHERE ? "http://127.0.0.1:1/" : given(server[kind]));
        if (kind == LATE) {
            CHECK_OK(hangup_request_timeout(request, HANGUP_TIMEOUT_TOTAL, 50, &error), error);
        }
        if (kind == CANCELLED || kind == CUT) {
            CHECK_OK(hangup_request_cancel_with(request, cancel), NULL);
            CHECK_OK(hangup_request_whole(request, 1000000, &error), error);
        }
        submit(client, request, queue, tag);
        hangup_request_free(request);
    }
    unsigned char seen[ALL] = {0};
    for (int taken = 0; taken < ALL; taken++) {
        /* What ends by itself first, then what has to be ended. */
        if (taken == 3 * EACH) {
            hangup_cancel_fire(cancel, "enough");
        } else if (taken == 5 * EACH) {
            CHECK_OK(hangup_manager_shutdown(manager), NULL);
        }
        hangup_completion done = next(queue);
        CHECK(done.tag < ALL && seen[done.tag]++ == 0);
        CHECK_STATUS(expected[done.tag % KINDS], done.status, done.error);
        CHECK(done.status != HANGUP_CANCELLED || strcmp(hangup_error_reason(done.error), "enough") == 0);
        hangup_error_free(done.error);
        hangup_response_free(done.response);
    }
    check_nothing(queue);
    hangup_cancel_free(cancel);
    hangup_queue_free(queue);
    hangup_client_free(client);
    wait_until_empty(manager);
    hangup_manager_free(manager);
}

static void a_body_is_read_piece_by_piece(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_response *response = submitted(client, given("large"), queue);
    size_t whole = 0;
    for (size_t at_most = 1; ; at_most = 2 * at_most + 1) {
        submit_read(response, at_most, queue, 7);
        /* Until the completion was taken nobody else reads, whether the piece is here or not. */
        char room[8];
        size_t got = 4711;
        CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_read(response, room, sizeof room, &got, NULL), NULL);
        CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_submit_read(response, 1, queue, 8, NULL), NULL);
        CHECK_NUMBER(4711, got);
        hangup_completion done = next(queue);
        CHECK_OK(done.status, done.error);
        CHECK_NUMBER(HANGUP_COMPLETION_READ, done.what);
        CHECK_NUMBER(7, done.tag);
        CHECK(done.response == NULL && done.data_size <= at_most && done.data_size <= 65536);
        for (size_t i = 0; i < done.data_size; i++) {
            CHECK(done.data[i] == 'x');
        }
        whole += done.data_size;
        if (done.data_size == 0) {
            CHECK(done.data == NULL);
            break;
        }
    }
    CHECK_NUMBER(200000, whole);
    CHECK_NUMBER(1, stats_of(manager).idle);
    hangup_response_free(response);

    /* A thread reads what the library began, and the library what a thread began. */
    response = submitted(client, given("large"), queue);
    const uint8_t *data = NULL;
    size_t size = 0;
    CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &data, &size, NULL), NULL);
    CHECK_NUMBER(200000, size);
    hangup_response_free(response);
    response = get(client, given("large"));
    submit_read(response, 100, queue, 9);
    size = next(queue).data_size;
    CHECK(size > 0 && size <= 100);
    CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &data, &whole, NULL), NULL);
    CHECK_NUMBER(200000, size + whole);
    CHECK_NUMBER(1, stats_of(manager).opened);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_response_submit_read(response, 0, queue, 9, NULL), NULL);
    hangup_response_free(response);
    check_nothing(queue);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** Reads the ten bytes that there are; the next read blocks. */
static hangup_response *at_the_stall(hangup_client *client, hangup_queue *queue) {
    hangup_response *response = submitted(client, given("half"), queue);
    for (size_t whole = 0; whole < 10;) {
        submit_read(response, 100, queue, 2);
        hangup_completion done = next(queue);
        CHECK_OK(done.status, done.error);
        CHECK(memcmp(done.data, &"0123456789"[whole], done.data_size) == 0);
        whole += done.data_size;
    }
    submit_read(response, 100, queue, 3);
    return response;
}

static void check_closed(hangup_queue *queue) {
    hangup_completion done = next(queue);
    CHECK_STATUS(HANGUP_CLOSED, done.status, done.error);
    CHECK_NUMBER(HANGUP_COMPLETION_READ, done.what);
    CHECK_NUMBER(3, done.tag);
    hangup_error_free(done.error);
    check_nothing(queue);
}

static void a_read_under_way_is_ended_by_a_close_and_by_a_free(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_response *response = at_the_stall(client, queue);
    check_nothing(queue);
    CHECK_OK(hangup_response_close(response, HANGUP_GRACEFUL), NULL);
    check_closed(queue);
    char room[8];
    size_t got = 0;
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_read(response, room, sizeof room, &got, NULL), NULL);
    hangup_response_free(response);

    hangup_response_free(at_the_stall(client, queue));
    check_closed(queue);
    CHECK_NUMBER(0, stats_of(manager).open);

    /* Also if the piece had come before. */
    for (int freed = 0; freed < 2; freed++) {
        response = submitted(client, given("large"), queue);
        submit_read(response, 100, queue, 3);
        CHECK_NUMBER(1, readable(queue, (int)SOON));
        if (freed) {
            hangup_response_free(response);
        } else {
            CHECK_OK(hangup_response_close(response, HANGUP_NOW), NULL);
        }
        check_closed(queue);
        if (!freed) {
            hangup_response_free(response);
        }
    }
    CHECK_NUMBER(0, stats_of(manager).open);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void a_whole_body_comes_with_its_response(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_request *request = new_request("GET", given("large"));
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_whole(request, 200000, &error), error);
    submit(client, request, queue, 1);
    hangup_completion done = next(queue);
    CHECK_OK(done.status, done.error);
    CHECK_NUMBER(HANGUP_COMPLETION_RESPONSE, done.what);
    CHECK(done.data_size == 200000 && done.data[0] == 'x' && done.data[199999] == 'x');
    CHECK_NUMBER(1, stats_of(manager).idle);

    /* It is read like any other, in pieces and in one, and a bound does not hurt it. */
    submit_read(done.response, 1000, queue, 2);
    hangup_completion piece = next(queue);
    CHECK_OK(piece.status, piece.error);
    CHECK_NUMBER(1000, piece.data_size);
    char room[1000];
    size_t size = 0;
    CHECK_OK(hangup_response_read(done.response, room, sizeof room, &size, &error), error);
    CHECK_NUMBER(1000, size);
    const uint8_t *data = NULL;
    CHECK_STATUS(HANGUP_TOO_LARGE, hangup_response_read_all(done.response, 10, &data, &size, NULL), NULL);
    CHECK_OK(hangup_response_read_all(done.response, SIZE_MAX, &data, &size, &error), error);
    CHECK_NUMBER(198000, size);
    CHECK_OK(hangup_response_read(done.response, room, sizeof room, &size, &error), error);
    CHECK_NUMBER(0, size);
    hangup_response_free(done.response);

    /* A larger one fails the request, and is said to have used its connection. */
    CHECK_OK(hangup_request_whole(request, 199999, &error), error);
    submit(client, request, queue, 3);
    done = next(queue);
    CHECK_STATUS(HANGUP_TOO_LARGE, done.status, done.error);
    CHECK_NUMBER(HANGUP_PHASE_READ, hangup_error_phase(done.error));
    CHECK(hangup_error_connection(done.error) != 0);
    hangup_error_free(done.error);
    CHECK_NUMBER(0, stats_of(manager).open);

    /* So does a call that blocks. */
    hangup_response *response = NULL;
    CHECK_STATUS(HANGUP_TOO_LARGE, hangup_client_send(client, request, &response, NULL), NULL);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_request_whole(request, -2, &error), error);
    hangup_error_free(error);
    CHECK_OK(hangup_request_whole(request, HANGUP_NO_LIMIT, NULL), NULL);
    CHECK_OK(hangup_client_send(client, request, &response, NULL), NULL);
    hangup_response_free(response);
    hangup_request_free(request);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void what_nobody_takes_is_closed(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_request *half = new_request("GET", given("half")), *large = new_request("GET", given("large"));
    hangup_cancel *cancel = hangup_cancel_new();
    hangup_request *silent = new_request("GET", given("silent"));
    CHECK_OK(hangup_request_cancel_with(silent, cancel), NULL);
    submit(client, half, queue, 1);
    CHECK_NUMBER(1, readable(queue, (int)SOON));
    hangup_response *read = get(client, given("half"));
    submit_read(read, 100, queue, 2);
    submit(client, large, queue, 3);
    submit(client, silent, queue, 4);
    wait_for_state(manager, HANGUP_STATE_IN_USE);
    int fd = hangup_queue_fd(queue);
    hangup_queue_free(queue);

    /* Its descriptor is closed with it, whatever is under way still: that goes on until it is ended. */
    struct pollfd closed = {.fd = fd, .events = POLLIN};
    CHECK(poll(&closed, 1, 0) == 1 && (closed.revents & POLLNVAL) != 0);
    int64_t end = now_us() + 10000000 * slowness();
    while (stats_of(manager).open > 1) {
        CHECK(now_us() < end);
        sleep_ms(1);
    }
    char room[8];
    size_t got = 0;
    hangup_error *error = NULL;
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_read(read, room, sizeof room, &got, &error), error);
    CHECK(strstr(hangup_error_message(error), "was closed") != NULL);
    hangup_error_free(error);
    hangup_cancel_fire(cancel, NULL);
    wait_until_empty(manager);
    hangup_response_free(read);
    hangup_cancel_free(cancel);
    hangup_request_free(half);
    hangup_request_free(large);
    hangup_request_free(silent);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** Somebody who waits at a queue. */
struct taker {
    hangup_queue *queue;
    hangup_status status;
};

static void *take(void *argument) {
    struct taker *taker = argument;
    hangup_completion done = {.size = sizeof done};
    taker->status = hangup_queue_next(taker->queue, HANGUP_NO_LIMIT, &done);
    hangup_response_free(done.response);
    return NULL;
}

static int32_t yes(void *user_data) {
    (void)user_data;
    return 1;
}

static void waiting(void) {
    hangup_client *client = new_client(NULL);
    hangup_queue *queue = new_queue();
    hangup_request *request = new_request("GET", given("hello"));
    hangup_completion done = {.size = sizeof done};
    int64_t began = now_us();
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_queue_next(queue, 30, &done), NULL);
    CHECK(now_us() - began >= 30000);
    CHECK_STATUS(HANGUP_INVALID_TIMEOUT, hangup_queue_next(queue, -2, &done), NULL);
    CHECK_OK(hangup_interrupt_check(yes, NULL, 20), NULL);
    CHECK_STATUS(HANGUP_CANCELLED, hangup_queue_next(queue, HANGUP_NO_LIMIT, &done), NULL);
    CHECK_OK(hangup_interrupt_check(NULL, NULL, HANGUP_NO_LIMIT), NULL);

    /* A structure that can't hold it takes nothing. */
    submit(client, request, queue, 1);
    CHECK_NUMBER(1, readable(queue, (int)SOON));
    hangup_completion small = {.size = 2 * sizeof(size_t)};
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_queue_next(queue, 0, &small), NULL);
    CHECK_NUMBER(1, readable(queue, 0));

    /* After the close nothing can be submitted; what had come is taken; then nobody waits. */
    CHECK_OK(hangup_queue_close(queue), NULL);
    CHECK_STATUS(HANGUP_CLOSED, hangup_client_submit(client, request, queue, 2, NULL), NULL);
    done = next(queue);
    CHECK_OK(done.status, done.error);
    CHECK_STATUS(HANGUP_CLOSED, hangup_response_submit_read(done.response, 1, queue, 2, NULL), NULL);
    check_body(done.response, "hello");
    hangup_response_free(done.response);
    CHECK_STATUS(HANGUP_CLOSED, hangup_queue_next(queue, HANGUP_NO_LIMIT, &done), NULL);
    CHECK_STATUS(HANGUP_CLOSED, hangup_queue_next(queue, 0, &done), NULL);
    CHECK_NUMBER(1, readable(queue, 0));
    hangup_queue_free(queue);

    /* Many wait: two get one each, the others hear of the close. */
    enum { TAKERS = 4 };
    queue = new_queue();
    struct taker takers[TAKERS];
    pthread_t threads[TAKERS];
    for (int i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){.queue = queue, .status = HANGUP_PANIC};
        start(&threads[i], take, &takers[i]);
    }
    submit(client, request, queue, 1);
    submit(client, request, queue, 2);
    sleep_ms(50 * slowness());
    CHECK_OK(hangup_queue_close(queue), NULL);
    int taken = 0;
    for (int i = 0; i < TAKERS; i++) {
        join(threads[i]);
        taken += takers[i].status == HANGUP_OK;
        CHECK(takers[i].status == HANGUP_OK || takers[i].status == HANGUP_CLOSED);
    }
    CHECK(taken <= 2);
    hangup_queue_free(queue);
    hangup_request_free(request);
    hangup_client_free(client);
}

/** What a request's body is read from: three pieces, each of which takes its time. */
struct source {
    int left, ended;
};

static int64_t three_pieces(void *user_data, uint8_t *into, size_t room) {
    struct source *source = user_data;
    CHECK(room >= 3);
    sleep_ms(20);
    memcpy(into, "abc", 3);
    return source->left-- > 0 ? 3 : 0;
}

static void count_end(void *user_data) {
    ((struct source *)user_data)->ended++;
}

static void a_body_from_a_reader_is_submitted_once(void) {
    hangup_client *client = new_client(NULL);
    hangup_queue *queue = new_queue();
    hangup_request *request = new_request("POST", given("body"));
    hangup_error *error = NULL;
    struct source source = {.left = 3};
    CHECK_OK(hangup_request_whole(request, 1000, &error), error);
    CHECK_OK(hangup_request_body_reader(request, three_pieces, count_end, &source, HANGUP_NO_LIMIT, &error), error);
    submit(client, request, queue, 1);
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_client_submit(client, request, queue, 2, &error), error);
    CHECK(strstr(hangup_error_message(error), "give it a new one") != NULL);
    hangup_error_free(error);
    hangup_request_free(request);
    hangup_completion done = next(queue);
    CHECK_OK(done.status, done.error);
    CHECK(done.data_size == 9 && memcmp(done.data, "abcabcabc", 9) == 0);
    CHECK_NUMBER(1, source.ended);
    hangup_response_free(done.response);
    check_nothing(queue);
    hangup_queue_free(queue);
    hangup_client_free(client);
}

static void a_forked_child_makes_a_queue_of_its_own(void) {
    hangup_client *client = new_client(NULL);
    hangup_queue *queue = new_queue();
    hangup_request *hello = new_request("GET", given("hello"));
    hangup_response *response = at_the_stall(client, queue);
    submit(client, hello, queue, 4);
    CHECK_NUMBER(1, readable(queue, (int)SOON));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(30);
        hangup_completion done = {.size = sizeof done};
        CHECK_STATUS(HANGUP_FORKED, hangup_queue_next(queue, HANGUP_NO_LIMIT, &done), NULL);
        CHECK_STATUS(HANGUP_FORKED, hangup_client_submit(client, hello, queue, 1, NULL), NULL);
        CHECK_OK(hangup_queue_close(queue), NULL);
        hangup_queue *own = new_queue();
        CHECK_STATUS(HANGUP_FORKED, hangup_response_submit_read(response, 1, own, 1, NULL), NULL);
        hangup_response *mine = submitted(client, given("hello"), own);
        check_body(mine, "hello");
        hangup_response_free(mine);
        hangup_queue_free(own);
        hangup_response_free(response);
        hangup_queue_free(queue);
        hangup_request_free(hello);
        hangup_client_free(client);
        exit(0);
    }
    int status = 0;
    CHECK_NUMBER(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    /* Nothing of that was heard here. */
    hangup_completion done = next(queue);
    CHECK_OK(done.status, done.error);
    check_body(done.response, "hello");
    hangup_response_free(done.response);
    check_nothing(queue);
    hangup_response_free(response);
    check_closed(queue);
    hangup_queue_free(queue);
    hangup_request_free(hello);
    hangup_client_free(client);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    hangup_error *error = NULL;
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_io_threads(65, &error), error);
    CHECK(strstr(hangup_error_message(error), "1 to 64") != NULL);
    hangup_error_free(error);
    CHECK_OK(hangup_io_threads(2, NULL), NULL);
    the_descriptor_is_readable_while_there_is_something();
    an_epoll_loop_serves_many();
    whatever_happens_there_is_one_completion();
    a_body_is_read_piece_by_piece();
    a_read_under_way_is_ended_by_a_close_and_by_a_free();
    a_whole_body_comes_with_its_response();
    what_nobody_takes_is_closed();
    waiting();
    a_body_from_a_reader_is_submitted_once();
    a_forked_child_makes_a_queue_of_its_own();
    return 0;
}
