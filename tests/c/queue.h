/**
 * @file queue.h
 *
 * Submitting and taking, checked: for the programs that use a completion queue.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include "check.h"

#include <poll.h>

/** How long what is bound to come may take. */
#define SOON (20000 * slowness())

static inline hangup_queue *new_queue(void) {
    hangup_queue *queue = hangup_queue_new();
    CHECK(queue != NULL);
    return queue;
}

static inline void submit(hangup_client *client, hangup_request *request, hangup_queue *queue, uint64_t tag) {
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_submit(client, request, queue, tag, &error), error);
}

static inline void submit_read(hangup_response *response, size_t at_most, hangup_queue *queue, uint64_t tag) {
    hangup_error *error = NULL;
    CHECK_OK(hangup_response_submit_read(response, at_most, queue, tag, &error), error);
}

static inline hangup_completion next(hangup_queue *queue) {
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

static inline void check_nothing(hangup_queue *queue) {
    hangup_completion done = {.size = sizeof done, .tag = 4711};
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_queue_next(queue, 0, &done), NULL);
    CHECK_NUMBER(4711, done.tag);
}

static inline int readable(hangup_queue *queue, int timeout_ms) {
    struct pollfd fd = {.fd = hangup_queue_fd(queue), .events = POLLIN};
    return poll(&fd, 1, timeout_ms);
}

/** The response to a request that was submitted. */
static inline hangup_response *submitted(hangup_client *client, const char *url, hangup_queue *queue) {
    hangup_request *request = new_request("GET", url);
    submit(client, request, queue, 1);
    hangup_request_free(request);
    hangup_completion done = next(queue);
    CHECK_OK(done.status, done.error);
    CHECK_NUMBER(HANGUP_COMPLETION_TYPE_RESPONSE, done.type);
    CHECK_NUMBER(1, done.tag);
    CHECK(done.response != NULL && done.data == NULL && done.data_size == 0);
    return done.response;
}

/** Reads the ten bytes that there are; the next read blocks. */
static inline hangup_response *at_the_stall(hangup_client *client, hangup_queue *queue) {
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

static inline void check_closed(hangup_queue *queue) {
    hangup_completion done = next(queue);
    CHECK_STATUS(HANGUP_CLOSED, done.status, done.error);
    CHECK_NUMBER(HANGUP_COMPLETION_TYPE_READ, done.type);
    CHECK_NUMBER(3, done.tag);
    hangup_error_free(done.error);
    check_nothing(queue);
}

#endif /* QUEUE_H */
