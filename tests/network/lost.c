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

/** What is told of a connection that was lost, in this order; other events come in between. */
static void check_story(hangup_events *events, uint64_t connection) {
    static const hangup_event_type story[] = {HANGUP_EVENT_TYPE_SUSPECTED, HANGUP_EVENT_TYPE_PROBED, HANGUP_EVENT_TYPE_LOST,
                                              HANGUP_EVENT_TYPE_CLOSED};
    hangup_event event = HANGUP_EVENT_INIT;
    size_t told = 0;
    while (told < sizeof story / sizeof story[0] && hangup_events_next(events, 0, &event) == HANGUP_OK) {
        if (event.connection == connection && event.type == story[told]) {
            told++;
        }
    }
    if (told < sizeof story / sizeof story[0]) {
        FAIL("there is no event \"%s\"", hangup_event_type_text(story[told]));
    }
    CHECK_NUMBER(HANGUP_CLOSE_REASON_PEER_SILENT, event.reason);
}

/** No byte of the request was acknowledged, and the error has the numbers. */
static void check_told(const hangup_error *error) {
    hangup_tcp_facts facts = HANGUP_TCP_FACTS_INIT;
    CHECK_NUMBER(HANGUP_ACKNOWLEDGED_NOTHING, hangup_error_acknowledged(error));
    CHECK_OK(hangup_error_tcp_facts(error, &facts), NULL);
    CHECK(facts.rtt_us > 0 && facts.silence_ms >= 900 && facts.retransmissions_in_row > 0);
    CHECK(facts.unacked_bytes >= (int64_t)hangup_error_bytes_sent(error));
    CHECK(strstr(hangup_error_message(error), "no byte of the request was acknowledged within") != NULL);
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
    hangup_events *events = NULL;
    CHECK_OK(hangup_manager_events(manager, 1000, &events, NULL), NULL);
    check_body(response, "ok");
    hangup_response_free(response);

    let_it_die();
    check_replaced(get(client, given("server")));
    hangup_close_reason reason = HANGUP_CLOSE_REASON_TOO_OLD;
    CHECK_OK(hangup_manager_close_reason(manager, first, &reason), NULL);
    CHECK_NUMBER(HANGUP_CLOSE_REASON_PEER_SILENT, reason);
    check_story(events, first);
    hangup_events_free(events);

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
    check_told(error);
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
    check_told(done.error);
    hangup_error_free(done.error);

    hangup_request_free(request);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return 0;
}
