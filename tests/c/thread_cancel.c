/**
 * pthread_cancel(3) on a thread that is inside the library: the thread finishes its call, and then ends. Nothing is lost,
 * and all others go on. Servers: `hello` answers 200 "hello" for ever; `silent` accepts, and then nothing.
 */
#include "queue.h"

/** What a thread does that is cancelled meanwhile. */
typedef struct {
    hangup_client *client;
    hangup_cancel *cancel;
    hangup_queue *queue;
    /** What its call answered; -1 while it is there. */
    int32_t answered;
    pthread_t thread;
} caller;

static void *send_here(void *argument) {
    caller *self = argument;
    hangup_request *request = new_request("GET", given("silent"));
    CHECK_OK(hangup_request_set_cancel(request, self->cancel), NULL);
    hangup_response *response = NULL;
    self->answered = (int32_t)hangup_client_send(self->client, request, &response, NULL);
    hangup_request_free(request);
    pthread_testcancel();
    return NULL;
}

static void *take_here(void *argument) {
    caller *self = argument;
    hangup_completion done = {.size = sizeof done};
    self->answered = (int32_t)hangup_queue_next(self->queue, HANGUP_NO_LIMIT, &done);
    CHECK_STATUS(HANGUP_CANCELLED, done.status, done.error);
    hangup_error_free(done.error);
    pthread_testcancel();
    return NULL;
}

static void ends_cancelled(caller *self, int32_t answer) {
    void *result = NULL;
    CHECK_NUMBER(0, pthread_join(self->thread, &result));
    CHECK(result == PTHREAD_CANCELED);
    CHECK_NUMBER(answer, self->answered);
}

static void a_blocked_call_is_finished_first(void) {
    hangup_manager *manager = new_manager();
    caller self = {.client = new_client(manager), .cancel = hangup_cancel_new(), .answered = -1};
    start(&self.thread, send_here, &self);
    wait_for_in_use(manager, 1);
    CHECK_NUMBER(0, pthread_cancel(self.thread));
    /* It stays for as long as its call: what ends that is the token. */
    sleep_ms(20);
    CHECK_NUMBER(1, stats_of(manager).in_use);
    hangup_cancel_fire(self.cancel, NULL);
    ends_cancelled(&self, HANGUP_CANCELLED);
    CHECK_NUMBER(0, stats_of(manager).in_use);
    hangup_cancel_free(self.cancel);
    hangup_client_free(self.client);
    hangup_manager_free(manager);
}

static void a_wait_for_completions_is_finished_first(int32_t caller_runs) {
    hangup_manager *manager = new_manager();
    hangup_error *error = NULL;
    caller self = {.client = new_client(manager), .cancel = hangup_cancel_new(), .queue = new_queue(), .answered = -1};
    CHECK_OK(hangup_queue_set_caller_runs(self.queue, caller_runs, &error), error);
    hangup_request *request = new_request("GET", given("silent"));
    CHECK_OK(hangup_request_set_cancel(request, self.cancel), NULL);
    submit(self.client, request, self.queue, 1);
    start(&self.thread, take_here, &self);
    wait_for_in_use(manager, 1);
    sleep_ms(20);
    CHECK_NUMBER(0, pthread_cancel(self.thread));
    sleep_ms(20);
    hangup_cancel_fire(self.cancel, NULL);
    ends_cancelled(&self, HANGUP_OK);
    CHECK_NUMBER(0, stats_of(manager).in_use);
    hangup_response_free(submitted(self.client, given("hello"), self.queue));
    hangup_request_free(request);
    hangup_queue_free(self.queue);
    hangup_cancel_free(self.cancel);
    hangup_client_free(self.client);
    hangup_manager_free(manager);
}

static void *get_again(void *argument) {
    for (;;) {
        hangup_response *response = NULL;
        CHECK_OK(hangup_client_get(argument, given("hello"), SOON, &response, NULL), NULL);
        check_body(response, "hello");
        hangup_response_free(response);
        pthread_testcancel();
    }
    return NULL;
}

/** At any moment of a call, at its beginning and at its end too. */
static void a_cancel_at_any_moment_loses_nothing(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    for (int i = 0; i < 100; i++) {
        pthread_t thread;
        start(&thread, get_again, client);
        usleep((useconds_t)(rand() % 2000));
        CHECK_NUMBER(0, pthread_cancel(thread));
        join(thread);
        CHECK_NUMBER(0, stats_of(manager).in_use);
    }
    hangup_client_free(client);
    hangup_manager_free(manager);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    a_blocked_call_is_finished_first();
    a_wait_for_completions_is_finished_first(0);
    a_wait_for_completions_is_finished_first(1);
    a_cancel_at_any_moment_loses_nothing();
    return 0;
}
