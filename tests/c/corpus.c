/**
 * Runs the corpus of cases about bytes on the wire through the C ABI. A case is one line, as `hangup-testserver corpus`
 * writes it: name, url, method, status name, HTTP status, body, fragment of the message, repeat, connections; then,
 * from tests/c_abi.rs, the request's headers (name, ": ", value, newline; a name alone is taken away), its body, its target, and
 * the letters g for a URL as it is given and r for a body from a reader. Tabs between, "-" for nothing.
 * Arguments: `cases=FILE`, `ca=FILE` with the CA of those that use TLS. Every case is run; all that fail are named. A
 * case has two seconds, since several servers stall on purpose.
 */
#include "check.h"

enum { NAME, URL, METHOD, STATUS, HTTP_STATUS, BODY, MESSAGE, REPEAT, CONNECTIONS, HEADERS, UPLOAD, TARGET, OPTIONS, FIELDS };

/** Splits a line in place. Fields that are not there are "-". */
static void split(char *line, char *fields[FIELDS]) {
    static char nothing[] = "-";
    line[strcspn(line, "\n")] = '\0';
    char *rest = line;
    for (int i = 0; i < FIELDS; i++) {
        fields[i] = rest == NULL ? nothing : strsep(&rest, "\t");
    }
}

/** Undoes \n, \r, \t and \\ in place. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from == '\\' && from[1] != '\0') {
            from++;
            *to++ = *from == 'n' ? '\n' : *from == 'r' ? '\r' : *from == 't' ? '\t' : *from;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static int expected(const char *field) {
    return strcmp(field, "-") != 0;
}

/** Gives out a text that `user_data` points into. */
static int64_t read_text(void *user_data, uint8_t *into, size_t room) {
    const char **rest = user_data;
    size_t size = strlen(*rest);
    size = size < room ? size : room;
    memcpy(into, *rest, size);
    *rest += size;
    return (int64_t)size;
}

static hangup_request *request_of(char *fields[FIELDS]) {
    hangup_request *request = NULL;
    hangup_error *error = NULL;
    if (strchr(fields[OPTIONS], 'g') != NULL) {
        CHECK_OK(hangup_request_new_as_given(fields[METHOD], fields[URL], &request, &error), error);
    } else {
        request = new_request(fields[METHOD], fields[URL]);
    }
    if (expected(fields[HEADERS])) {
        char *rest = fields[HEADERS];
        for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
            char *value = strstr(line, ": ");
            if (value == NULL) {
                if (*line != '\0') {
                    CHECK_OK(hangup_request_remove_header(request, line, &error), error);
                }
            } else {
                *value = '\0';
                CHECK_OK(hangup_request_add_header(request, line, value + 2, &error), error);
            }
        }
    }
    if (expected(fields[TARGET])) {
        CHECK_OK(hangup_request_set_target(request, fields[TARGET], &error), error);
    }
    if (strchr(fields[OPTIONS], 'r') != NULL) {
        static const char *rest;
        rest = fields[UPLOAD];
        CHECK_OK(hangup_request_set_body_reader(request, read_text, NULL, (void *)&rest, HANGUP_NO_LIMIT, &error), error);
    } else if (expected(fields[UPLOAD])) {
        const uint8_t *upload = (const uint8_t *)fields[UPLOAD];
        CHECK_OK(hangup_request_set_body(request, upload, strlen(fields[UPLOAD]), &error), error);
    }
    return request;
}

/** What came of one request: the head's status, then the body's end or the error. */
struct outcome {
    hangup_status status;
    int32_t http_status;
    char *body;
    size_t size;
    hangup_error *error;
};

static struct outcome send_once(hangup_client *client, hangup_request *request) {
    struct outcome outcome = {0};
    hangup_response *response = NULL;
    outcome.status = hangup_client_send(client, request, &response, &outcome.error);
    outcome.http_status = hangup_response_status_code(response);
    while (outcome.status == HANGUP_OK) {
        size_t got = 0;
        outcome.body = realloc(outcome.body, outcome.size + 4097);
        CHECK(outcome.body != NULL);
        outcome.status = hangup_response_read(response, outcome.body + outcome.size, 4096, &got, &outcome.error);
        if (outcome.status != HANGUP_OK || got == 0) {
            break;
        }
        outcome.size += got;
    }
    if (outcome.body != NULL) {
        outcome.body[outcome.size] = '\0';
    }
    hangup_response_free(response);
    return outcome;
}

/** What is wrong with the outcome, written to `wrong`; 0 if nothing is. */
static int judge(const struct outcome *outcome, char *fields[FIELDS], char *wrong, size_t room) {
    const char *status = hangup_status_text(outcome->status);
    const char *message = hangup_error_message(outcome->error);
    if (strcmp(status, fields[STATUS] + strlen("HANGUP_")) != 0) {
        snprintf(wrong, room, "%s (%s), not %s", status, message, fields[STATUS]);
    } else if (expected(fields[HTTP_STATUS]) && atoi(fields[HTTP_STATUS]) != outcome->http_status) {
        snprintf(wrong, room, "HTTP status %d, not %s", (int)outcome->http_status, fields[HTTP_STATUS]);
    } else if (expected(fields[BODY])
               && (outcome->body == NULL || outcome->size != strlen(fields[BODY])
                   || memcmp(outcome->body, fields[BODY], outcome->size) != 0)) {
        snprintf(wrong, room, "body \"%.80s\", not \"%.80s\"", outcome->body ? outcome->body : "", fields[BODY]);
    } else if (expected(fields[MESSAGE]) && strcasestr(message, fields[MESSAGE]) == NULL) {
        snprintf(wrong, room, "the message \"%s\" does not speak of \"%s\"", message, fields[MESSAGE]);
    } else {
        return 0;
    }
    return 1;
}

/** Whether the case went as expected; says what did not. */
static int run(char *line) {
    char *fields[FIELDS];
    split(line, fields);
    unescape(fields[BODY]);
    unescape(fields[MESSAGE]);
    unescape(fields[HEADERS]);
    unescape(fields[UPLOAD]);
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    if (strncmp(fields[URL], "https:", 6) == 0) {
        CHECK_OK(hangup_client_set_tls_roots_file(client, given("ca"), &error), error);
    }
    CHECK_OK(hangup_client_set_timeout(client, HANGUP_TIMEOUT_TOTAL, 2000 * slowness(), &error), error);
    hangup_request *request = request_of(fields);
    char wrong[512] = "";
    int bad = 0;
    for (int left = atoi(fields[REPEAT]); left > 0 && !bad; left--) {
        struct outcome outcome = send_once(client, request);
        if (left == 1) {
            bad = judge(&outcome, fields, wrong, sizeof wrong);
        } else if (outcome.status != HANGUP_OK) {
            bad = 1;
            snprintf(wrong, sizeof wrong, "with %d more to go: %s (%s)", left - 1,
                     hangup_status_text(outcome.status), hangup_error_message(outcome.error));
        }
        free(outcome.body);
        hangup_error_free(outcome.error);
    }
    uint64_t opened = stats_of(manager).opened;
    if (!bad && expected(fields[CONNECTIONS]) && opened != (uint64_t)atoi(fields[CONNECTIONS])) {
        bad = 1;
        snprintf(wrong, sizeof wrong, "%llu connections, not %s", (unsigned long long)opened, fields[CONNECTIONS]);
    }
    if (bad) {
        fprintf(stderr, "%s: %s\n", fields[NAME], wrong);
    }
    hangup_request_free(request);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return !bad;
}

int main(int argc, char **argv) {
    begin(argc, argv);
    FILE *cases = fopen(given("cases"), "r");
    CHECK(cases != NULL);
    char *line = NULL;
    size_t room = 0;
    int failed = 0, all = 0;
    while (getline(&line, &room, cases) > 0) {
        all++;
        failed += !run(line);
    }
    free(line);
    fclose(cases);
    CHECK(all > 0);
    if (failed > 0) {
        fprintf(stderr, "%d of %d cases failed\n", failed, all);
    }
    return failed > 0;
}
