/**
 * A connection that the network has forgotten, as C sees it. `server` answers 200 "ok" for ever. Before each request on an
 * idle connection the program says "idle" and waits for a line: meanwhile the connection dies.
 */
#include "../c/check.h"
#include "../c/queue.h"

static void let_it_die(void) {
    puts("idle");
    fflush(stdout);
    CHECK(getchar() == '\n');
}

static void check_replaced(hangup_response *response) {
    CHECK_NUMBER(200, hangup_response_status_code(response));
    CHECK_NUMBER(2, hangup_response_attempts(response));
    check_body(response, "ok");
    hangup_response_free(response);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_response *response = get(client, given("server"));
    uint64_t first = hangup_response_connection_id(response);
    check_body(response, "ok");
    hangup_response_free(response);

    let_it_die();
    check_replaced(get(client, given("server")));
    hangup_close_reason reason = HANGUP_CLOSE_REASON_TOO_OLD;
    CHECK_OK(hangup_manager_close_reason(manager, first, &reason), NULL);
    CHECK_NUMBER(HANGUP_CLOSE_REASON_PEER_SILENT, reason);

    let_it_die();
    check_replaced(submitted(client, given("server"), queue));

    let_it_die();
    hangup_request *request = new_request("POST", given("server"));
    CHECK_OK(hangup_request_set_body(request, (const uint8_t *)"once", 4, NULL), NULL);
    hangup_error *error = NULL;
    response = NULL;
    CHECK_STATUS(HANGUP_PEER_SILENT, hangup_client_send(client, request, &response, &error), error);
    CHECK(response == NULL);
    CHECK_NUMBER(0, hangup_error_retry_safe(error));
    CHECK_NUMBER(1, hangup_error_reused(error));
    CHECK_NUMBER(1, hangup_error_attempts(error));
    hangup_error_free(error);

    /* A connection that has never answered may wait in the queue of a listener, so it has to answer once. */
    response = get(client, given("server"));
    check_body(response, "ok");
    hangup_response_free(response);
    let_it_die();
    submit(client, request, queue, 7);
    hangup_completion done = next(queue);
    CHECK_STATUS(HANGUP_PEER_SILENT, done.status, done.error);
    CHECK_NUMBER(0, hangup_error_retry_safe(done.error));
    hangup_error_free(done.error);

    hangup_request_free(request);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return 0;
}
