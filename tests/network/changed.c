/**
 * A machine whose address changes, as C sees it. `server` answers 200 "ok" for ever. With an idle connection the program says
 * "idle" and waits for a line: meanwhile the address becomes another one.
 */
#include "../c/check.h"
#include "../c/queue.h"

#include <unistd.h>

static void let_it_change(void) {
    puts("idle");
    fflush(stdout);
    CHECK(getchar() == '\n');
}

/** Reads events until the connection is closed for the change, which the manager tells of first. */
static void check_ended(hangup_events *events, uint64_t connection) {
    hangup_event event = HANGUP_EVENT_INIT;
    int32_t told = 0;
    do {
        CHECK_OK(hangup_events_next(events, SOON, &event), NULL);
        if (event.type == HANGUP_EVENT_TYPE_NETWORK_CHANGED) {
            CHECK_NUMBER(0, event.connection);
            CHECK_TEXT("", hangup_events_origin(events));
            told = 1;
        }
    } while (event.type != HANGUP_EVENT_TYPE_CLOSED || event.connection != connection);
    CHECK_NUMBER(HANGUP_CLOSE_REASON_NETWORK_CHANGED, event.reason);
    CHECK_NUMBER(1, told);
}

static uint64_t read_all(hangup_response *response) {
    uint64_t connection = hangup_response_connection_id(response);
    check_body(response, "ok");
    hangup_response_free(response);
    return connection;
}

int main(int argc, char **argv) {
    begin(argc, argv);
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_queue *queue = new_queue();
    hangup_events *events = NULL;
    CHECK_OK(hangup_manager_events(manager, 1000, &events, NULL), NULL);
    CHECK_NUMBER(1, hangup_manager_network_watch(manager));

    uint64_t connection = read_all(get(client, given("server")));
    let_it_change();
    check_ended(events, connection);
    connection = read_all(submitted(client, given("server"), queue));
    let_it_change();
    check_ended(events, connection);

    CHECK_OK(hangup_manager_set_network_watch(manager, 0), NULL);
    connection = read_all(get(client, given("server")));
    let_it_change();
    usleep(1200 * 1000);
    hangup_close_reason reason = HANGUP_CLOSE_REASON_TOO_OLD;
    CHECK_STATUS(HANGUP_NOT_FOUND, hangup_manager_close_reason(manager, connection, &reason), NULL);
    size_t closed = 0;
    CHECK_OK(hangup_manager_network_changed(manager, &closed), NULL);
    CHECK_NUMBER(1, closed);
    check_ended(events, connection);

    hangup_events_free(events);
    hangup_queue_free(queue);
    hangup_client_free(client);
    hangup_manager_free(manager);
    return 0;
}
