/**
 * Thousands at once: what is submitted has exactly one completion, whatever becomes of it, which any thread and any event
 * loop can take. Servers: `hello` answers 200 "hello" for ever; `large` sends 200,000 bytes; `half` sends a head and ten
 * bytes; `silent` accepts, and then nothing; `hole` can't be connected to.
 */
#include "queue.h"

#include <sys/epoll.h>
#include <sys/wait.h>

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
            CHECK_NUMBER(200, hangup_response_status_code(done.response));
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
    CHECK_OK(hangup_manager_set_limit(manager, HANGUP_LIMIT_PER_ORIGIN, 16, &error), error);
    CHECK_OK(hangup_request_set_buffer_body(request, 1000, &error), error);
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
    CHECK(stats_of(manager).open <= 16);
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
        /* No server listens on port 1. */
        hangup_request *request = new_request("GET", kind == NOWHERE ? "http://127.0.0.1:1/" : given(server[kind]));
        if (kind == LATE) {
            CHECK_OK(hangup_request_set_timeout(request, HANGUP_TIMEOUT_TOTAL, 50, &error), error);
        }
        if (kind == CANCELLED || kind == CUT) {
            CHECK_OK(hangup_request_set_cancel(request, cancel), NULL);
            CHECK_OK(hangup_request_set_buffer_body(request, 1000000, &error), error);
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

static void what_nobody_takes_is_closed(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_request *half = new_request("GET", given("half")), *large = new_request("GET", given("large"));
    hangup_cancel *cancel = hangup_cancel_new();
    hangup_request *silent = new_request("GET", given("silent"));
    CHECK_OK(hangup_request_set_cancel(silent, cancel), NULL);
    submit(client, half, queue, 1);
    CHECK_NUMBER(1, readable(queue, (int)SOON));
    hangup_response *read = get(client, given("half"));
    submit_read(read, 100, queue, 2);
    submit(client, large, queue, 3);
    submit(client, silent, queue, 4);
    /* All of them are as far as they come: no descriptor is opened from here on that might get that number. */
    wait_for_in_use(manager, 4);
    int fd = hangup_queue_fd(queue);
    hangup_queue_free(queue);

    /* Its descriptor is closed with it, whatever is under way still: that goes on until it is ended. */
    struct pollfd closed = {.fd = fd, .events = POLLIN};
    CHECK(poll(&closed, 1, 0) == 1 && (closed.revents & POLLNVAL) != 0);
    int64_t end = now_us() + 10000000 * slowness();
    for (int closed_too = 0; !closed_too || stats_of(manager).open > 1;) {
        CHECK(now_us() < end);
        sleep_ms(1);
        char room[8];
        size_t got = 0;
        hangup_error *error = NULL;
        CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_read(read, room, sizeof room, &got, &error), error);
        closed_too = strstr(hangup_error_message(error), "was closed") != NULL;
        hangup_error_free(error);
    }
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

/** A thread that waits at a queue. */
/** The loop of most C code, which begins its structures with {0}. */
static void a_forgotten_size_takes_all_the_same(void) {
    hangup_client *client = new_client(NULL);
    hangup_queue *queue = new_queue();
    hangup_request *request = new_request("GET", given("hello"));
    enum { ALL = 5 };
    for (int i = 0; i < ALL; i++) {
        submit(client, request, queue, 42);
    }
    for (int left = ALL; left > 0;) {
        CHECK_NUMBER(1, readable(queue, (int)SOON));
        hangup_completion done = {0};
        int taken = 0;
        for (; hangup_queue_next(queue, 0, &done) == HANGUP_OK; taken++, left--, done = (hangup_completion){0}) {
            CHECK_NUMBER(sizeof done, done.size);
            CHECK_OK(done.status, done.error);
            CHECK_NUMBER(42, done.tag);
            check_body(done.response, "hello");
            hangup_response_free(done.response);
        }
        CHECK(taken > 0);
    }
    check_nothing(queue);
    CHECK_NUMBER(0, readable(queue, 0));
    hangup_request_free(request);
    hangup_queue_free(queue);
    hangup_client_free(client);
}

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
    CHECK_OK(hangup_set_interrupt_check(yes, NULL, 20), NULL);
    CHECK_STATUS(HANGUP_CANCELLED, hangup_queue_next(queue, HANGUP_NO_LIMIT, &done), NULL);
    CHECK_OK(hangup_set_interrupt_check(NULL, NULL, HANGUP_NO_LIMIT), NULL);

    /* A structure that can't hold it takes nothing. */
    submit(client, request, queue, 1);
    CHECK_NUMBER(1, readable(queue, (int)SOON));
    hangup_completion small = {.size = 2 * sizeof(size_t)};
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_queue_next(queue, 0, &small), NULL);
    CHECK_NUMBER(1, readable(queue, 0));

    /* After the close nothing can be submitted; what had come is taken; then no thread waits. */
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
        /* What the parent's threads held has no owner here; a leak checker must not report it at the exit. */
        execlp("true", "true", (char *)NULL);
        _exit(1);
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
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_set_io_threads(65, &error), error);
    CHECK(strstr(hangup_error_message(error), "1 to 64") != NULL);
    hangup_error_free(error);
    CHECK_OK(hangup_set_io_threads(2, NULL), NULL);
    the_descriptor_is_readable_while_there_is_something();
    an_epoll_loop_serves_many();
    whatever_happens_there_is_one_completion();
    what_nobody_takes_is_closed();
    a_forgotten_size_takes_all_the_same();
    waiting();
    a_forked_child_makes_a_queue_of_its_own();
    return 0;
}
