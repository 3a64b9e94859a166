/**
 * GET a page twice: two requests, one connection.
 *
 *     cc -o get get.c $(pkg-config --cflags --libs hangup)
 *     ./get http://127.0.0.1:8080
 */
#include <hangup.h>
#include <stdio.h>

static int failed(const char *what, hangup_error *error) {
    fprintf(stderr, "%s: %s\n", what, hangup_error_message(error));
    hangup_error_free(error);
    return 1;
}

/** GETs `url`, within five seconds in all, and says what came over which connection. */
static int get(hangup_client *client, const char *url) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    if (hangup_client_get(client, url, 5000, &response, &error) != HANGUP_OK) {
        return failed(url, error);
    }
    /* The body, at most 1 MiB of it, lent until the response is freed. */
    const uint8_t *data = NULL;
    size_t size = 0;
    if (hangup_response_read_all(response, 1024 * 1024, &data, &size, &error) != HANGUP_OK) {
        hangup_response_free(response);
        return failed(url, error);
    }
    printf("status %d, %zu bytes over connection %llu (%s)\n", (int)hangup_response_status_code(response), size,
           (unsigned long long)hangup_response_connection_id(response),
           hangup_response_reused(response) ? "used again" : "new");
    hangup_response_free(response);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s BASE-URL\n", argv[0]);
        return 2;
    }
    char url[1024];
    snprintf(url, sizeof url, "%s/fast", argv[1]);

    hangup_error *error = NULL;
    hangup_client *client = NULL;
    if (hangup_client_new(NULL, &client, &error) != HANGUP_OK) { /* NULL: the manager that the process shares */
        return failed("a client", error);
    }
    int status = get(client, url) || get(client, url);
    hangup_client_free(client);
    return status;
}
