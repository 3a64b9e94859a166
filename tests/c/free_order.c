/**
 * Handles freed in every order, from other threads, in the middle of a body: nothing crashes, nothing leaks, and what is
 * still held goes on working. Servers: `hello` answers 200 "hello", `large` sends 200,000 bytes, `half` a head and ten
 * bytes and then nothing, `silent` never answers.
 */
#include "check.h"

enum { MANAGER, CLIENT, REQUEST, RESPONSE, CANCEL, ERROR, HANDLES };

/** One of each, alive at the same time: the response is in mid-body, the error is of another exchange. */
struct set {
    hangup_manager *manager;
    hangup_client *client;
    hangup_request *request;
    hangup_response *response;
    hangup_cancel *cancel;
    hangup_error *error;
};

static struct set new_set(const char *url) {
    struct set set = {0};
    hangup_error *error = NULL;
    set.manager = new_manager();
    set.client = new_client(set.manager);
    set.cancel = hangup_cancel_new();
    set.request = new_request("GET", url);
    CHECK_OK(hangup_request_set_cancel(set.request, set.cancel), NULL);
    CHECK_OK(hangup_client_send(set.client, set.request, &set.response, &error), error);
    char piece[4];
    size_t got = 0;
    CHECK_OK(hangup_response_read(set.response, piece, sizeof piece, &got, &error), error);
    CHECK(got > 0);
    hangup_request *never = NULL;
    CHECK_STATUS(HANGUP_INVALID_URL, hangup_request_new("GET", "nonsense", &never, &set.error), NULL);
    return set;
}

static void free_one(struct set *set, int which) {
    switch (which) {
    case MANAGER: hangup_manager_free(set->manager); break;
    case CLIENT: hangup_client_free(set->client); break;
    case REQUEST: hangup_request_free(set->request); break;
    case RESPONSE: hangup_response_free(set->response); break;
    case CANCEL: hangup_cancel_free(set->cancel); break;
    case ERROR: hangup_error_free(set->error); break;
    default: FAIL("no such handle");
    }
}

/** Calls `visit` with every order of `order[at..]`. */
static void permute(int order[HANDLES], int at, void (*visit)(const int order[HANDLES])) {
    if (at == HANDLES) {
        visit(order);
        return;
    }
    for (int i = at; i < HANDLES; i++) {
        int kept = order[at];
        order[at] = order[i];
        order[i] = kept;
        permute(order, at + 1, visit);
        order[i] = order[at];
        order[at] = kept;
    }
}

static void free_all(const int order[HANDLES]) {
    struct set set = new_set(given("hello"));
    for (int i = 0; i < HANDLES; i++) {
        free_one(&set, order[i]);
    }
}

/** Frees a set from another thread, last first. */
static void *free_backwards(void *argument) {
    struct set *set = argument;
    for (int which = HANDLES - 1; which >= 0; which--) {
        free_one(set, which);
    }
    return NULL;
}

static void from_other_threads(void) {
    enum { THREADS = 8 };
    struct set sets[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        sets[i] = new_set(given(i % 2 == 0 ? "large" : "half"));
    }
    for (int i = 0; i < THREADS; i++) {
        start(&threads[i], free_backwards, &sets[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
}

/** A response keeps what it needs: its body is whole although everything else is gone. */
static void a_response_outlives_the_rest(void) {
    struct set set = new_set(given("large"));
    hangup_request_free(set.request);
    hangup_client_free(set.client);
    hangup_manager_free(set.manager);
    hangup_cancel_free(set.cancel);
    hangup_error_free(set.error);
    const uint8_t *data = NULL;
    size_t size = 0;
    hangup_error *error = NULL;
    CHECK_OK(hangup_response_read_all(set.response, SIZE_MAX, &data, &size, &error), error);
    CHECK(size >= 200000 - 4);
    CHECK_NUMBER(200, hangup_response_status_code(set.response));
    hangup_response_free(set.response);
}

/** Work whose handles are freed under it. */
struct work {
    hangup_client *client;
    hangup_request *request;
    hangup_status status;
};

static void *send(void *argument) {
    struct work *work = argument;
    hangup_response *response = NULL;
    work->status = hangup_client_send(work->client, work->request, &response, NULL);
    hangup_response_free(response);
    return NULL;
}

/** Freeing never fires and never closes: what runs goes on, and another share still ends it. */
static void a_running_request_outlives_the_other_shares(void) {
    hangup_manager *manager = new_manager();
    hangup_manager *watch = hangup_manager_ref(manager);
    hangup_client *client = new_client(manager);
    hangup_cancel *token = hangup_cancel_new(), *other = hangup_cancel_ref(token);
    struct work work = {hangup_client_ref(client), new_request("GET", given("silent")), HANGUP_OK};
    CHECK_OK(hangup_request_set_cancel(work.request, token), NULL);
    pthread_t thread;
    start(&thread, send, &work);
    wait_for_state(watch, HANGUP_CONNECTION_STATE_IN_USE);
    hangup_cancel_free(token);
    hangup_client_free(client);
    hangup_manager_free(manager);
    CHECK_NUMBER(1, count_in(watch, HANGUP_CONNECTION_STATE_IN_USE));
    hangup_cancel_fire(other, "enough");
    join(thread);
    CHECK_NUMBER(HANGUP_CANCELLED, work.status);
    hangup_cancel_free(other);
    hangup_client_free(work.client);
    hangup_request_free(work.request);
    hangup_manager_free(watch);
}

/** The last share of a manager closes the idle connections. */
static void the_last_share_closes_what_is_idle(void) {
    int sockets = open_sockets();
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_response *response = get(client, given("hello"));
    check_body(response, "hello");
    hangup_client_free(client);
    hangup_manager_free(manager);
    /* Text stays as long as the response, whatever else was freed. */
    CHECK_TEXT("5", hangup_response_header(response, "content-length", NULL));
    hangup_response_free(response);
    CHECK_NUMBER(sockets, open_sockets());
}

/** A snapshot and an error stand alone. */
static void snapshots_outlive_their_manager(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_response *response = get(client, given("hello"));
    hangup_connections *list = NULL;
    CHECK_OK(hangup_manager_connections(manager, &list, NULL), NULL);
    hangup_response_free(response);
    hangup_client_free(client);
    hangup_manager_free(manager);
    hangup_connection_info info = {.size = sizeof info};
    CHECK_OK(hangup_connections_at(list, 0, &info), NULL);
    CHECK(strncmp(info.origin, "http://", 7) == 0);
    hangup_connections_free(list);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    int order[HANDLES] = {MANAGER, CLIENT, REQUEST, RESPONSE, CANCEL, ERROR};
    permute(order, 0, free_all);
    from_other_threads();
    a_response_outlives_the_rest();
    a_running_request_outlives_the_other_shares();
    the_last_share_closes_what_is_idle();
    snapshots_outlive_their_manager();
    return 0;
}
