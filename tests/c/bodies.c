/**
 * The bodies of requests: bytes, a file, a reader of known and of unknown length, and readers that fail or fall short.
 * However it ends, the reader's `end` is called exactly once. Servers: `echo` answers with the request's body, `deaf`
 * never reads the body, `refuse` answers 403 before the upload is over and closes.
 */
#include "queue.h"

/** A body reader that gives `length` bytes 'r', at most `piece` at a time, then what `last` says. */
struct reader {
    size_t length;
    size_t piece;
    int64_t last;
    size_t given;
    int calls;
    int ends;
    pthread_t sender;
};

static int64_t read_reader(void *user_data, uint8_t *into, size_t room) {
    struct reader *reader = user_data;
    /* On the sending thread, before the end, and with room for something. */
    CHECK(pthread_equal(reader->sender, pthread_self()));
    CHECK_NUMBER(0, reader->ends);
    CHECK(room > 0);
    reader->calls++;
    size_t left = reader->length - reader->given;
    size_t now = left < reader->piece ? left : reader->piece;
    now = now < room ? now : room;
    if (now == 0) {
        return reader->last;
    }
    memset(into, 'r', now);
    reader->given += now;
    return (int64_t)now;
}

static void end_reader(void *user_data) {
    ((struct reader *)user_data)->ends++;
}

static struct reader reader_of(size_t length, size_t piece, int64_t last) {
    return (struct reader){.length = length, .piece = piece, .last = last, .sender = pthread_self()};
}

/** PUTs from the reader; answers the status, the error through `error`, the echo as text through `echo`. */
static hangup_status put(const char *url, struct reader *reader, int64_t length, hangup_error **error, char **echo) {
    hangup_client *client = new_client(NULL);
    hangup_request *request = new_request("PUT", url);
    CHECK_OK(hangup_request_set_body_reader(request, read_reader, end_reader, reader, length, error), *error);
    hangup_response *response = NULL;
    hangup_status status = hangup_client_send(client, request, &response, error);
    if (status == HANGUP_OK && echo != NULL) {
        *echo = body_text(response);
    }
    /* A reader can be sent once: there is nothing left to send, and that is said. */
    hangup_error *again = NULL;
    hangup_response *none = NULL;
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_client_send(client, request, &none, &again), again);
    hangup_error_free(again);
    hangup_response_free(response);
    hangup_request_free(request);
    hangup_client_free(client);
    CHECK_NUMBER(1, reader->ends);
    return status;
}

static void bytes_are_copied_and_sent_more_than_once(void) {
    hangup_client *client = new_client(NULL);
    hangup_request *request = new_request("POST", given("echo"));
    char text[] = "these bytes";
    CHECK_OK(hangup_request_set_body(request, (const uint8_t *)text, strlen(text), NULL), NULL);
    memset(text, '?', strlen(text));
    hangup_request *copy = NULL;
    CHECK_OK(hangup_request_copy(request, &copy, NULL), NULL);
    CHECK_OK(hangup_request_set_body(copy, NULL, 0, NULL), NULL);
    for (int i = 0; i < 2; i++) {
        hangup_response *response = NULL;
        hangup_error *error = NULL;
        CHECK_OK(hangup_client_send(client, request, &response, &error), error);
        check_body(response, "these bytes");
        hangup_response_free(response);
    }
    hangup_response *response = NULL;
    CHECK_OK(hangup_client_send(client, copy, &response, NULL), NULL);
    check_body(response, "");
    hangup_response_free(response);
    hangup_request_free(copy);
    hangup_request_free(request);
    hangup_client_free(client);
}

static void count_end(void *user_data) {
    ++*(int *)user_data;
}

/** In steps, the last of which is shorter; and with a bound for all of them. */
static void a_body_is_read_into_memory_of_the_callers(void) {
    hangup_client *client = new_client(NULL);
    hangup_request *request = new_request("POST", given("echo"));
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_body(request, (const uint8_t *)"these bytes", 11, &error), error);
    hangup_response *response = NULL;
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    char room[8];
    size_t got = 0;
    CHECK_NUMBER(11, hangup_response_left(response));
    CHECK_OK(hangup_response_read_full(response, room, sizeof room, SIZE_MAX, &got, &error), error);
    CHECK_NUMBER(sizeof room, got);
    CHECK(memcmp(room, "these by", sizeof room) == 0);
    CHECK_NUMBER(3, hangup_response_left(response));
    CHECK_OK(hangup_response_read_full(response, room, sizeof room, SIZE_MAX, &got, &error), error);
    CHECK_NUMBER(3, got);
    CHECK(memcmp(room, "tes", 3) == 0);
    CHECK_NUMBER(0, hangup_response_left(response));
    CHECK_OK(hangup_response_read_full(response, room, sizeof room, SIZE_MAX, &got, &error), error);
    CHECK_NUMBER(0, got);
    hangup_response_free(response);
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    CHECK_STATUS(HANGUP_TOO_LARGE, hangup_response_read_full(response, room, sizeof room, 10, &got, &error), error);
    hangup_error_free(error);
    CHECK_NUMBER(-1, hangup_response_left(response));
    hangup_response_free(response);
    hangup_request_free(request);
    hangup_client_free(client);
}

/** Sent in both forms, more than once and by a clone; its end is when the last of them has let go of it. */
static void borrowed_bytes_are_held_until_their_end(void) {
    hangup_client *client = new_client(NULL);
    hangup_request *request = new_request("POST", given("echo"));
    hangup_queue *queue = new_queue();
    size_t size = (size_t)1024 * 1024;
    uint8_t *bytes = malloc(size);
    CHECK(bytes != NULL);
    memset(bytes, 'b', size);
    int ends = 0;
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_body_borrowed(request, bytes, size, count_end, &ends, &error), error);
    for (int i = 0; i < 2; i++) {
        hangup_response *response = NULL;
        CHECK_OK(hangup_client_send(client, request, &response, &error), error);
        const uint8_t *data = NULL;
        size_t got = 0;
        CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &data, &got, &error), error);
        CHECK_NUMBER(size, got);
        CHECK(memcmp(data, bytes, size) == 0);
        /* What was read can be freed before its response, once; that is no end to read. */
        CHECK_OK(hangup_response_free_body(response), NULL);
        CHECK_OK(hangup_response_free_body(response), NULL);
        CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_read_all(response, SIZE_MAX, &data, &got, NULL), NULL);
        hangup_response_free(response);
    }
    hangup_request *copy = NULL;
    CHECK_OK(hangup_request_copy(request, &copy, NULL), NULL);
    hangup_request_free(request);
    CHECK_NUMBER(0, ends);
    CHECK_OK(hangup_request_set_buffer_body(copy, (int64_t)size, NULL), NULL);
    submit(client, copy, queue, 1);
    CHECK_NUMBER(0, ends);
    hangup_request_free(copy);
    hangup_completion done = next(queue);
    CHECK_OK(done.status, done.error);
    CHECK_NUMBER(size, done.data_size);
    CHECK(memcmp(done.data, bytes, size) == 0);
    CHECK_NUMBER(1, ends);
    free(bytes);
    /* Before it was read whole there is nothing to free. */
    CHECK_OK(hangup_response_free_body(done.response), NULL);
    const uint8_t *data = NULL;
    size_t got = 0;
    CHECK_OK(hangup_response_read_all(done.response, SIZE_MAX, &data, &got, NULL), NULL);
    CHECK_NUMBER(size, got);
    hangup_response_free(done.response);
    /* A request without one, one that was replaced, and none at all. */
    request = new_request("POST", given("echo"));
    CHECK_OK(hangup_request_set_body_borrowed(request, (const uint8_t *)"a", 1, NULL, NULL, NULL), NULL);
    CHECK_OK(hangup_request_set_body_borrowed(request, (const uint8_t *)"b", 1, count_end, &ends, NULL), NULL);
    CHECK_OK(hangup_request_set_body_borrowed(request, NULL, 0, count_end, &ends, NULL), NULL);
    CHECK_NUMBER(2, ends);
    hangup_response *response = NULL;
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    check_body(response, "");
    hangup_response_free(response);
    hangup_request_free(request);
    CHECK_NUMBER(3, ends);
    hangup_queue_free(queue);
    hangup_client_free(client);
}

static void a_file_is_read_while_it_is_sent(void) {
    char path[] = "/tmp/hangup-body-XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0);
    static char content[300000];
    memset(content, 'f', sizeof content);
    CHECK_NUMBER(sizeof content, write(file, content, sizeof content));
    close(file);
    hangup_client *client = new_client(NULL);
    hangup_request *request = new_request("PUT", given("echo"));
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_body_file(request, path, &error), error);
    for (int i = 0; i < 2; i++) {
        hangup_response *response = NULL;
        CHECK_OK(hangup_client_send(client, request, &response, &error), error);
        char *echo = body_text(response);
        CHECK_NUMBER(sizeof content, strlen(echo));
        CHECK_NUMBER(sizeof content, strspn(echo, "f"));
        free(echo);
        hangup_response_free(response);
    }
    unlink(path);
    static const char *const bad[] = {"/no/such/file", "/tmp", "/dev/null"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_STATUS(HANGUP_SYSTEM, hangup_request_set_body_file(request, bad[i], &error), error);
        CHECK(strstr(hangup_error_message(error), bad[i]) != NULL);
        CHECK(i > 0 || hangup_error_os_code(error) == ENOENT);
        hangup_error_free(error);
    }
    hangup_request_free(request);
    hangup_client_free(client);
}

static void readers_that_do_well(void) {
    static const size_t pieces[] = {1, 1000, 1000000};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        for (int known = 0; known < 2; known++) {
            size_t length = pieces[i] == 1 ? 300 : 200000;
            struct reader reader = reader_of(length, pieces[i], 0);
            hangup_error *error = NULL;
            char *echo = NULL;
            int64_t said = known ? (int64_t)length : HANGUP_NO_LIMIT;
            CHECK_OK(put(given("echo"), &reader, said, &error, &echo), error);
            CHECK_NUMBER(length, strlen(echo));
            CHECK_NUMBER(length, strspn(echo, "r"));
            CHECK_NUMBER(length, reader.given);
            free(echo);
        }
    }
    /* Nothing at all, of both kinds. */
    for (int64_t said = -1; said <= 0; said++) {
        struct reader reader = reader_of(0, 1, 0);
        hangup_error *error = NULL;
        char *echo = NULL;
        CHECK_OK(put(given("echo"), &reader, said, &error, &echo), error);
        CHECK_TEXT("", echo);
        free(echo);
    }
}

static void readers_that_do_not(void) {
    static const struct {
        const char *what;
        size_t length;
        int64_t last, said;
    } cases[] = {
        {"fails at once", 0, -1, HANGUP_NO_LIMIT},
        {"fails later", 150000, -7, HANGUP_NO_LIMIT},
        {"fails within its length", 150000, -1, 200000},
        {"falls short", 1000, 0, 2000},
        {"gives nothing of something", 0, 0, 1},
        {"says it wrote more than there was room for", 10, INT64_MAX, HANGUP_NO_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reader reader = reader_of(cases[i].length, 1000, cases[i].last);
        hangup_error *error = NULL;
        hangup_status status = put(given("echo"), &reader, cases[i].said, &error, NULL);
        if (status != HANGUP_BODY_FAILED) {
            FAIL("a body that %s: %s", cases[i].what, hangup_status_text(status));
        }
        CHECK_NUMBER(HANGUP_BODY_FAILED, hangup_error_status(error));
        CHECK_NUMBER(HANGUP_PHASE_WRITE, hangup_error_phase(error));
        CHECK(strlen(hangup_error_message(error)) > 0);
        hangup_error_free(error);
    }
}

/** The end comes once also when the body is replaced, freed unsent, refused by the call or ended by a clock. */
static void the_end_is_called_exactly_once(void) {
    hangup_error *error = NULL;
    hangup_request *request = new_request("PUT", given("echo"));
    struct reader replaced = reader_of(10, 10, 0), unsent = replaced, refused = replaced, copied = replaced;
    CHECK_OK(hangup_request_set_body_reader(request, read_reader, end_reader, &replaced, 10, &error), error);
    CHECK_NUMBER(0, replaced.ends);
    CHECK_OK(hangup_request_set_body(request, NULL, 0, &error), error);
    CHECK_NUMBER(1, replaced.ends);
    CHECK_OK(hangup_request_set_body_reader(request, read_reader, end_reader, &unsent, 10, &error), error);
    hangup_request_free(request);
    CHECK_NUMBER(1, unsent.ends);
    CHECK_NUMBER(0, unsent.calls);

    request = new_request("PUT", given("echo"));
    hangup_status status = hangup_request_set_body_reader(request, read_reader, end_reader, &refused, -2, &error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, status, error);
    hangup_error_free(error);
    CHECK_NUMBER(1, refused.ends);
    CHECK_OK(hangup_request_set_body_reader(request, read_reader, end_reader, &copied, 10, &error), error);
    hangup_request *copy = NULL;
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_request_copy(request, &copy, &error), error);
    hangup_error_free(error);
    hangup_request_free(request);
    CHECK_NUMBER(1, copied.ends);

    hangup_client *client = new_client(NULL);
    struct reader endless = reader_of(SIZE_MAX, 65536, 0);
    request = new_request("PUT", given("deaf"));
    CHECK_OK(hangup_request_set_body_reader(request, read_reader, end_reader, &endless, HANGUP_NO_LIMIT, NULL), NULL);
    CHECK_OK(hangup_request_set_timeout(request, HANGUP_TIMEOUT_TOTAL, 150, NULL), NULL);
    hangup_response *response = NULL;
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_client_send(client, request, &response, &error), error);
    CHECK_NUMBER(HANGUP_PHASE_WRITE, hangup_error_phase(error));
    CHECK_NUMBER(HANGUP_SENT_PART, hangup_error_sent(error));
    CHECK(hangup_error_bytes_sent(error) > 65536);
    hangup_error_free(error);
    hangup_request_free(request);
    CHECK_NUMBER(1, endless.ends);
    hangup_client_free(client);
}

/** A large upload that is refused in the middle: the answer, not a broken pipe. */
static void an_early_answer_is_delivered(void) {
    hangup_client *client = new_client(NULL);
    struct reader reader = reader_of((size_t)64 * 1024 * 1024, 65536, 0);
    hangup_request *request = new_request("PUT", given("refuse"));
    CHECK_OK(hangup_request_set_body_reader(request, read_reader, end_reader, &reader, (int64_t)reader.length, NULL), NULL);
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    CHECK_NUMBER(403, hangup_response_status_code(response));
    check_body(response, "no");
    hangup_response_free(response);
    hangup_request_free(request);
    hangup_client_free(client);
    CHECK_NUMBER(1, reader.ends);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    bytes_are_copied_and_sent_more_than_once();
    borrowed_bytes_are_held_until_their_end();
    a_file_is_read_while_it_is_sent();
    a_body_is_read_into_memory_of_the_callers();
    readers_that_do_well();
    readers_that_do_not();
    the_end_is_called_exactly_once();
    an_early_answer_is_delivered();
    return 0;
}
