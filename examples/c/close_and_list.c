/**
 * See the open connections, and close one of them under the request that uses it.
 *
 *     cc -o close_and_list close_and_list.c $(pkg-config --cflags --libs hangup)
 *     ./close_and_list http://127.0.0.1:8080
 */
#include <hangup.h>
#include <stdio.h>

static int failed(const char *what, hangup_error *error) {
    fprintf(stderr, "%s: %s\n", what, hangup_error_message(error));
    hangup_error_free(error);
    return 1;
}

/** Prints one line per open connection. */
static int show(hangup_manager *manager, const char *when) {
    hangup_error *error = NULL;
    hangup_connections *list = NULL;
    if (hangup_manager_connections(manager, &list, &error) != HANGUP_OK) {
        return failed("the list", error);
    }
    printf("%s: %zu open\n", when, hangup_connections_count(list));
    for (size_t i = 0; i < hangup_connections_count(list); i++) {
        hangup_connection_info info = HANGUP_CONNECTION_INFO_INIT;
        if (hangup_connections_at(list, i, &info) == HANGUP_OK) {
            printf("  connection %llu to %s: %s, %llu requests, %llu bytes in\n", (unsigned long long)info.id,
                   info.origin, hangup_connection_state_text(info.state), (unsigned long long)info.requests,
                   (unsigned long long)info.bytes_in);
        }
    }
    hangup_connections_free(list);
    return 0;
}

static hangup_response *get(hangup_client *client, const char *base, const char *path) {
    char url[1024];
    snprintf(url, sizeof url, "%s%s", base, path);
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    if (hangup_client_get(client, url, 5000, &response, &error) != HANGUP_OK) {
        failed(url, error);
    }
    return response;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s BASE-URL\n", argv[0]);
        return 2;
    }
    hangup_error *error = NULL;
    hangup_client *client = NULL;
    if (hangup_client_new(NULL, &client, &error) != HANGUP_OK) {
        return failed("a client", error);
    }
    hangup_manager *manager = hangup_client_manager(client);
    int status = 1;

    /* One response that stays open, because its body never ends; another that is read, so that its connection is idle. */
    hangup_response *open = get(client, argv[1], "/stall-body"), *done = get(client, argv[1], "/fast");
    const uint8_t *data = NULL;
    size_t size = 0;
    if (open != NULL && done != NULL && hangup_response_read_all(done, SIZE_MAX, &data, &size, NULL) == HANGUP_OK) {
        status = show(manager, "before");

        /* HANGUP_CLOSE_MODE_GRACEFUL would let the exchange end first; now means now. */
        uint64_t id = hangup_response_connection_id(open);
        if (hangup_manager_close_connection(manager, id, HANGUP_CLOSE_MODE_NOW, &error) != HANGUP_OK) {
            status = failed("closing", error);
        }
        if (hangup_response_read_all(open, SIZE_MAX, &data, &size, &error) == HANGUP_CLOSED) {
            printf("reading on connection %llu: %s\n", (unsigned long long)id, hangup_error_message(error));
            hangup_error_free(error);
        } else {
            status = 1;
        }
        size_t closed = 0;
        hangup_manager_close_idle(manager, 0, &closed);
        printf("closed %zu idle\n", closed);
        status |= show(manager, "after");
    }

    hangup_response_free(done);
    hangup_response_free(open);
    hangup_manager_free(manager);
    hangup_client_free(client);
    return status;
}
