/**
 * A thread that waits for completions is on its own stack, whenever a signal interrupts it: garbage collectors that stop
 * threads by a signal look for references there. Server: `hello` answers 200 "hello" for ever.
 */
#include "queue.h"

#include <signal.h>
#include <stdatomic.h>

/** The stack of the thread that is interrupted. */
static uintptr_t lowest, highest;
static atomic_int on_it, elsewhere;

static void look(int signal) {
    (void)signal;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    atomic_fetch_add(lowest <= here && here < highest ? &on_it : &elsewhere, 1);
}

static void *interrupt_again(void *argument) {
    while (pthread_kill(*(pthread_t *)argument, SIGUSR1) == 0) {
        usleep(20);
        pthread_testcancel();
    }
    return NULL;
}

int main(int argc, char **argv) {
    begin(argc, argv);
    pthread_t self = pthread_self(), interrupter;
    pthread_attr_t attributes;
    void *begin_of_stack = NULL;
    size_t size = 0;
    CHECK_NUMBER(0, pthread_getattr_np(self, &attributes));
    CHECK_NUMBER(0, pthread_attr_getstack(&attributes, &begin_of_stack, &size));
    pthread_attr_destroy(&attributes);
    lowest = (uintptr_t)begin_of_stack;
    highest = lowest + size;
    struct sigaction action = {.sa_handler = look, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);

    hangup_client *client = new_client(NULL);
    hangup_queue *queue = new_queue();
    hangup_request *request = new_request("GET", given("hello"));
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_buffer_body(request, 1000, &error), error);
    start(&interrupter, interrupt_again, &self);
    for (int done = 0; done < 2000 || atomic_load(&on_it) < 100; done++) {
        submit(client, request, queue, 1);
        hangup_completion answer = next(queue);
        CHECK_OK(answer.status, answer.error);
        hangup_response_free(answer.response);
    }
    pthread_cancel(interrupter);
    join(interrupter);
    CHECK_NUMBER(0, atomic_load(&elsewhere));
    hangup_request_free(request);
    hangup_queue_free(queue);
    hangup_client_free(client);
    return 0;
}
