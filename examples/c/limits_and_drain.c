/**
 * At most one connection to each origin: the second request waits for it, and not for ever. Then an end that lets what
 * runs finish.
 *
 *     cc -o limits_and_drain limits_and_drain.c $(pkg-config --cflags --libs hangup)
 *     ./limits_and_drain http://127.0.0.1:8080
 */
#include <hangup.h>
#include <stdio.h>

static int failed(const char *what, hangup_error *error) {
    fprintf(stderr, "%s: %s\n", what, hangup_error_message(error));
    hangup_error_free(error);
    return 1;
}

/** A manager of its own, so that the limit does not affect other parts of the program. */
static hangup_manager *limited_manager(void) {
    hangup_error *error = NULL;
    hangup_manager *manager = NULL;
    hangup_options *options = hangup_options_new();
    if (hangup_options_set_limit(options, HANGUP_LIMIT_PER_ORIGIN, 1, &error) != HANGUP_OK ||
        hangup_manager_new(options, &manager, &error) != HANGUP_OK) {
        failed("a manager", error);
    }
    hangup_options_free(options);
    return manager;
}

/** Sends a request that has to fail with `expected`, and says how it did. */
static int send_and_tell(hangup_client *client, const char *url, hangup_status expected) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    hangup_status status = hangup_client_get(client, url, 5000, &response, &error);
    if (status != expected) {
        hangup_response_free(response);
        return failed(url, error);
    }
    printf("another request: %s in phase %s; safe to send again: %s\n", hangup_status_text(status),
           hangup_phase_text(hangup_error_phase(error)), hangup_error_retry_safe(error) ? "yes" : "no");
    hangup_error_free(error);
    return 0;
}

static int run(hangup_manager *manager, hangup_client *client, const char *url) {
    hangup_error *error = NULL;
    hangup_response *open = NULL;
    if (hangup_client_get(client, url, 5000, &open, &error) != HANGUP_OK) {
        return failed(url, error);
    }
    printf("connection %llu is in use until its body is read\n", (unsigned long long)hangup_response_connection_id(open));
    int status = send_and_tell(client, url, HANGUP_TIMED_OUT);
    hangup_stats stats = HANGUP_STATS_INIT;
    hangup_manager_stats(manager, &stats);
    printf("%llu open, %llu had to wait\n", (unsigned long long)stats.open, (unsigned long long)stats.waited);

    /* No new requests from now on. What runs may finish, and this waits for it. */
    if (hangup_manager_drain(manager, 200, &error) == HANGUP_TIMED_OUT) {
        printf("draining: %llu left after 200 ms\n", (unsigned long long)hangup_error_open_connections(error));
        hangup_error_free(error);
        error = NULL;
    }
    const uint8_t *data = NULL;
    size_t size = 0;
    if (hangup_response_read_all(open, SIZE_MAX, &data, &size, &error) != HANGUP_OK ||
        hangup_manager_drain(manager, 5000, &error) != HANGUP_OK) {
        status = failed("the end", error);
    } else {
        printf("read %zu bytes; drained\n", size);
    }
    hangup_response_free(open);
    return status || send_and_tell(client, url, HANGUP_SHUT_DOWN);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s BASE-URL\n", argv[0]);
        return 2;
    }
    char url[1024];
    snprintf(url, sizeof url, "%s/fast", argv[1]);
    hangup_manager *manager = limited_manager();
    if (manager == NULL) {
        return 1;
    }
    hangup_error *error = NULL;
    hangup_client *client = NULL;
    int status = 1;
    if (hangup_client_new(manager, &client, &error) != HANGUP_OK ||
        /* How long a request waits for a connection, at most; 30 seconds if nothing is said. */
        hangup_client_set_timeout(client, HANGUP_TIMEOUT_POOL, 200, &error) != HANGUP_OK) {
        failed("a client", error);
    } else {
        status = run(manager, client, url);
    }
    hangup_client_free(client);
    hangup_manager_free(manager);
    return status;
}
