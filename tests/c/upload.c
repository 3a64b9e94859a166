/**
 * Bodies that are not one piece of memory: pushed, from a descriptor, rewound, forms; and what counts and slows them.
 * Servers: `echo` answers with the request's body, `moved` redirects with 307 to a server that answers with the body, `deaf`
 * never reads the body, `head` answers with the request's head.
 */
#include "queue.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

static char *put(hangup_request *request) {
    hangup_client *client = new_client(NULL);
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    CHECK_NUMBER(200, hangup_response_status_code(response));
    char *text = body_text(response);
    hangup_response_free(response);
    hangup_client_free(client);
    return text;
}

static void is_echoed(hangup_request *request, const char *expected) {
    char *text = put(request);
    CHECK_TEXT(expected, text);
    free(text);
    hangup_request_free(request);
}

/** A source that can go back; `fails` is what the rewind returns. */
struct source {
    const char *text;
    size_t given;
    int rewinds;
    int32_t fails;
    int ends;
};

static int64_t read_source(void *user_data, uint8_t *into, size_t room) {
    struct source *source = user_data;
    size_t left = strlen(source->text) - source->given;
    size_t now = left < room ? left : room;
    memcpy(into, source->text + source->given, now);
    source->given += now;
    return (int64_t)now;
}

static int32_t rewind_source(void *user_data) {
    struct source *source = user_data;
    source->given = 0;
    source->rewinds++;
    return source->fails;
}

static void end_source(void *user_data) {
    ((struct source *)user_data)->ends++;
}

static void a_body_is_rewound_after_a_redirect(void) {
    struct source source = {.text = "the source"};
    hangup_request *request = new_request("PUT", given("moved"));
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_body_rewindable(request, read_source, rewind_source, end_source, &source, 10, &error), error);
    is_echoed(request, "the source");
    CHECK_NUMBER(1, source.rewinds);
    CHECK_NUMBER(1, source.ends);

    struct source stuck = {.text = "the source", .fails = 5};
    request = new_request("PUT", given("moved"));
    CHECK_OK(hangup_request_set_body_rewindable(request, read_source, rewind_source, end_source, &stuck, -1, &error), error);
    hangup_client *client = new_client(NULL);
    hangup_response *none = NULL;
    CHECK_STATUS(HANGUP_BODY_FAILED, hangup_client_send(client, request, &none, &error), error);
    CHECK(strstr(hangup_error_message(error), "rewind callback returned 5") != NULL);
    hangup_error_free(error);
    hangup_client_free(client);
    hangup_request_free(request);
    CHECK_NUMBER(1, stuck.ends);
}

static hangup_upload *new_upload(hangup_request *request, int64_t length) {
    hangup_upload *upload = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_upload_new(length, &upload, &error), error);
    CHECK_OK(hangup_request_set_body_upload(request, upload, &error), error);
    return upload;
}

static void *write_pieces(void *argument) {
    hangup_upload *upload = argument;
    static uint8_t piece[1000];
    memset(piece, 'p', sizeof piece);
    for (int i = 0; i < 200; i++) {
        hangup_error *error = NULL;
        CHECK_OK(hangup_upload_write_all(upload, piece, sizeof piece, &error), error);
    }
    hangup_error *error = NULL;
    CHECK_OK(hangup_upload_finish(upload, &error), error);
    return NULL;
}

static void a_thread_writes_what_another_sends(void) {
    hangup_request *request = new_request("PUT", given("echo"));
    hangup_error *error = NULL;
    hangup_upload *upload = new_upload(request, HANGUP_NO_LIMIT);
    pthread_t writer;
    start(&writer, write_pieces, upload);
    char *text = put(request);
    join(writer);
    CHECK_NUMBER(200000, strlen(text));
    free(text);
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_upload_write_all(upload, (const uint8_t *)"x", 1, &error), error);
    hangup_error_free(error);
    hangup_upload_free(upload);
    hangup_request_free(request);
}

static void an_event_loop_writes_what_was_submitted(void) {
    hangup_client *client = new_client(NULL);
    hangup_request *request = new_request("PUT", given("echo"));
    hangup_queue *queue = hangup_queue_new();
    hangup_error *error = NULL;
    hangup_upload *upload = new_upload(request, 300000);
    CHECK_OK(hangup_request_set_buffer_body(request, HANGUP_NO_LIMIT, &error), error);
    CHECK_OK(hangup_client_submit(client, request, queue, 7, &error), error);
    static uint8_t piece[300000];
    memset(piece, 'e', sizeof piece);
    /* Half of it as there is room, and the rest in one submitted write. */
    size_t written = 0, taken = 0;
    struct pollfd room = {.fd = hangup_upload_fd(upload), .events = POLLIN};
    CHECK(room.fd >= 0);
    while (written < 150000) {
        CHECK_NUMBER(1, poll(&room, 1, 20000));
        CHECK_OK(hangup_upload_try_write(upload, piece, 150000 - written, &taken, &error), error);
        written += taken;
    }
    CHECK_OK(hangup_upload_submit_write(upload, piece, sizeof piece - written, queue, 8, &error), error);
    hangup_completion completion = HANGUP_COMPLETION_INIT;
    CHECK_OK(hangup_queue_next(queue, 20000, &completion), NULL);
    CHECK_NUMBER(8, completion.tag);
    CHECK_NUMBER(HANGUP_COMPLETION_TYPE_UPLOAD_WRITE, completion.type);
    CHECK_OK(completion.status, completion.error);
    CHECK_OK(hangup_upload_finish(upload, &error), error);
    completion = (hangup_completion)HANGUP_COMPLETION_INIT;
    CHECK_OK(hangup_queue_next(queue, 20000, &completion), NULL);
    CHECK_NUMBER(7, completion.tag);
    CHECK_OK(completion.status, completion.error);
    char *text = body_text(completion.response);
    CHECK_NUMBER(300000, strlen(text));
    free(text);
    hangup_response_free(completion.response);
    hangup_upload_free(upload);
    hangup_queue_free(queue);
    hangup_request_free(request);
    hangup_client_free(client);
}

static void *write_for_ever(void *argument) {
    static uint8_t piece[100000];
    hangup_error *error = NULL;
    while (hangup_upload_write_all(argument, piece, sizeof piece, &error) == HANGUP_OK) {
    }
    hangup_status status = hangup_error_status(error);
    hangup_error_free(error);
    return (void *)(intptr_t)status;
}

static void an_upload_that_is_aborted_fails_its_exchange(void) {
    hangup_client *client = new_client(NULL);
    hangup_queue *queue = hangup_queue_new();
    for (int frees = 0; frees < 2; frees++) {
        hangup_request *request = new_request("PUT", given("deaf"));
        hangup_error *error = NULL;
        hangup_upload *upload = new_upload(request, HANGUP_NO_LIMIT);
        CHECK_OK(hangup_client_submit(client, request, queue, 1, &error), error);
        if (frees == 0) {
            /* A thread is blocked in a write meanwhile, as the server takes nothing. */
            pthread_t writer;
            void *status = NULL;
            start(&writer, write_for_ever, upload);
            CHECK_OK(hangup_upload_abort(upload, "the tape broke", &error), error);
            CHECK(pthread_join(writer, &status) == 0);
            CHECK_NUMBER(HANGUP_INVALID_STATE, (intptr_t)status);
        }
        hangup_upload_free(upload);
        hangup_completion completion = HANGUP_COMPLETION_INIT;
        CHECK_OK(hangup_queue_next(queue, 20000, &completion), NULL);
        CHECK_NUMBER(HANGUP_BODY_FAILED, completion.status);
        CHECK(strstr(hangup_error_message(completion.error), frees ? "dropped" : "the tape broke") != NULL);
        hangup_error_free(completion.error);
        hangup_request_free(request);
    }
    hangup_queue_free(queue);
    hangup_client_free(client);
}

static void a_descriptor_is_a_body(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(write(ends[1], "through a pipe", 14) == 14);
    CHECK(close(ends[1]) == 0);
    hangup_request *request = new_request("PUT", given("echo"));
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_body_fd(request, ends[0], HANGUP_NO_LIMIT, &error), error);
    /* It was duplicated. */
    CHECK(close(ends[0]) == 0);
    is_echoed(request, "through a pipe");

    char path[] = "/tmp/hangup-upload-XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0 && unlink(path) == 0);
    CHECK(write(file, "...a file", 9) == 9 && lseek(file, 3, SEEK_SET) == 3);
    request = new_request("PUT", given("moved"));
    CHECK_OK(hangup_request_set_body_fd(request, file, 6, &error), error);
    CHECK(close(file) == 0);
    is_echoed(request, "a file");

    request = new_request("PUT", given("echo"));
    CHECK_STATUS(HANGUP_SYSTEM, hangup_request_set_body_fd(request, -1, 6, &error), error);
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_request_set_body_fd(request, 0, -2, &error), error);
    hangup_error_free(error);
    hangup_request_free(request);
}

static void a_form_has_parts_of_each_kind(void) {
    hangup_form *form = hangup_form_new();
    hangup_error *error = NULL;
    struct source source = {.text = "read"};
    CHECK_OK(hangup_form_set_boundary(form, "limit", &error), error);
    CHECK_OK(hangup_form_add_text(form, "a\"", "b", &error), error);
    CHECK_OK(hangup_form_add_bytes(form, "c", (const uint8_t *)"d", 1, "e.txt", "text/plain", &error), error);
    CHECK_OK(hangup_form_add_reader(form, "r", read_source, rewind_source, end_source, &source, 4, NULL, NULL, &error), error);
    hangup_request *request = new_request("POST", given("moved"));
    CHECK_OK(hangup_request_set_body_form(request, form, &error), error);
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_request_set_body_form(request, form, &error), error);
    hangup_error_free(error);
    hangup_form_free(form);
    is_echoed(request,
              "--limit\r\nContent-Disposition: form-data; name=\"a%22\"\r\n\r\nb\r\n"
              "--limit\r\nContent-Disposition: form-data; name=\"c\"; filename=\"e.txt\"\r\nContent-Type: text/plain\r\n\r\nd\r\n"
              "--limit\r\nContent-Disposition: form-data; name=\"r\"\r\n\r\nread\r\n"
              "--limit--\r\n");
    CHECK_NUMBER(1, source.rewinds);
    CHECK_NUMBER(1, source.ends);

    form = hangup_form_new();
    CHECK_OK(hangup_form_add_text(form, "a b", "1&2", &error), error);
    for (int i = 0; i < 2; i++) {
        request = new_request("POST", given("echo"));
        CHECK_OK(hangup_request_set_body_urlencoded(request, form, &error), error);
        is_echoed(request, "a+b=1%262");
    }
    CHECK_OK(hangup_form_add_file(form, "file", "/proc/self/status", NULL, NULL, &error), error);
    request = new_request("POST", given("head"));
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_request_set_body_urlencoded(request, form, &error), error);
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_SYSTEM, hangup_form_add_file(form, "file", "/nowhere", NULL, NULL, &error), error);
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_form_set_boundary(form, "a b", &error), error);
    hangup_error_free(error);
    CHECK_OK(hangup_request_set_body_form(request, form, &error), error);
    char *head = put(request);
    CHECK(strstr(head, "multipart/form-data; boundary=hangup-") != NULL);
    free(head);
    hangup_request_free(request);
    hangup_form_free(form);
}

static void progress_rates_and_expect(void) {
    hangup_progress *progress = hangup_progress_new();
    CHECK_NUMBER(-1, hangup_progress_bytes_to_send(progress));
    hangup_request *request = new_request("POST", given("echo"));
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_body(request, (const uint8_t *)"12345", 5, &error), error);
    CHECK_OK(hangup_request_set_progress(request, progress, &error), error);
    CHECK_OK(hangup_request_set_max_rate(request, 1000000, HANGUP_NO_LIMIT, &error), error);
    is_echoed(request, "12345");
    CHECK_NUMBER(5, hangup_progress_bytes_sent(progress));
    CHECK_NUMBER(5, hangup_progress_bytes_to_send(progress));
    CHECK_NUMBER(5, hangup_progress_bytes_received(progress));
    CHECK_NUMBER(5, hangup_progress_bytes_to_receive(progress));
    hangup_progress_free(progress);

    hangup_client *client = new_client(NULL);
    CHECK_OK(hangup_client_set_expect_continue(client, 10, &error), error);
    CHECK_OK(hangup_client_set_max_rate(client, 1000000, 1000000, &error), error);
    hangup_response *response = NULL;
    request = new_request("POST", given("head"));
    CHECK_OK(hangup_request_set_body(request, (const uint8_t *)"12345", 5, &error), error);
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    char *head = body_text(response);
    CHECK(strstr(head, "100-continue") != NULL);
    free(head);
    hangup_response_free(response);
    CHECK_OK(hangup_request_set_expect_continue(request, HANGUP_NO_LIMIT, &error), error);
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    head = body_text(response);
    CHECK(strstr(head, "100-continue") == NULL);
    free(head);
    hangup_response_free(response);
    CHECK_STATUS(HANGUP_INVALID_TIMEOUT, hangup_request_set_expect_continue(request, 0, &error), error);
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_request_set_max_rate(request, 0, 1, &error), error);
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_max_rate(client, 1, -7, &error), error);
    hangup_error_free(error);
    hangup_request_free(request);
    hangup_client_free(client);
}

enum { LARGE = 100000000 };

/** Reads one request, whose body is zeros and ends with "!" or with the last chunk, and responds at its end. */
static void *discard(void *argument) {
    static char buffer[64 * 1024];
    int connection = accept(*(int *)argument, NULL, NULL);
    char last[5] = {0};
    int64_t total = 0;
    CHECK(connection >= 0);
    while (memcmp(last, "0\r\n\r\n", 5) != 0 && last[4] != '!') {
        ssize_t got = read(connection, buffer, sizeof buffer);
        CHECK(got > 0);
        total += got;
        size_t end = got < 5 ? (size_t)got : 5;
        memmove(last, last + end, 5 - end);
        memcpy(last + 5 - end, buffer + got - end, end);
    }
    CHECK(total > LARGE);
    static const char done[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone";
    CHECK(write(connection, done, sizeof done - 1) == sizeof done - 1);
    CHECK(close(connection) == 0);
    return NULL;
}

static int64_t read_zeros(void *user_data, uint8_t *into, size_t room) {
    int64_t *left = user_data;
    size_t now = *left < (int64_t)room ? (size_t)*left : room;
    memset(into, 0, now);
    *left -= (int64_t)now;
    return (int64_t)now;
}

static void *write_zeros(void *upload) {
    static uint8_t piece[100000];
    hangup_error *error = NULL;
    for (size_t written = 0; written < LARGE; written += sizeof piece) {
        CHECK_OK(hangup_upload_write_all(upload, piece, sizeof piece, &error), error);
    }
    CHECK_OK(hangup_upload_finish(upload, &error), error);
    return NULL;
}

static long most_memory(void) {
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    while (fgets(line, sizeof line, status) != NULL && sscanf(line, "VmHWM: %ld", &kib) != 1) {
    }
    fclose(status);
    return kib;
}

static void the_memory_of_an_upload_does_not_depend_on_its_size(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 8) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&at, &size) == 0);
    char url[64], path[] = "/tmp/hangup-upload-XXXXXX";
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(at.sin_port));
    int file = mkstemp(path);
    CHECK(file >= 0 && pwrite(file, "!", 1, LARGE - 1) == 1);
    for (int way = 0; way < 3; way++) {
        hangup_request *request = new_request("PUT", url);
        hangup_upload *upload = NULL;
        hangup_error *error = NULL;
        pthread_t server, writer;
        int64_t left = LARGE;
        long before = most_memory();
        start(&server, discard, &listener);
        if (way == 0) {
            CHECK_OK(hangup_request_set_body_file(request, path, &error), error);
        } else if (way == 1) {
            CHECK_OK(hangup_request_set_body_reader(request, read_zeros, NULL, &left, HANGUP_NO_LIMIT, &error), error);
        } else {
            upload = new_upload(request, HANGUP_NO_LIMIT);
            start(&writer, write_zeros, upload);
        }
        is_echoed(request, "done");
        join(server);
        if (upload != NULL) {
            join(writer);
        }
        hangup_upload_free(upload);
        if (most_memory() - before > 4096) {
            FAIL("%ld KiB for 100 MB", most_memory() - before);
        }
    }
    CHECK(unlink(path) == 0 && close(file) == 0 && close(listener) == 0);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    a_body_is_rewound_after_a_redirect();
    a_thread_writes_what_another_sends();
    an_event_loop_writes_what_was_submitted();
    an_upload_that_is_aborted_fails_its_exchange();
    a_descriptor_is_a_body();
    a_form_has_parts_of_each_kind();
    progress_rates_and_expect();
    the_memory_of_an_upload_does_not_depend_on_its_size();
    return 0;
}
