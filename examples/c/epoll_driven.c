/**
 * A thousand requests in an epoll loop of the program's own, which does their work itself: no other thread is woken.
 *
 *     cc -o epoll_driven epoll_driven.c $(pkg-config --cflags --libs hangup)
 *     ./epoll_driven http://127.0.0.1:8080
 */
#include <hangup.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { REQUESTS = 1000, CONNECTIONS = 32 };

static int failed(const char *what, hangup_error *error) {
    fprintf(stderr, "%s: %s\n", what, hangup_error_message(error));
    hangup_error_free(error);
    return 1;
}

static int submit_all(hangup_client *client, hangup_queue *queue, const char *url) {
    hangup_error *error = NULL;
    hangup_request *request = NULL;
    int status = 0;
    if (hangup_request_new("GET", url, &request, &error) != HANGUP_OK ||
        /* A timeout makes the descriptor readable: the loop needs no timer for it. */
        hangup_request_set_timeout(request, HANGUP_TIMEOUT_TOTAL, 30000, &error) != HANGUP_OK ||
        hangup_request_set_buffer_body(request, 1024 * 1024, &error) != HANGUP_OK) {
        status = failed(url, error);
    }
    for (uint64_t tag = 0; status == 0 && tag < REQUESTS; tag++) {
        if (hangup_client_submit(client, request, queue, tag, &error) != HANGUP_OK) {
            status = failed("submit", error);
        }
    }
    hangup_request_free(request);
    return status;
}

/** Does the work that is ready, then takes all that it completed, and returns how many there were. */
static int turn(hangup_queue *queue, size_t *bytes, int *failures) {
    int taken = 0;
    hangup_completion done = HANGUP_COMPLETION_INIT;
    hangup_queue_drive(queue);
    while (hangup_queue_next(queue, 0, &done) == HANGUP_OK) {
        taken++;
        *bytes += done.data_size;
        if (done.status != HANGUP_OK && (*failures)++ == 0) {
            printf("request %llu: %s\n", (unsigned long long)done.tag, hangup_error_message(done.error));
        }
        hangup_error_free(done.error);
        hangup_response_free(done.response);
    }
    return taken;
}

static int run(hangup_manager *manager, hangup_client *client, hangup_queue *queue, const char *url) {
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    /* Before the first submission. */
    int fd = hangup_queue_drive_fd(queue);
    if (loop < 0 || fd < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) != 0) {
        perror("epoll");
        return 1;
    }
    int status = submit_all(client, queue, url);
    printf("%d requests are in progress\n", REQUESTS);
    size_t bytes = 0;
    int failures = 0;
    for (int taken = 0; status == 0 && taken < REQUESTS;) {
        /* Here a program waits for its other descriptors as well. */
        if (epoll_wait(loop, &event, 1, -1) == 1) {
            taken += turn(queue, &bytes, &failures);
        }
    }
    hangup_stats stats = HANGUP_STATS_INIT;
    hangup_manager_stats(manager, &stats);
    printf("%d responses, %zu bytes, %d failures, over %llu connections\n", REQUESTS - failures, bytes, failures,
           (unsigned long long)stats.open);
    close(loop);
    return status || failures > 0;
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
    hangup_queue *queue = hangup_queue_new();
    int status = 1;
    if (hangup_manager_new(NULL, &manager, &error) != HANGUP_OK ||
        hangup_manager_set_limit(manager, HANGUP_LIMIT_PER_ORIGIN, CONNECTIONS, &error) != HANGUP_OK ||
        hangup_client_new(manager, &client, &error) != HANGUP_OK) {
        failed("a client", error);
    } else {
        status = run(manager, client, queue, url);
    }
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return status;
}
