/**
 * Runs the corpus of cases about bytes on the wire through the C ABI. A case is one line, as `hangup-testserver corpus`
 * writes it and tests/server/src/corpus.rs documents it. Arguments: `cases=FILE`, `ca=FILE` with the CA of those that use TLS,
 * `form=blocking` or `form=submitted`. Every case is run; all that fail are named. A case has two seconds, since several
 * servers stall on purpose.
 */
#include "check.h"

enum {
    NAME, URL, METHOD, STATUS, HTTP_STATUS, BODY, MESSAGE, REPEAT, CONNECTIONS, HEADERS, UPLOAD, TARGET, OPTIONS, PARTIAL, SEEN,
    RAW, TRAILERS, INTERIM, REASON, VERSION, LENGTH, FIELDS
};

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

/** The body is a form: each line is a field, its name, its file name and its content. */
static void set_form(hangup_request *request, const char *lines) {
    hangup_form *form = hangup_form_new();
    hangup_error *error = NULL;
    char *text = strdup(lines), *rest = text;
    CHECK_OK(hangup_form_set_boundary(form, "limit", &error), error);
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        const char *name = strsep(&line, "|"), *file = strsep(&line, "|");
        if (*file == '\0') {
            CHECK_OK(hangup_form_add_text(form, name, line, &error), error);
        } else {
            const uint8_t *content = (const uint8_t *)line;
            CHECK_OK(hangup_form_add_bytes(form, name, content, strlen(line), file, "text/plain", &error), error);
        }
    }
    CHECK_OK(hangup_request_set_body_form(request, form, &error), error);
    hangup_form_free(form);
    free(text);
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
    if (strchr(fields[OPTIONS], 'e') != NULL) {
        CHECK_OK(hangup_request_set_expect_continue(request, 60000, &error), error);
    }
    if (strchr(fields[OPTIONS], 'f') != NULL) {
        set_form(request, fields[UPLOAD]);
    } else if (strchr(fields[OPTIONS], 'p') != NULL) {
        hangup_upload *upload = NULL;
        CHECK_OK(hangup_upload_new(HANGUP_NO_LIMIT, &upload, &error), error);
        CHECK_OK(hangup_request_set_body_upload(request, upload, &error), error);
        for (const char *next = fields[UPLOAD]; *next != '\0'; next++) {
            CHECK_OK(hangup_upload_write_all(upload, (const uint8_t *)next, 1, &error), error);
        }
        CHECK_OK(hangup_upload_finish(upload, &error), error);
        hangup_upload_free(upload);
    } else if (strchr(fields[OPTIONS], 'r') != NULL) {
        static const char *rest;
        rest = fields[UPLOAD];
        CHECK_OK(hangup_request_set_body_reader(request, read_text, NULL, (void *)&rest, HANGUP_NO_LIMIT, &error), error);
    } else if (expected(fields[UPLOAD])) {
        const uint8_t *upload = (const uint8_t *)fields[UPLOAD];
        CHECK_OK(hangup_request_set_body(request, upload, strlen(fields[UPLOAD]), &error), error);
    }
    if (strchr(fields[OPTIONS], 'd') != NULL) {
        CHECK_OK(hangup_request_set_decode(request, 1, &error), error);
    }
    return request;
}

/** What came of one request: its response, then the body's end or the error. */
struct outcome {
    hangup_status status;
    int32_t http_status;
    hangup_response *response;
    char *body;
    size_t size;
    hangup_error *error;
};

/** Submits a request and waits for its response. */
static hangup_status submit(hangup_client *client, hangup_request *request, hangup_queue *queue, struct outcome *outcome) {
    hangup_status status = hangup_client_submit(client, request, queue, 1, &outcome->error);
    if (status != HANGUP_OK) {
        return status;
    }
    hangup_completion done = HANGUP_COMPLETION_INIT;
    CHECK_OK(hangup_queue_next(queue, HANGUP_NO_LIMIT, &done), NULL);
    outcome->response = done.response;
    outcome->error = done.error;
    return done.status;
}

/** Submits a read of the body, and copies the piece. */
static hangup_status submit_read(hangup_queue *queue, struct outcome *outcome, char *into, size_t room, size_t *got) {
    hangup_status status = hangup_response_submit_read(outcome->response, room, queue, 2, &outcome->error);
    if (status != HANGUP_OK) {
        return status;
    }
    hangup_completion done = HANGUP_COMPLETION_INIT;
    CHECK_OK(hangup_queue_next(queue, HANGUP_NO_LIMIT, &done), NULL);
    outcome->error = done.error;
    *got = done.data_size;
    if (done.data_size > 0) {
        memcpy(into, done.data, done.data_size);
    }
    return done.status;
}

/** With a queue, in the background. */
static struct outcome send_once(hangup_client *client, hangup_request *request, hangup_queue *queue) {
    struct outcome outcome = {0};
    outcome.status = queue == NULL ? hangup_client_send(client, request, &outcome.response, &outcome.error)
                                   : submit(client, request, queue, &outcome);
    outcome.http_status = hangup_response_status_code(outcome.response);
    while (outcome.status == HANGUP_OK) {
        size_t got = 0;
        outcome.body = realloc(outcome.body, outcome.size + 4097);
        CHECK(outcome.body != NULL);
        char *into = outcome.body + outcome.size;
        outcome.status = queue == NULL ? hangup_response_read(outcome.response, into, 4096, &got, &outcome.error)
                                       : submit_read(queue, &outcome, into, 4096, &got);
        if (outcome.status != HANGUP_OK || got == 0) {
            break;
        }
        outcome.size += got;
    }
    if (outcome.body != NULL) {
        outcome.body[outcome.size] = '\0';
    }
    return outcome;
}

/** Fields as the line has them: name, ": ", value, newline. The text is the caller's. */
static char *fields_of(const hangup_response *response, int which) {
    size_t count = which == TRAILERS ? hangup_response_trailer_count(response) : hangup_response_header_count(response);
    char *all = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&all, &size);
    CHECK(out != NULL);
    for (size_t i = 0; i < count; i++) {
        const char *name = NULL, *value = NULL;
        size_t length = 0;
        CHECK_OK(which == TRAILERS ? hangup_response_trailer_at(response, i, &name, &value, &length)
                 : which == RAW    ? hangup_response_raw_header_at(response, i, &name, &value, &length)
                                   : hangup_response_header_at(response, i, &name, &value, &length),
                 NULL);
        CHECK_NUMBER(strlen(value), length);
        fprintf(out, "%s: %s\n", name, value);
    }
    fclose(out);
    return all;
}

/** Whether these fields are all that there are, or, of SEEN, among them. */
static int fields_are(const hangup_response *response, int which, const char *wanted) {
    char *all = fields_of(response, which);
    int right = which != SEEN && strcmp(all, wanted) == 0;
    if (which == SEEN) {
        right = 1;
        for (const char *line = wanted; *line != '\0'; line += strcspn(line, "\n") + 1) {
            char *one = strndup(line, strcspn(line, "\n") + 1);
            right &= one != NULL && strstr(all, one) != NULL;
            free(one);
        }
    }
    free(all);
    return right;
}

/** The statuses of the interim responses, each with a comma behind it. */
static int interim_is(const hangup_response *response, const char *wanted) {
    char *all = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&all, &size);
    CHECK(out != NULL);
    for (size_t i = 0; i < hangup_response_interim_count(response); i++) {
        fprintf(out, "%d,", (int)hangup_response_interim_status_code(response, i));
        for (size_t header = 0; header < hangup_response_interim_header_count(response, i); header++) {
            CHECK_OK(hangup_response_interim_header_at(response, i, header, NULL, NULL, NULL), NULL);
        }
    }
    fclose(out);
    int right = strcmp(all, wanted) == 0;
    free(all);
    return right;
}

static int body_is(const struct outcome *outcome, const char *wanted) {
    return outcome->size == strlen(wanted) && (outcome->size == 0 || memcmp(outcome->body, wanted, outcome->size) == 0);
}

/** What is wrong with the outcome, written to `wrong`; 0 if nothing is. */
static int judge(const struct outcome *outcome, char *fields[FIELDS], char *wrong, size_t room) {
    const char *status = hangup_status_text(outcome->status);
    const char *message = hangup_error_message(outcome->error);
    if (strcmp(status, fields[STATUS] + strlen("HANGUP_")) != 0) {
        snprintf(wrong, room, "%s (%s), not %s", status, message, fields[STATUS]);
    } else if (expected(fields[HTTP_STATUS]) && atoi(fields[HTTP_STATUS]) != outcome->http_status) {
        snprintf(wrong, room, "HTTP status %d, not %s", (int)outcome->http_status, fields[HTTP_STATUS]);
    } else if (expected(fields[BODY]) && !body_is(outcome, fields[BODY])) {
        snprintf(wrong, room, "body \"%.80s\", not \"%.80s\"", outcome->body ? outcome->body : "", fields[BODY]);
    } else if (expected(fields[PARTIAL]) && !body_is(outcome, fields[PARTIAL])) {
        snprintf(wrong, room, "before the error \"%.80s\", not \"%.80s\"", outcome->body ? outcome->body : "",
                 fields[PARTIAL]);
    } else if (expected(fields[SEEN]) && !fields_are(outcome->response, SEEN, fields[SEEN])) {
        snprintf(wrong, room, "the headers have no %.200s", fields[SEEN]);
    } else if (expected(fields[RAW]) && !fields_are(outcome->response, RAW, fields[RAW])) {
        snprintf(wrong, room, "the raw headers are not %.200s", fields[RAW]);
    } else if (expected(fields[TRAILERS]) && !fields_are(outcome->response, TRAILERS, fields[TRAILERS])) {
        snprintf(wrong, room, "the trailers are not %.200s", fields[TRAILERS]);
    } else if (expected(fields[INTERIM]) && !interim_is(outcome->response, fields[INTERIM])) {
        snprintf(wrong, room, "the interim responses are not %.200s", fields[INTERIM]);
    } else if (expected(fields[REASON]) && strcmp(hangup_response_reason(outcome->response, NULL), fields[REASON]) != 0) {
        snprintf(wrong, room, "reason \"%.80s\", not \"%.80s\"", hangup_response_reason(outcome->response, NULL),
                 fields[REASON]);
    } else if (expected(fields[VERSION]) && hangup_response_version(outcome->response) != atoi(fields[VERSION])) {
        snprintf(wrong, room, "version %d, not %s", (int)hangup_response_version(outcome->response), fields[VERSION]);
    } else if (expected(fields[LENGTH]) && hangup_response_content_length(outcome->response) != atoll(fields[LENGTH])) {
        snprintf(wrong, room, "content length %lld, not %s",
                 (long long)hangup_response_content_length(outcome->response), fields[LENGTH]);
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
    static const int texts[] = {BODY, MESSAGE, HEADERS, UPLOAD, PARTIAL, SEEN, RAW, TRAILERS, REASON};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        unescape(fields[texts[i]]);
    }
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    if (strncmp(fields[URL], "https:", 6) == 0) {
        CHECK_OK(hangup_client_set_tls_roots_file(client, given("ca"), &error), error);
    }
    CHECK_OK(hangup_client_set_timeout(client, HANGUP_TIMEOUT_TOTAL, 2000 * slowness(), &error), error);
    hangup_request *request = request_of(fields);
    hangup_queue *queue = NULL;
    if (strcmp(given("form"), "submitted") == 0) {
        queue = hangup_queue_new();
        CHECK(queue != NULL);
    }
    char wrong[512] = "";
    int bad = 0;
    for (int left = atoi(fields[REPEAT]); left > 0 && !bad; left--) {
        struct outcome outcome = send_once(client, request, queue);
        if (left == 1) {
            bad = judge(&outcome, fields, wrong, sizeof wrong);
        } else if (outcome.status != HANGUP_OK) {
            bad = 1;
            snprintf(wrong, sizeof wrong, "with %d more to go: %s (%s)", left - 1,
                     hangup_status_text(outcome.status), hangup_error_message(outcome.error));
        }
        free(outcome.body);
        hangup_response_free(outcome.response);
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
    hangup_queue_free(queue);
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
