/**
 * A thousand requests in a libuv loop: the queue's descriptor is polled beside whatever else the loop does.
 *
 *     cc -o libuv_thousand libuv_thousand.c $(pkg-config --cflags --libs hangup libuv)
 *     ./libuv_thousand http://127.0.0.1:8080
 */
#include <hangup.h>
#include <stdio.h>
#include <uv.h>

enum { REQUESTS = 1000, CONNECTIONS = 32 };

/** What the callbacks share. */
struct work {
    hangup_queue *queue;
    int left, failures;
    size_t bytes;
};

static int failed(const char *what, hangup_error *error) {
    fprintf(stderr, "%s: %s\n", what, hangup_error_message(error));
    hangup_error_free(error);
    return 1;
}

/** The queue is readable: takes what is there. The loop ends when nothing is left to poll for. */
static void on_readable(uv_poll_t *poll, int status, int events) {
    (void)status, (void)events;
    struct work *work = poll->data;
    hangup_completion done = HANGUP_COMPLETION_INIT;
    while (hangup_queue_next(work->queue, 0, &done) == HANGUP_OK) {
        work->left--;
        work->bytes += done.data_size;
        if (done.status != HANGUP_OK && work->failures++ == 0) {
            printf("request %llu: %s\n", (unsigned long long)done.tag, hangup_error_message(done.error));
        }
        hangup_error_free(done.error);
        hangup_response_free(done.response);
    }
    if (work->left == 0) {
        uv_close((uv_handle_t *)poll, NULL);
    }
}

static int submit_all(hangup_client *client, struct work *work, const char *url) {
    hangup_error *error = NULL;
    hangup_request *request = NULL;
    int status = 0;
    if (hangup_request_new("GET", url, &request, &error) != HANGUP_OK ||
        hangup_request_set_timeout(request, HANGUP_TIMEOUT_TOTAL, 30000, &error) != HANGUP_OK ||
        hangup_request_set_buffer_body(request, 1024 * 1024, &error) != HANGUP_OK) {
        status = failed(url, error);
    }
    while (status == 0 && work->left < REQUESTS) {
        if (hangup_client_submit(client, request, work->queue, (uint64_t)work->left, &error) != HANGUP_OK) {
            status = failed("submit", error);
        } else {
            work->left++;
        }
    }
    hangup_request_free(request);
    return status;
}

static int run(hangup_manager *manager, hangup_client *client, const char *url) {
    struct work work = {.queue = hangup_queue_new()};
    uv_poll_t poll = {.data = &work};
    int wrong = uv_poll_init(uv_default_loop(), &poll, hangup_queue_fd(work.queue));
    if (wrong != 0 || (wrong = uv_poll_start(&poll, UV_READABLE, on_readable)) != 0) {
        fprintf(stderr, "libuv: %s\n", uv_strerror(wrong));
        hangup_queue_free(work.queue);
        return 1;
    }
    int status = submit_all(client, &work, url);
    printf("%d requests are in progress\n", work.left);
    if (status == 0) {
        uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    }
    hangup_stats stats = HANGUP_STATS_INIT;
    hangup_manager_stats(manager, &stats);
    printf("%d responses, %zu bytes, %d failures, over %llu connections\n", REQUESTS - work.failures, work.bytes,
           work.failures, (unsigned long long)stats.open);
    uv_loop_close(uv_default_loop());
    hangup_queue_free(work.queue);
    return status || work.failures > 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s BASE-URL\n", argv[0]);
        return 2;
    }
    char url[1024];
    snprintf(url, sizeof url, "%s/fast", argv[1]);
    hangup_error *error = NULL;
    hangup_manager *manager = NULL;
    hangup_client *client = NULL;
    int status = 1;
    if (hangup_manager_new(NULL, &manager, &error) != HANGUP_OK ||
        hangup_manager_set_limit(manager, HANGUP_LIMIT_PER_ORIGIN, CONNECTIONS, &error) != HANGUP_OK ||
        hangup_client_new(manager, &client, &error) != HANGUP_OK) {
        failed("a client", error);
    } else {
        status = run(manager, client, url);
    }
    hangup_client_free(client);
    hangup_manager_free(manager);
    return status;
}
