/**
 * A thread that waits for completions, and is the only one to wait for what is under way, does the work if its queue
 * allows that (hangup_queue_set_caller_runs). A user sees no difference: whether or not it waits, other threads wait, or an
 * exchange is ended, all goes on, and in the same way if the queue does not allow it. Servers: `hello` answers 200 "hello"
 * for ever; `large` sends 200,000 bytes for ever; `silent` accepts, and then nothing.
 */
#include "queue.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

/** Whether the threads that wait may do the work. */
static int32_t caller_runs;

static hangup_queue *taking_queue(void) {
    hangup_queue *queue = new_queue();
    hangup_error *error = NULL;
    CHECK_OK(hangup_queue_set_caller_runs(queue, caller_runs, &error), error);
    return queue;
}

static void is_hello(hangup_response *response) {
    check_body(response, "hello");
    hangup_response_free(response);
}

/** A thread that waits at a queue for one completion, however long that takes. */
typedef struct {
    hangup_queue *queue;
    hangup_completion done;
    hangup_status status;
    pthread_t thread;
} waiter;

static void *wait_here(void *argument) {
    waiter *self = argument;
    self->done = (hangup_completion){.size = sizeof self->done};
    self->status = hangup_queue_next(self->queue, HANGUP_NO_LIMIT, &self->done);
    return NULL;
}

static void ends_with(waiter *self, hangup_status expected) {
    join(self->thread);
    CHECK_OK(self->status, NULL);
    CHECK_STATUS(expected, self->done.status, self->done.error);
    hangup_error_free(self->done.error);
    hangup_response_free(self->done.response);
}

/** The taker was here, and does not come again. */
static void what_nobody_waits_for_goes_on(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = taking_queue();
    hangup_error *error = NULL;
    hangup_request *silent = new_request("GET", given("silent"));
    CHECK_OK(hangup_request_set_timeout(silent, HANGUP_TIMEOUT_TOTAL, 1000, &error), error);
    is_hello(submitted(client, given("hello"), queue));
    hangup_completion done = {.size = sizeof done};
    submit(client, silent, queue, 2);
    /* Not for long: the request may be as far as its socket, or not begun. */
    hangup_status status = hangup_queue_next(queue, 1, &done);
    CHECK_STATUS(HANGUP_TIMED_OUT, status, NULL);
    wait_for_in_use(manager, 1);
    wait_for_in_use(manager, 0);
    while ((status = hangup_queue_next(queue, 0, &done)) == HANGUP_TIMED_OUT) {
        sleep_ms(1);
    }
    CHECK_OK(status, NULL);
    CHECK_STATUS(HANGUP_TIMED_OUT, done.status, done.error);
    hangup_error_free(done.error);
    hangup_request_free(silent);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** One sleeps at its queue, and does the work of others meanwhile; then it is ended by them. */
static void a_taker_that_sleeps_holds_up_nobody(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_cancel *cancel = hangup_cancel_new();
    hangup_request *silent = new_request("GET", given("silent"));
    CHECK_OK(hangup_request_set_cancel(silent, cancel), NULL);
    hangup_queue *queue = taking_queue();
    waiter sleeper = {.queue = taking_queue()};
    submit(client, silent, sleeper.queue, 1);
    start(&sleeper.thread, wait_here, &sleeper);
    for (int i = 0; i < 100; i++) {
        is_hello(submitted(client, given("hello"), queue));
    }
    hangup_cancel_fire(cancel, NULL);
    ends_with(&sleeper, HANGUP_CANCELLED);

    /* The descriptor is asked for while a thread waits without it. */
    start(&sleeper.thread, wait_here, &sleeper);
    sleep_ms(20);
    CHECK_NUMBER(0, readable(sleeper.queue, 0));
    hangup_request *hello = new_request("GET", given("hello"));
    submit(client, hello, sleeper.queue, 1);
    submit(client, hello, sleeper.queue, 2);
    ends_with(&sleeper, HANGUP_OK);
    CHECK_NUMBER(1, readable(sleeper.queue, (int)SOON));
    hangup_completion second = next(sleeper.queue);
    CHECK_OK(second.status, second.error);
    is_hello(second.response);
    CHECK_NUMBER(0, readable(sleeper.queue, 0));

    /* Closed by the last thread that could. */
    start(&sleeper.thread, wait_here, &sleeper);
    sleep_ms(20);
    CHECK_OK(hangup_queue_close(sleeper.queue), NULL);
    join(sleeper.thread);
    CHECK_STATUS(HANGUP_CLOSED, sleeper.status, NULL);
    hangup_queue_free(sleeper.queue);
    hangup_queue_free(queue);
    hangup_request_free(hello);
    hangup_request_free(silent);
    hangup_cancel_free(cancel);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** Whose work it was ends, and another's begins. */
static void a_taker_outlives_managers(void) {
    waiter sleeper = {.queue = taking_queue()};
    for (int round = 0; round < 3; round++) {
        hangup_manager *manager = new_manager();
        hangup_client *client = new_client(manager);
        hangup_request *silent = new_request("GET", given("silent"));
        submit(client, silent, sleeper.queue, 1);
        start(&sleeper.thread, wait_here, &sleeper);
        wait_for_in_use(manager, 1);
        CHECK_OK(hangup_manager_shutdown(manager), NULL);
        ends_with(&sleeper, HANGUP_SHUT_DOWN);
        start(&sleeper.thread, wait_here, &sleeper);
        sleep_ms(5);
        hangup_client_free(client);
        hangup_manager_free(manager);
        hangup_request_free(silent);
        /* Nothing is in progress, so nothing can arrive. */
        client = new_client(NULL);
        hangup_request *hello = new_request("GET", given("hello"));
        submit(client, hello, sleeper.queue, 1);
        ends_with(&sleeper, HANGUP_OK);
        hangup_request_free(hello);
        hangup_client_free(client);
    }
    hangup_queue_free(sleeper.queue);
}

static int32_t wants_an_end(void *user_data) {
    return *(int32_t *)user_data;
}

/** A check that waits for something itself. */
static int32_t asks_around(void *user_data) {
    hangup_queue *queue = taking_queue();
    is_hello(submitted(user_data, given("hello"), queue));
    hangup_queue_free(queue);
    return 1;
}

static void heard(int signal) {
    (void)signal;
}

static void *kill_again(void *argument) {
    for (int i = 0; i < 20000 * slowness(); i++) {
        sleep_ms(1);
        if (pthread_kill(*(pthread_t *)argument, SIGUSR1) != 0) {
            break;
        }
        pthread_testcancel();
    }
    return NULL;
}

/** A timeout, a tick and a signal end the wait of the thread that does the work; the work goes on. */
static void its_wait_ends_in_time(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = taking_queue();
    hangup_request *silent = new_request("GET", given("silent"));
    hangup_completion done = {.size = sizeof done};
    submit(client, silent, queue, 1);
    for (int i = 0; i < 3; i++) {
        int64_t began = now_us();
        CHECK_STATUS(HANGUP_TIMED_OUT, hangup_queue_next(queue, 20, &done), NULL);
        CHECK(now_us() - began >= 20000);
    }
    CHECK_OK(hangup_set_interrupt_check(asks_around, client, 20), NULL);
    CHECK_STATUS(HANGUP_CANCELLED, hangup_queue_next(queue, HANGUP_NO_LIMIT, &done), NULL);
    int32_t end = 1;
    CHECK_OK(hangup_set_interrupt_check(wants_an_end, &end, 20), NULL);
    CHECK_STATUS(HANGUP_CANCELLED, hangup_queue_next(queue, HANGUP_NO_LIMIT, &done), NULL);
    CHECK_OK(hangup_set_interrupt_check(wants_an_end, &end, HANGUP_NO_LIMIT), NULL);
    struct sigaction hear = {.sa_handler = heard, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &hear, NULL);
    pthread_t killer, self = pthread_self();
    start(&killer, kill_again, &self);
    CHECK_STATUS(HANGUP_CANCELLED, hangup_queue_next(queue, HANGUP_NO_LIMIT, &done), NULL);
    end = 0;
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_queue_next(queue, 20, &done), NULL);
    pthread_cancel(killer);
    join(killer);
    CHECK_OK(hangup_set_interrupt_check(NULL, NULL, HANGUP_NO_LIMIT), NULL);
    CHECK_NUMBER(1, stats_of(manager).in_use);
    CHECK_OK(hangup_manager_shutdown(manager), NULL);
    done = next(queue);
    CHECK_STATUS(HANGUP_SHUT_DOWN, done.status, done.error);
    hangup_error_free(done.error);
    hangup_request_free(silent);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** Each of two threads does a part of the work of the same exchanges, by turns. */
typedef struct {
    hangup_queue *queue;
    hangup_response **streams;
    size_t *got;
    pthread_barrier_t *turn;
    int number;
    atomic_int *left;
} worker;

enum { STREAMS = 20, LARGE = 200000, TURN = 7 };

static void *work_by_turns(void *argument) {
    worker *self = argument;
    int goes_on = 1;
    for (int round = 0; goes_on; round++) {
        for (int i = 0; round % 2 == self->number && i < TURN && atomic_load(self->left) > 0; i++) {
            hangup_completion done = next(self->queue);
            CHECK_OK(done.status, done.error);
            if (done.type == HANGUP_COMPLETION_TYPE_RESPONSE) {
                self->streams[done.tag] = done.response;
            }
            self->got[done.tag] += done.data_size;
            if (done.type == HANGUP_COMPLETION_TYPE_READ && done.data_size == 0) {
                CHECK_NUMBER(LARGE, self->got[done.tag]);
                hangup_response_free(self->streams[done.tag]);
                atomic_fetch_sub(self->left, 1);
            } else {
                submit_read(self->streams[done.tag], 30000, self->queue, done.tag);
            }
        }
        pthread_barrier_wait(self->turn);
        goes_on = atomic_load(self->left) > 0;
        pthread_barrier_wait(self->turn);
    }
    return NULL;
}

static void an_exchange_goes_from_taker_to_taker(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_request *large = new_request("GET", given("large"));
    hangup_queue *queue = taking_queue();
    hangup_response *streams[STREAMS] = {NULL};
    size_t got[STREAMS] = {0};
    atomic_int left = STREAMS;
    pthread_barrier_t turn;
    CHECK_NUMBER(0, pthread_barrier_init(&turn, NULL, 2));
    for (uint64_t tag = 0; tag < STREAMS; tag++) {
        submit(client, large, queue, tag);
    }
    worker workers[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        workers[i] = (worker){queue, streams, got, &turn, i, &left};
        start(&threads[i], work_by_turns, &workers[i]);
    }
    join(threads[0]);
    join(threads[1]);
    pthread_barrier_destroy(&turn);
    CHECK_NUMBER(0, stats_of(manager).in_use);
    hangup_request_free(large);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** Many take at once what many submit, some in a hurry and some not. */
typedef struct {
    hangup_queue *queue;
    hangup_client *client;
    hangup_request *request;
    atomic_int *left;
    unsigned seed;
} crew;

static void *submit_and_take(void *argument) {
    crew *self = argument;
    for (hangup_completion done = {.size = sizeof done}; atomic_load(self->left) > 0;) {
        unsigned chance = (unsigned)rand_r(&self->seed) % 4;
        if (chance < 3) {
            /* No thread waits for ever for completions that the other threads have taken. */
            if (hangup_queue_next(self->queue, chance, &done) == HANGUP_OK) {
                CHECK_OK(done.status, done.error);
                CHECK(done.data_size == 5 && memcmp(done.data, "hello", 5) == 0);
                hangup_response_free(done.response);
                if (atomic_fetch_sub(self->left, 1) > 8) {
                    submit(self->client, self->request, self->queue, 1);
                }
            }
        } else {
            sleep_ms(3);
        }
    }
    return NULL;
}

static void many_take_turns_in_any_order(void) {
    enum { THREADS = 4, FLIGHT = 8 };
    hangup_client *client = new_client(NULL);
    hangup_queue *queues[2] = {taking_queue(), taking_queue()};
    hangup_request *request = new_request("GET", given("hello"));
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_buffer_body(request, 1000, &error), error);
    atomic_int left[2] = {1000, 1000};
    crew crews[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < FLIGHT; i++) {
        submit(client, request, queues[0], 1);
        submit(client, request, queues[1], 1);
    }
    for (int i = 0; i < THREADS; i++) {
        crews[i] = (crew){queues[i % 2], client, NULL, &left[i % 2], (unsigned)i};
        CHECK_OK(hangup_request_copy(request, &crews[i].request, &error), error);
        start(&threads[i], submit_and_take, &crews[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
        hangup_request_free(crews[i].request);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_NUMBER(0, atomic_load(&left[i]));
        check_nothing(queues[i]);
        hangup_queue_free(queues[i]);
    }
    hangup_request_free(request);
    hangup_client_free(client);
}

/** The child of a fork has none of the threads, and not the one that did the work. */
static void a_fork_while_a_taker_works(void) {
    hangup_client *client = new_client(NULL);
    hangup_cancel *cancel = hangup_cancel_new();
    hangup_request *silent = new_request("GET", given("silent"));
    CHECK_OK(hangup_request_set_cancel(silent, cancel), NULL);
    waiter sleeper = {.queue = taking_queue()};
    submit(client, silent, sleeper.queue, 1);
    start(&sleeper.thread, wait_here, &sleeper);
    sleep_ms(20);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(30);
        hangup_queue *own = taking_queue();
        for (int i = 0; i < 3; i++) {
            is_hello(submitted(client, given("hello"), own));
        }
        hangup_queue_free(own);
        execlp("true", "true", (char *)NULL);
        _exit(1);
    }
    int status = 0;
    CHECK_NUMBER(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    hangup_cancel_fire(cancel, NULL);
    ends_with(&sleeper, HANGUP_CANCELLED);
    hangup_queue_free(sleeper.queue);
    hangup_cancel_free(cancel);
    hangup_request_free(silent);
    hangup_client_free(client);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    for (caller_runs = 0; caller_runs < 2; caller_runs++) {
        what_nobody_waits_for_goes_on();
        a_taker_that_sleeps_holds_up_nobody();
        a_taker_outlives_managers();
        its_wait_ends_in_time();
        an_exchange_goes_from_taker_to_taker();
        many_take_turns_in_any_order();
        a_fork_while_a_taker_works();
    }
    return 0;
}
