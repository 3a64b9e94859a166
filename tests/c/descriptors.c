/**
 * Out of descriptors: an error that says so, with the system's number, and everything works again once there are some.
 * Servers: `hello` answers 200 "hello" for ever.
 */
#include "check.h"

#include <fcntl.h>
#include <sys/resource.h>

enum { MOST = 256 };

static int taken[MOST];
static int count;

/** Takes every descriptor but `leave` of them. */
static void take_all_but(int leave) {
    for (count = 0; count < MOST; count++) {
        taken[count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (taken[count] < 0) {
            CHECK_NUMBER(EMFILE, errno);
            break;
        }
    }
    CHECK(count < MOST && count > leave);
    while (leave-- > 0) {
        close(taken[--count]);
    }
}

static void give_back(void) {
    while (count > 0) {
        close(taken[--count]);
    }
}

int main(int argc, char **argv) {
    begin(argc, argv);
    struct rlimit limit;
    CHECK_NUMBER(0, getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 64;
    CHECK_NUMBER(0, setrlimit(RLIMIT_NOFILE, &limit));

    /* From the very first call on (with nothing warmed up), and with few instead of none. */
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    for (int leave = 0; leave < 6; leave++) {
        take_all_but(leave);
        hangup_response *response = NULL;
        hangup_error *error = NULL;
        hangup_status status = hangup_client_get(client, given("hello"), 5000, &response, &error);
        if (status == HANGUP_OK) {
            /* So few are enough. */
            CHECK(leave > 0);
            check_body(response, "hello");
            hangup_response_free(response);
            CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_NOW, NULL), NULL);
        } else {
            CHECK(status == HANGUP_SYSTEM || status == HANGUP_CONNECT_FAILED);
            CHECK_NUMBER(EMFILE, hangup_error_os_code(error));
            CHECK_NUMBER(1, hangup_error_retry_safe(error));
            CHECK_NUMBER(HANGUP_SENT_NOTHING, hangup_error_sent(error));
            CHECK(strlen(hangup_error_message(error)) > 0);
            hangup_error_free(error);
        }
        CHECK_NUMBER(0, stats_of(manager).open);
        give_back();
    }

    /* Recovery, on a thread that saw the failures and on one that did not. */
    for (int i = 0; i < 2; i++) {
        hangup_response *response = get(client, given("hello"));
        CHECK_NUMBER(i, hangup_response_reused(response));
        check_body(response, "hello");
        hangup_response_free(response);
    }

    /* With an idle connection a request needs no descriptor at all. */
    take_all_but(0);
    hangup_response *response = get(client, given("hello"));
    CHECK_NUMBER(1, hangup_response_reused(response));
    check_body(response, "hello");
    hangup_response_free(response);
    give_back();
    hangup_client_free(client);
    hangup_manager_free(manager);
    return 0;
}
