/**
 * A good citizen of its process: every descriptor is closed by exec, no SIGPIPE is raised when the peer is gone, and
 * after fork the child works on its own while the parent's connections stay as they were. Servers: `hello` answers 200
 * "hello" for ever, `half` sends a head and ten bytes, `gone` reads the head and resets the connection.
 */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

enum { STDIO = 3, MOST = 1024 };

/** Which descriptors are open, before anything of hangup was used. */
static int open_before[MOST];

static void note_open(void) {
    for (int fd = 0; fd < MOST; fd++) {
        open_before[fd] = fcntl(fd, F_GETFD) >= 0;
    }
}

static void every_descriptor_is_closed_by_exec(void) {
    hangup_client *client = new_client(NULL);
    hangup_response *idle = get(client, given("hello")), *open = get(client, given("half"));
    check_body(idle, "hello");
    int found = 0;
    for (int fd = STDIO; fd < MOST; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || open_before[fd]) {
            continue;
        }
        found++;
        if ((flags & FD_CLOEXEC) == 0) {
            char link[64], target[128] = {0};
            snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            CHECK(readlink(link, target, sizeof target - 1) > 0);
            FAIL("descriptor %d (%s) would be inherited by exec", fd, target);
        }
    }
    CHECK(found >= 2);
    hangup_response_free(open);
    hangup_response_free(idle);
    hangup_client_free(client);
}

static volatile sig_atomic_t pipes;

static void count_pipe(int signal) {
    (void)signal;
    pipes++;
}

static int64_t endless(void *user_data, uint8_t *into, size_t room) {
    (void)user_data;
    memset(into, 'x', room);
    return (int64_t)room;
}

static void no_signal_is_raised_when_the_peer_is_gone(void) {
    struct sigaction counting = {.sa_handler = count_pipe}, before;
    CHECK_NUMBER(0, sigaction(SIGPIPE, &counting, &before));
    /* The program's handling of the signal is unchanged. */
    CHECK(before.sa_handler == SIG_DFL);
    hangup_client *client = new_client(NULL);
    for (int i = 0; i < 20; i++) {
        hangup_request *request = new_request("PUT", given("gone"));
        CHECK_OK(hangup_request_set_body_reader(request, endless, NULL, NULL, HANGUP_NO_LIMIT, NULL), NULL);
        hangup_response *response = NULL;
        hangup_error *error = NULL;
        hangup_status status = hangup_client_send(client, request, &response, &error);
        if (status != HANGUP_PEER_RESET && status != HANGUP_PEER_CLOSED) {
            FAIL("%s: %s", hangup_status_text(status), hangup_error_message(error));
        }
        hangup_error_free(error);
        hangup_request_free(request);
    }
    hangup_client_free(client);
    CHECK_NUMBER(0, pipes);
    CHECK_NUMBER(0, sigaction(SIGPIPE, &before, NULL));
}

/** In the child: a new request works on a new connection, what was inherited is refused or forgotten. */
static void in_the_child(hangup_client *client, hangup_response *inherited, hangup_events *events,
                         uint64_t connection) {
    hangup_manager *manager = hangup_client_manager(client);
    /* The parent's events are for the parent to read. */
    hangup_event event = {.size = sizeof event};
    CHECK_STATUS(HANGUP_FORKED, hangup_events_next(events, 0, &event), NULL);
    hangup_events_free(events);
    CHECK_OK(hangup_manager_events(manager, 1000, &events, NULL), NULL);
    CHECK_NUMBER(0, stats_of(manager).idle);
    hangup_response *response = get(client, given("hello"));
    CHECK_NUMBER(0, hangup_response_reused(response));
    CHECK(hangup_response_connection_id(response) != connection);
    check_body(response, "hello");
    hangup_response_free(response);
    response = get(client, given("hello"));
    CHECK_NUMBER(1, hangup_response_reused(response));
    check_body(response, "hello");
    hangup_response_free(response);

    CHECK_OK(hangup_events_next(events, 0, &event), NULL);
    CHECK_NUMBER(HANGUP_EVENT_TYPE_OPENED, event.type);
    hangup_events_free(events);

    char piece[64];
    size_t got = 0;
    hangup_error *error = NULL;
    CHECK_STATUS(HANGUP_FORKED, hangup_response_read(inherited, piece, sizeof piece, &got, &error), error);
    CHECK_NUMBER(HANGUP_FORKED, hangup_error_status(error));
    hangup_error_free(error);
    /* Freeing what was inherited must not say a word on the parent's connections. */
    hangup_response_free(inherited);
    hangup_client_free(client);
    hangup_manager_free(manager);
    exit(0);
}

/* LeakSanitizer asks at the exit. In a child it would miss the stacks of the parent's threads, and what only they point
 * to. */
static int is_the_child;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
    return is_the_child;
}

static void fork_leaves_the_parent_alone(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_events *events = NULL;
    CHECK_OK(hangup_manager_events(manager, 1000, &events, NULL), NULL);
    hangup_response *idle = get(client, given("hello")), *open = get(client, given("half"));
    check_body(idle, "hello");
    uint64_t connection = hangup_response_connection_id(idle);
    char piece[64];
    size_t got = 0;
    CHECK_OK(hangup_response_read(open, piece, sizeof piece, &got, NULL), NULL);

    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        is_the_child = 1;
        alarm(30);
        in_the_child(client, open, events, connection);
    }
    int status = 0;
    CHECK_NUMBER(child, waitpid(child, &status, 0));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        FAIL("the child ended with %#x", (unsigned)status);
    }

    /* Not an event is missing. */
    hangup_event event = {.size = sizeof event};
    CHECK_OK(hangup_events_next(events, 0, &event), NULL);
    CHECK_NUMBER(HANGUP_EVENT_TYPE_OPENED, event.type);
    CHECK_NUMBER(connection, event.connection);
    hangup_events_free(events);

    /* The idle connection is used again, and the open body is still open: it stalls, as it did. */
    CHECK_NUMBER(1, stats_of(manager).idle);
    CHECK_NUMBER(1, stats_of(manager).in_use);
    hangup_response *again = get(client, given("hello"));
    CHECK_NUMBER(connection, hangup_response_connection_id(again));
    check_body(again, "hello");
    hangup_response_free(again);
    hangup_response_free(idle);
    CHECK_OK(hangup_response_close(open, HANGUP_CLOSE_MODE_NOW), NULL);
    hangup_response_free(open);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

int main(int argc, char **argv) {
    note_open();
    begin(argc, argv);
    every_descriptor_is_closed_by_exec();
    no_signal_is_raised_when_the_peer_is_gone();
    fork_leaves_the_parent_alone();
    return 0;
}
