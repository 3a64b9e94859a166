/**
 * A connection that a response hands over, from C: read, written, ended and freed, by blocking calls and by a queue.
 * Servers: `switch` answers 101 with "early" behind its head and sends back what comes; `hello` answers 200 "hello" for
 * ever; `tunnel` answers 200 and sends back what comes; `stuck` answers 101 and neither reads nor writes.
 */
#include "queue.h"

static hangup_request *asking(const char *url) {
    hangup_request *request = new_request("GET", url);
    CHECK_OK(hangup_request_add_header(request, "Upgrade", "lines", NULL), NULL);
    return request;
}

/** The stream of a request, which is freed. */
static hangup_stream *opened(hangup_client *client, hangup_request *request) {
    hangup_response *response = NULL;
    hangup_stream *stream = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    CHECK_OK(hangup_response_take_stream(response, &stream, &error), error);
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_take_stream(response, &stream, NULL), NULL);
    hangup_response_free(response);
    hangup_request_free(request);
    return stream;
}

static void read_exactly(hangup_stream *stream, const char *expected) {
    char room[64];
    size_t got = 0;
    hangup_error *error = NULL;
    for (size_t have = 0; have < strlen(expected); have += got) {
        CHECK_OK(hangup_stream_read(stream, room, strlen(expected) - have, &got, &error), error);
        CHECK(got > 0 && memcmp(room, expected + have, got) == 0);
    }
}

static void write_text(hangup_stream *stream, const char *text) {
    hangup_error *error = NULL;
    CHECK_OK(hangup_stream_write_all(stream, (const uint8_t *)text, strlen(text), &error), error);
}

static void a_stream_is_read_and_written(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_stream *stream = opened(client, asking(given("switch")));
    uint64_t id = hangup_stream_connection_id(stream);
    CHECK(id > 0 && hangup_stream_buffered(stream) == 5);
    read_exactly(stream, "early");
    CHECK_NUMBER(0, hangup_stream_buffered(stream));
    write_text(stream, "hello");
    struct pollfd fd = {.fd = hangup_stream_fd(stream), .events = POLLIN};
    CHECK_NUMBER(1, poll(&fd, 1, (int)SOON));
    read_exactly(stream, "hello");
    CHECK_NUMBER(1, stats_of(manager).in_use);

    hangup_error *error = NULL;
    char room[8];
    size_t got = 4711;
    CHECK_OK(hangup_stream_set_timeout(stream, HANGUP_TIMEOUT_READ, 20, NULL), NULL);
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_stream_read(stream, room, sizeof room, &got, &error), error);
    CHECK_NUMBER(HANGUP_TIMEOUT_READ, hangup_error_timeout(error));
    hangup_error_free(error);
    CHECK_NUMBER(4711, got);
    CHECK_OK(hangup_stream_set_timeout(stream, HANGUP_TIMEOUT_READ, HANGUP_NO_LIMIT, NULL), NULL);
    CHECK_STATUS(HANGUP_INVALID_TIMEOUT, hangup_stream_set_timeout(stream, HANGUP_TIMEOUT_READ, 0, NULL), NULL);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_stream_set_timeout(stream, HANGUP_TIMEOUT_HEAD, 1, NULL), NULL);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_stream_read(stream, room, 0, &got, NULL), NULL);

    CHECK_OK(hangup_stream_shutdown_write(stream, NULL), NULL);
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_stream_write_all(stream, (const uint8_t *)"x", 1, NULL), NULL);
    CHECK_OK(hangup_stream_read(stream, room, sizeof room, &got, NULL), NULL);
    CHECK_NUMBER(0, got);
    CHECK_NUMBER(0, hangup_stream_is_closed(stream));
    CHECK_NUMBER(0, hangup_stream_is_closing(stream));
    CHECK_OK(hangup_manager_close_connection(manager, id, HANGUP_CLOSE_MODE_GRACEFUL, NULL), NULL);
    CHECK_NUMBER(1, hangup_stream_is_closing(stream));

    /* The last handle closes it. */
    hangup_stream *share = hangup_stream_ref(stream);
    hangup_stream_free(stream);
    CHECK_NUMBER(1, stats_of(manager).in_use);
    hangup_stream_free(share);
    CHECK_NUMBER(0, stats_of(manager).in_use);
    hangup_close_reason reason = (hangup_close_reason)0;
    CHECK_OK(hangup_manager_close_reason(manager, id, &reason), NULL);
    CHECK_NUMBER(HANGUP_CLOSE_REASON_STREAM_CLOSED, reason);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void a_queue_reads_and_writes_at_the_same_time(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_stream *stream = opened(client, asking(given("switch")));
    static uint8_t data[1000000];
    memset(data, 'd', sizeof data);
    CHECK_OK(hangup_stream_submit_write(stream, data, sizeof data, queue, 1, NULL), NULL);
    CHECK_OK(hangup_stream_submit_read(stream, 65536, queue, 2, NULL), NULL);
    size_t whole = 0;
    for (int written = 0; whole < sizeof data + 5 || !written;) {
        hangup_completion done = next(queue);
        CHECK_OK(done.status, done.error);
        if (done.tag == 1) {
            CHECK_NUMBER(HANGUP_COMPLETION_TYPE_STREAM_WRITE, done.type);
            written = 1;
            continue;
        }
        CHECK_NUMBER(HANGUP_COMPLETION_TYPE_STREAM_READ, done.type);
        CHECK(done.data_size > 0 && done.data_size <= 65536);
        CHECK(done.data[done.data_size - 1] == (whole + done.data_size <= 5 ? (uint8_t)"early"[whole + done.data_size - 1] : 'd'));
        whole += done.data_size;
        if (whole < sizeof data + 5) {
            CHECK_OK(hangup_stream_submit_read(stream, 65536, queue, 2, NULL), NULL);
        }
    }
    CHECK_NUMBER(sizeof data + 5, whole);

    CHECK_OK(hangup_stream_submit_read(stream, 10, queue, 3, NULL), NULL);
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_stream_submit_read(stream, 10, queue, 4, NULL), NULL);
    CHECK_OK(hangup_stream_submit_shutdown_write(stream, queue, 5, NULL), NULL);
    for (int i = 0; i < 2; i++) {
        hangup_completion done = next(queue);
        CHECK_OK(done.status, done.error);
        CHECK(done.data == NULL && done.data_size == 0);
    }
    hangup_stream_free(stream);
    stream = opened(client, asking(given("stuck")));
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_stream_submit_read(stream, 0, queue, 1, NULL), NULL);
    CHECK_NUMBER(1, stats_of(manager).in_use);
    CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_NOW, NULL), NULL);
    CHECK_NUMBER(0, stats_of(manager).in_use);
    hangup_stream_free(stream);
    check_nothing(queue);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void a_stream_ends_by_its_connection_and_by_a_free(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_stream *stream = opened(client, asking(given("stuck")));
    CHECK_OK(hangup_stream_submit_read(stream, 10, queue, 1, NULL), NULL);
    CHECK_OK(hangup_manager_close_connection(manager, hangup_stream_connection_id(stream), HANGUP_CLOSE_MODE_NOW, NULL), NULL);
    hangup_completion done = next(queue);
    CHECK_NUMBER(HANGUP_CLOSED, done.status);
    hangup_error_free(done.error);
    CHECK_NUMBER(1, hangup_stream_is_closed(stream));
    CHECK_NUMBER(-1, hangup_stream_fd(stream));
    hangup_stream_free(stream);

    /* A free while a read is in progress. */
    stream = opened(client, asking(given("stuck")));
    CHECK_OK(hangup_stream_submit_read(stream, 10, queue, 2, NULL), NULL);
    hangup_stream_free(stream);
    done = next(queue);
    CHECK_NUMBER(HANGUP_CLOSED, done.status);
    hangup_error_free(done.error);
    CHECK_NUMBER(0, stats_of(manager).in_use);

    /* A completion that is dropped with its queue: what was read is lost. */
    stream = opened(client, asking(given("switch")));
    CHECK_OK(hangup_stream_submit_read(stream, 10, queue, 3, NULL), NULL);
    CHECK_NUMBER(1, readable(queue, (int)SOON));
    hangup_queue_free(queue);
    CHECK_NUMBER(1, hangup_stream_is_closed(stream));
    hangup_stream_free(stream);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void connect_makes_a_tunnel(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_request *request = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_new_connect(given("tunnel"), "example.org:443", &request, &error), error);
    CHECK_TEXT("CONNECT", hangup_request_method(request));
    hangup_stream *stream = opened(client, request);
    write_text(stream, "through");
    read_exactly(stream, "through");
    CHECK_OK(hangup_stream_close(stream), NULL);
    CHECK_OK(hangup_stream_close(stream), NULL);
    CHECK_NUMBER(0, stats_of(manager).in_use);
    hangup_stream_free(stream);
    CHECK_STATUS(HANGUP_INVALID_URL, hangup_request_new_connect(given("tunnel"), "example.org", &request, NULL), NULL);

    hangup_response *response = get(client, given("hello"));
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_take_stream(response, &stream, NULL), NULL);
    check_body(response, "hello");
    hangup_response_free(response);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    a_stream_is_read_and_written();
    a_queue_reads_and_writes_at_the_same_time();
    a_stream_ends_by_its_connection_and_by_a_free();
    connect_makes_a_tunnel();
    return 0;
}
