/**
 * Watch what happens to connections: opened, leased to a request, returned, closed; and how long each phase took.
 *
 *     cc -o events events.c $(pkg-config --cflags --libs hangup)
 *     ./events http://127.0.0.1:8080
 */
#include <hangup.h>
#include <stdio.h>

static int failed(const char *what, hangup_error *error) {
    fprintf(stderr, "%s: %s\n", what, hangup_error_message(error));
    hangup_error_free(error);
    return 1;
}

/** GETs `url` and reads it to its end, so that the connection is returned. */
static int get(hangup_client *client, const char *url) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    const uint8_t *data = NULL;
    size_t size = 0;
    int status = 0;
    if (hangup_client_get(client, url, 5000, &response, &error) != HANGUP_OK ||
        hangup_response_read_all(response, 1024 * 1024, &data, &size, &error) != HANGUP_OK) {
        status = failed(url, error);
    }
    hangup_response_free(response);
    return status;
}

/** Prints what has happened so far. A program with an event loop polls hangup_events_fd and then does the same. */
static int tell(hangup_events *events) {
    hangup_event event = HANGUP_EVENT_INIT;
    hangup_status status;
    while ((status = hangup_events_next(events, 0, &event)) == HANGUP_OK) {
        printf("%8.3f ms  connection %llu to %s: %s", (double)event.at_ns / 1e6, (unsigned long long)event.connection,
               hangup_events_origin(events), hangup_event_type_text(event.type));
        if (event.type == HANGUP_EVENT_TYPE_PHASE) {
            printf(" %s, %.3f ms", hangup_phase_text(event.phase), (double)event.took_ns / 1e6);
        } else if (event.type == HANGUP_EVENT_TYPE_CLOSED) {
            printf(", %s", hangup_close_reason_text(event.reason));
        }
        putchar('\n');
    }
    printf("%llu events were lost\n", (unsigned long long)hangup_events_lost(events));
    return status != HANGUP_TIMED_OUT; /* nothing more for now */
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s BASE-URL\n", argv[0]);
        return 2;
    }
    char url[1024];
    snprintf(url, sizeof url, "%s/fast", argv[1]);

    hangup_error *error = NULL;
    hangup_manager *manager = hangup_manager_shared();
    hangup_client *client = NULL;
    hangup_events *events = NULL;
    int status = 1;
    /* Events of all requests over this manager from here on; at most 1024 unread ones are kept. */
    if (hangup_client_new(manager, &client, &error) != HANGUP_OK ||
        hangup_manager_events(manager, 1024, &events, &error) != HANGUP_OK) {
        failed("to listen", error);
    } else if (get(client, url) == 0 && get(client, url) == 0) {
        hangup_manager_close_idle(manager, 0, NULL);
        status = tell(events);
    }
    hangup_events_free(events);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return status;
}
