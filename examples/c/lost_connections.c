/**
 * What is known of a request that gets no answer, and of a connection that may have died: the facts of an error, and the
 * events "suspected", "probed", "lost" and "recovered".
 *
 *     cc -o lost_connections lost_connections.c $(pkg-config --cflags --libs hangup)
 *     ./lost_connections http://127.0.0.1:8080
 *
 * The server of this example is alive and gives no answer. docs/lost-connections.md says what a dead connection looks like.
 */
#include <hangup.h>
#include <stdio.h>

static int failed(const char *what, hangup_error *error) {
    fprintf(stderr, "%s: %s\n", what, hangup_error_message(error));
    hangup_error_free(error);
    return 1;
}

/** Says what became of a request that failed after a silent wait. */
static void tell_error(const hangup_error *error) {
    hangup_acknowledged acknowledged = hangup_error_acknowledged(error);
    printf("%s, safe to send again: %s\n", hangup_status_text(hangup_error_status(error)),
           hangup_error_retry_safe(error) ? "yes" : "no");
    if (acknowledged != 0) { /* 0: TCP was not asked */
        hangup_tcp_facts tcp = HANGUP_TCP_FACTS_INIT;
        hangup_error_tcp_facts(error, &tcp);
        printf("acknowledged: %s; round-trip time %.1f ms, sent again %d times, silent for %d ms\n",
               hangup_acknowledged_text(acknowledged), (double)tcp.rtt_us / 1e3, (int)tcp.retransmissions,
               (int)tcp.silence_ms);
    }
}

/** Says which connections were suspected, and how it ended. */
static void tell_events(hangup_events *events) {
    hangup_event event = HANGUP_EVENT_INIT;
    while (hangup_events_next(events, 0, &event) == HANGUP_OK) {
        switch (event.type) {
        case HANGUP_EVENT_TYPE_SUSPECTED: /* the request is not acknowledged */
        case HANGUP_EVENT_TYPE_PROBED:    /* a second connection is dialled */
        case HANGUP_EVENT_TYPE_LOST:      /* that one was made: this one is dead */
        case HANGUP_EVENT_TYPE_RECOVERED: /* the peer was there after all */
            printf("connection %d: %s\n", (int)event.connection, hangup_event_type_text(event.type));
            break;
        case HANGUP_EVENT_TYPE_CLOSED:
            printf("connection %d: closed, %s\n", (int)event.connection, hangup_close_reason_text(event.reason));
            break;
        default:
            break;
        }
    }
}

/** GETs a path of the server: the connection is kept. */
static int get(hangup_client *client, const char *base, const char *path) {
    char url[1024];
    snprintf(url, sizeof url, "%s%s", base, path);
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    const uint8_t *body = NULL;
    size_t size = 0;
    hangup_status status = hangup_client_get(client, url, HANGUP_NO_LIMIT, &response, &error);
    if (status == HANGUP_OK) { /* after its last byte the connection is idle */
        status = hangup_response_read_all(response, 1024 * 1024, &body, &size, &error);
    }
    if (status != HANGUP_OK) {
        tell_error(error);
        hangup_error_free(error);
    } else {
        printf("%d on connection %d\n", (int)hangup_response_status_code(response),
               (int)hangup_response_connection_id(response));
    }
    hangup_response_free(response);
    return status == HANGUP_OK ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s BASE-URL\n", argv[0]);
        return 2;
    }
    hangup_error *error = NULL;
    hangup_client *client = NULL;
    hangup_events *events = NULL;
    hangup_manager *manager = hangup_manager_shared();
    int status = 1;
    if (hangup_client_new(manager, &client, &error) != HANGUP_OK ||
        hangup_client_set_timeout(client, HANGUP_TIMEOUT_HEAD, 300, &error) != HANGUP_OK ||
        hangup_manager_events(manager, 1024, &events, &error) != HANGUP_OK) {
        failed("to begin", error);
    } else {
        /* The second request is acknowledged and gets no answer. */
        status = get(client, argv[1], "/fast") == 0 && get(client, argv[1], "/stall") != 0 ? 0 : 1;
        tell_events(events);
    }
    hangup_events_free(events);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return status;
}
