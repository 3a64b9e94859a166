/**
 * Bodies of what is submitted: read piece by piece in the background, whole with the response, or here what was begun
 * there; ended by a close and by a free. Servers: `hello` answers 200 "hello" for ever; `large` sends 200,000 bytes;
 * `half` sends a head and ten bytes; `body` answers with the request's body.
 */
#include "queue.h"

static void a_body_is_read_piece_by_piece(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_response *response = submitted(client, given("large"), queue);
    size_t whole = 0;
    for (size_t at_most = 1; ; at_most = 2 * at_most + 1) {
        submit_read(response, at_most, queue, 7);
        /* Until the completion was taken, no other read is possible, whether the piece is here or not. */
        char room[8];
        size_t got = 4711;
        CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_read(response, room, sizeof room, &got, NULL), NULL);
        CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_submit_read(response, 1, queue, 8, NULL), NULL);
        CHECK_NUMBER(4711, got);
        hangup_completion done = next(queue);
        CHECK_OK(done.status, done.error);
        CHECK_NUMBER(HANGUP_COMPLETION_TYPE_READ, done.type);
        CHECK_NUMBER(7, done.tag);
        CHECK(done.response == NULL && done.data_size <= at_most && done.data_size <= 262144);
        for (size_t i = 0; i < done.data_size; i++) {
            CHECK(done.data[i] == 'x');
        }
        whole += done.data_size;
        if (done.data_size == 0) {
            CHECK(done.data == NULL);
            break;
        }
    }
    CHECK_NUMBER(200000, whole);
    CHECK_NUMBER(1, stats_of(manager).idle);
    hangup_response_free(response);

    /* A thread reads what the library began, and the library what a thread began. */
    response = submitted(client, given("large"), queue);
    const uint8_t *data = NULL;
    size_t size = 0;
    CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &data, &size, NULL), NULL);
    CHECK_NUMBER(200000, size);
    hangup_response_free(response);
    response = get(client, given("large"));
    submit_read(response, 100, queue, 9);
    size = next(queue).data_size;
    CHECK(size > 0 && size <= 100);
    CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &data, &whole, NULL), NULL);
    CHECK_NUMBER(200000, size + whole);
    CHECK_NUMBER(1, stats_of(manager).opened);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_response_submit_read(response, 0, queue, 9, NULL), NULL);
    hangup_response_free(response);
    check_nothing(queue);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void a_read_under_way_is_ended_by_a_close_and_by_a_free(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_response *response = at_the_stall(client, queue);
    check_nothing(queue);
    CHECK_OK(hangup_response_close(response, HANGUP_CLOSE_MODE_GRACEFUL), NULL);
    check_closed(queue);
    char room[8];
    size_t got = 0;
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_read(response, room, sizeof room, &got, NULL), NULL);
    hangup_response_free(response);

    hangup_response_free(at_the_stall(client, queue));
    check_closed(queue);
    CHECK_NUMBER(0, stats_of(manager).open);

    /* Also if the piece had come before. */
    for (int freed = 0; freed < 2; freed++) {
        response = submitted(client, given("large"), queue);
        submit_read(response, 100, queue, 3);
        CHECK_NUMBER(1, readable(queue, (int)SOON));
        if (freed) {
            hangup_response_free(response);
        } else {
            CHECK_OK(hangup_response_close(response, HANGUP_CLOSE_MODE_NOW), NULL);
        }
        check_closed(queue);
        if (!freed) {
            hangup_response_free(response);
        }
    }
    CHECK_NUMBER(0, stats_of(manager).open);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void what_has_arrived_is_read_without_a_wait(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_error *error = NULL;
    hangup_response *response = at_the_stall(client, queue);
    char room[70000];
    size_t got = 7;
    int32_t is_here = 7;
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_read_available(response, room, 10, &got, &is_here, NULL), NULL);
    CHECK_NUMBER(7, got);
    CHECK_NUMBER(7, is_here);
    hangup_response_free(response);
    check_closed(queue);

    hangup_request *request = new_request("GET", given("large"));
    CHECK_OK(hangup_request_set_buffer_body(request, INT64_MAX, &error), error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_request_set_buffer_up_to(request, -2, &error), error);
    CHECK_OK(hangup_request_set_buffer_up_to(request, 199999, &error), error);
    submit(client, request, queue, 1);
    hangup_completion done = next(queue);
    CHECK_OK(done.status, done.error);
    CHECK(done.data == NULL);
    CHECK_NUMBER(200000, hangup_response_left(done.response));
    size_t whole = 0, waits = 0;
    for (;;) {
        CHECK_OK(hangup_response_read_available(done.response, room, sizeof room, &got, &is_here, &error), error);
        if (!is_here) {
            CHECK_NUMBER(0, got);
            submit_read(done.response, 1, queue, 2);
            got = next(queue).data_size;
            waits++;
        }
        if (got == 0) {
            break;
        }
        whole += got;
    }
    CHECK_NUMBER(200000, whole);
    CHECK(waits <= whole);
    CHECK_NUMBER(0, stats_of(manager).in_use);
    hangup_response_free(done.response);
    CHECK_OK(hangup_request_set_buffer_up_to(request, HANGUP_NO_LIMIT, &error), error);
    submit(client, request, queue, 3);
    done = next(queue);
    CHECK_OK(done.status, done.error);
    CHECK_NUMBER(200000, done.data_size);
    hangup_response_free(done.response);
    hangup_request_free(request);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void a_whole_body_comes_with_its_response(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_request *request = new_request("GET", given("large"));
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_set_buffer_body(request, 200000, &error), error);
    submit(client, request, queue, 1);
    hangup_completion done = next(queue);
    CHECK_OK(done.status, done.error);
    CHECK_NUMBER(HANGUP_COMPLETION_TYPE_RESPONSE, done.type);
    CHECK(done.data_size == 200000 && done.data[0] == 'x' && done.data[199999] == 'x');
    CHECK_NUMBER(1, stats_of(manager).idle);

    /* It is read like any other, in pieces and in one, and a bound does not hurt it. */
    submit_read(done.response, 1000, queue, 2);
    hangup_completion piece = next(queue);
    CHECK_OK(piece.status, piece.error);
    CHECK_NUMBER(1000, piece.data_size);
    char room[1000];
    size_t size = 0;
    CHECK_OK(hangup_response_read(done.response, room, sizeof room, &size, &error), error);
    CHECK_NUMBER(1000, size);
    const uint8_t *data = NULL;
    CHECK_STATUS(HANGUP_TOO_LARGE, hangup_response_read_all(done.response, 10, &data, &size, NULL), NULL);
    CHECK_OK(hangup_response_read_all(done.response, SIZE_MAX, &data, &size, &error), error);
    CHECK_NUMBER(198000, size);
    CHECK_OK(hangup_response_read(done.response, room, sizeof room, &size, &error), error);
    CHECK_NUMBER(0, size);
    hangup_response_free(done.response);

    /* A larger one fails the request, and is said to have used its connection. */
    CHECK_OK(hangup_request_set_buffer_body(request, 199999, &error), error);
    submit(client, request, queue, 3);
    done = next(queue);
    CHECK_STATUS(HANGUP_TOO_LARGE, done.status, done.error);
    CHECK_NUMBER(HANGUP_PHASE_READ, hangup_error_phase(done.error));
    CHECK(hangup_error_connection_id(done.error) != 0);
    hangup_error_free(done.error);
    CHECK_NUMBER(0, stats_of(manager).open);

    /* So does a call that blocks. */
    hangup_response *response = NULL;
    CHECK_STATUS(HANGUP_TOO_LARGE, hangup_client_send(client, request, &response, NULL), NULL);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_request_set_buffer_body(request, -2, &error), error);
    hangup_error_free(error);
    CHECK_OK(hangup_request_set_buffer_body(request, HANGUP_NO_LIMIT, NULL), NULL);
    CHECK_OK(hangup_client_send(client, request, &response, NULL), NULL);
    hangup_response_free(response);
    hangup_request_free(request);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** What a request's body is read from: three pieces, each of which takes its time. */
struct source {
    int left, ended;
};

static int64_t three_pieces(void *user_data, uint8_t *into, size_t room) {
    struct source *source = user_data;
    CHECK(room >= 3);
    sleep_ms(20);
    memcpy(into, "abc", 3);
    return source->left-- > 0 ? 3 : 0;
}

static void count_end(void *user_data) {
    ((struct source *)user_data)->ended++;
}

static void a_body_from_a_reader_is_submitted_once(void) {
    hangup_client *client = new_client(NULL);
    hangup_queue *queue = new_queue();
    hangup_request *request = new_request("POST", given("body"));
    hangup_error *error = NULL;
    struct source source = {.left = 3};
    CHECK_OK(hangup_request_set_buffer_body(request, 1000, &error), error);
    CHECK_OK(hangup_request_set_body_reader(request, three_pieces, count_end, &source, HANGUP_NO_LIMIT, &error), error);
    submit(client, request, queue, 1);
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_client_submit(client, request, queue, 2, &error), error);
    CHECK(strstr(hangup_error_message(error), "give it a new one") != NULL);
    hangup_error_free(error);
    hangup_request_free(request);
    hangup_completion done = next(queue);
    CHECK_OK(done.status, done.error);
    CHECK(done.data_size == 9 && memcmp(done.data, "abcabcabc", 9) == 0);
    CHECK_NUMBER(1, source.ended);
    hangup_response_free(done.response);
    check_nothing(queue);
    hangup_queue_free(queue);
    hangup_client_free(client);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    a_body_is_read_piece_by_piece();
    a_read_under_way_is_ended_by_a_close_and_by_a_free();
    what_has_arrived_is_read_without_a_wait();
    a_whole_body_comes_with_its_response();
    a_body_from_a_reader_is_submitted_once();
    return 0;
}
