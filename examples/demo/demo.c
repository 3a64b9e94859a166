/**
 * The C half of the demo: an ordinary C library with requests of its own. It knows hangup.h and no Python; demo.py loads
 * it into its process, and what both do shows up in one connection manager.
 *
 * Linked with libhangup.so.0, the library that Python's hangup has loaded already: one copy, one manager.
 */
#include <hangup.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/** What came of one request. demo.py has the same structure. */
struct demo_outcome {
    int32_t status;
    int32_t phase;
    int32_t timeout;
    int32_t status_code;
    int32_t reused;
    int32_t bytes;
    uint64_t connection;
    int64_t took_us;
    int64_t ended_us;
    char message[256];
    char reason[128];
};

static hangup_client *client;

/** A monotonic clock that both halves read, in microseconds. */
int64_t demo_now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/** A client of C's own over the process's manager, which trusts the demo's certificates. 0 if all is well. */
int demo_begin(const char *ca_file) {
    hangup_error *error = NULL;
    if (hangup_client_new(NULL, &client, &error) != HANGUP_OK
        || hangup_client_set_tls_roots_file(client, ca_file, &error) != HANGUP_OK) {
        fprintf(stderr, "demo.c: %s\n", hangup_error_message(error));
        hangup_error_free(error);
        return 1;
    }
    return 0;
}

void demo_end(void) {
    hangup_client_free(client);
    client = NULL;
}

uint64_t demo_manager_id(void) {
    hangup_manager *manager = hangup_client_manager(client);
    uint64_t id = hangup_manager_id(manager);
    hangup_manager_free(manager);
    return id;
}

static void tell(struct demo_outcome *outcome, hangup_error *error) {
    const char *reason = hangup_error_reason(error);
    outcome->phase = (int32_t)hangup_error_phase(error);
    outcome->timeout = (int32_t)hangup_error_timeout(error);
    outcome->connection = hangup_error_connection_id(error);
    outcome->reused = hangup_error_reused(error);
    snprintf(outcome->message, sizeof outcome->message, "%s", hangup_error_message(error));
    snprintf(outcome->reason, sizeof outcome->reason, "%s", reason == NULL ? "" : reason);
    hangup_error_free(error);
}

/** Sends `request`, reads the response to its end and describes the outcome. Blocks the calling thread. */
static hangup_status run(hangup_request *request, struct demo_outcome *outcome, hangup_error **error) {
    hangup_response *response = NULL;
    hangup_status status = hangup_client_send(client, request, &response, error);
    if (status == HANGUP_OK) {
        outcome->status_code = hangup_response_status_code(response);
        outcome->connection = hangup_response_connection_id(response);
        outcome->reused = hangup_response_reused(response);
        const uint8_t *data = NULL;
        size_t size = 0;
        status = hangup_response_read_all(response, 1024 * 1024, &data, &size, error);
        outcome->bytes = (int32_t)size;
    }
    hangup_response_free(response);
    return status;
}

/**
 * GET, with a timeout for the head (HANGUP_NO_LIMIT: the default one) and with a cancel token (NULL: none).
 * `mode` is HANGUP_CONNECTION_MODE_KEEP, HANGUP_CONNECTION_MODE_CLOSE_AFTER or HANGUP_CONNECTION_MODE_FRESH.
 */
void demo_get(const char *url, int32_t mode, int64_t head_ms, hangup_cancel *token, struct demo_outcome *outcome) {
    memset(outcome, 0, sizeof *outcome);
    hangup_error *error = NULL;
    hangup_request *request = NULL;
    int64_t began = demo_now_us();
    hangup_status status = hangup_request_new("GET", url, &request, &error);
    if (status == HANGUP_OK) {
        status = hangup_request_set_connection_mode(request, (hangup_connection_mode)mode, &error);
    }
    if (status == HANGUP_OK && head_ms != HANGUP_NO_LIMIT) {
        status = hangup_request_set_timeout(request, HANGUP_TIMEOUT_HEAD, head_ms, &error);
    }
    if (status == HANGUP_OK && token != NULL) {
        status = hangup_request_set_cancel(request, token);
    }
    if (status == HANGUP_OK) {
        status = run(request, outcome, &error);
    }
    outcome->ended_us = demo_now_us();
    outcome->took_us = outcome->ended_us - began;
    outcome->status = (int32_t)status;
    if (status != HANGUP_OK) {
        tell(outcome, error);
    }
    hangup_request_free(request);
}

hangup_cancel *demo_token(void) {
    return hangup_cancel_new();
}

/** Fires a token, created by C or by Python, and returns when that was. */
int64_t demo_fire(hangup_cancel *token, const char *reason) {
    int64_t now = demo_now_us();
    hangup_cancel_fire(token, reason);
    return now;
}

void demo_token_free(hangup_cancel *token) {
    hangup_cancel_free(token);
}

/** Closes one connection of the shared manager, also one that Python uses. */
int32_t demo_close(uint64_t connection, int32_t how) {
    hangup_manager *manager = hangup_manager_shared();
    hangup_status status = hangup_manager_close_connection(manager, connection, (hangup_close_mode)how, NULL);
    hangup_manager_free(manager);
    return (int32_t)status;
}

/** Why a connection ended; "open" if it did not. */
const char *demo_why(uint64_t connection) {
    hangup_manager *manager = hangup_manager_shared();
    hangup_close_reason reason = 0;
    hangup_status status = hangup_manager_close_reason(manager, connection, &reason);
    hangup_manager_free(manager);
    return status == HANGUP_OK ? hangup_close_reason_text(reason) : "open";
}

/** Writes the open connections as C sees them, one line each with tabs between; returns how many there are. */
size_t demo_connections(char *into, size_t room) {
    hangup_manager *manager = hangup_manager_shared();
    hangup_connections *list = NULL;
    size_t count = 0, used = 0;
    if (room > 0) {
        into[0] = '\0';
    }
    if (hangup_manager_connections(manager, &list, NULL) == HANGUP_OK) {
        count = hangup_connections_count(list);
    }
    for (size_t i = 0; i < count && used < room; i++) {
        hangup_connection_info c = {.size = sizeof c};
        if (hangup_connections_at(list, i, &c) == HANGUP_OK) {
            int more = snprintf(into + used, room - used, "%llu\t%s\t%s\t%s\t%lld\t%llu\t%llu\t%llu\n",
                                (unsigned long long)c.id, c.origin, hangup_connection_state_text(c.state), c.tls,
                                (long long)c.age_ms, (unsigned long long)c.requests, (unsigned long long)c.bytes_in,
                                (unsigned long long)c.bytes_out);
            used += more > 0 ? (size_t)more : 0;
        }
    }
    hangup_connections_free(list);
    hangup_manager_free(manager);
    return count;
}
