/**
 * Two ways to end a request that gets no response: a timeout that expires, and a token that another thread fires.
 *
 *     cc -pthread -o timeout_and_cancel timeout_and_cancel.c $(pkg-config --cflags --libs hangup)
 *     ./timeout_and_cancel http://127.0.0.1:8080
 */
#include <hangup.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static int failed(const char *what, hangup_error *error) {
    fprintf(stderr, "%s: %s\n", what, hangup_error_message(error));
    hangup_error_free(error);
    return 1;
}

/** Sends a request that has to fail with `expected`, and says how it did. */
static int send_and_tell(hangup_client *client, hangup_request *request, hangup_status expected) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    hangup_status status = hangup_client_send(client, request, &response, &error);
    if (status == HANGUP_OK) {
        fprintf(stderr, "it was answered after all: %d\n", (int)hangup_response_status_code(response));
        hangup_response_free(response);
        return 1;
    }
    if (status != expected) {
        return failed("another failure than expected", error);
    }
    /* The kind, the phase, the timeout or the reason, and whether it is safe to send the request again. */
    printf("%s in phase %s", hangup_status_text(status), hangup_phase_text(hangup_error_phase(error)));
    if (status == HANGUP_TIMED_OUT) {
        printf(", timeout %s", hangup_timeout_text(hangup_error_timeout(error)));
    }
    if (hangup_error_reason(error) != NULL) {
        printf(", reason: %s", hangup_error_reason(error));
    }
    printf("; safe to send again: %s\n", hangup_error_retry_safe(error) ? "yes" : "no");
    hangup_error_free(error);
    return 0;
}

/** The other thread: lets the request wait for a while, then ends it. */
static void *leave(void *token) {
    usleep(200 * 1000);
    hangup_cancel_fire(token, "the user left");
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s BASE-URL\n", argv[0]);
        return 2;
    }
    char url[1024];
    snprintf(url, sizeof url, "%s/stall", argv[1]);

    hangup_error *error = NULL;
    hangup_client *client = NULL;
    if (hangup_client_new(NULL, &client, &error) != HANGUP_OK) {
        return failed("a client", error);
    }
    hangup_request *request = NULL;
    if (hangup_request_new("GET", url, &request, &error) != HANGUP_OK) {
        hangup_client_free(client);
        return failed(url, error);
    }

    /* 200 ms for the head of the response, from the moment the request was sent. */
    if (hangup_request_set_timeout(request, HANGUP_TIMEOUT_HEAD, 200, &error) != HANGUP_OK) {
        failed("a timeout", error);
    }
    int status = send_and_tell(client, request, HANGUP_TIMED_OUT);

    /* No such limit now, but a token. */
    hangup_request_set_timeout(request, HANGUP_TIMEOUT_HEAD, HANGUP_NO_LIMIT, NULL);
    hangup_cancel *token = hangup_cancel_new();
    hangup_request_set_cancel(request, token);
    pthread_t thread;
    if (pthread_create(&thread, NULL, leave, token) == 0) {
        status |= send_and_tell(client, request, HANGUP_CANCELLED);
        pthread_join(thread, NULL);
    }

    hangup_cancel_free(token);
    hangup_request_free(request);
    hangup_client_free(client);
    return status;
}
