/**
 * @file check.h
 *
 * What the test programs share: checks that say what was expected, the servers named on the command line, clocks,
 * and a look at what the manager is doing. Each program is `int main`, prints nothing when all is well and exits 0.
 *
 * A program gets its servers as `name=url` arguments, so that it says what it needs and not where that is. Waiting
 * is for events (a connection's state, a counter), not for time; a time is only measured.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <errno.h>
#include <hangup.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int check_argc;
static char **check_argv;

/** Ends the program with the place of the failure. */
#define FAIL(...)                                            \
    do {                                                     \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);      \
        fprintf(stderr, __VA_ARGS__);                        \
        fputc('\n', stderr);                                 \
        exit(1);                                             \
    } while (0)

#define CHECK(condition)                                     \
    do {                                                     \
        if (!(condition)) {                                  \
            FAIL("not so: %s", #condition);                  \
        }                                                    \
    } while (0)

/** Two numbers are equal; both are shown when they are not. */
#define CHECK_NUMBER(expected, actual)                                                       \
    do {                                                                                     \
        long long check_e = (long long)(expected), check_a = (long long)(actual);            \
        if (check_e != check_a) {                                                            \
            FAIL("%s is %lld, not %lld (%s)", #actual, check_a, check_e, #expected);         \
        }                                                                                    \
    } while (0)

#define CHECK_TEXT(expected, actual)                                                         \
    do {                                                                                     \
        const char *check_e = (expected), *check_a = (actual);                               \
        if (check_a == NULL || strcmp(check_e, check_a) != 0) {                              \
            FAIL("%s is \"%s\", not \"%s\"", #actual, check_a ? check_a : "(NULL)", check_e); \
        }                                                                                    \
    } while (0)

/** A call answers this status. `error` is what it was given for its error, or NULL. */
#define CHECK_STATUS(expected, call, error)                                                  \
    do {                                                                                     \
        const hangup_status check_s = (call);                                                \
        if (check_s != (expected)) {                                                         \
            FAIL("%s answered %s, not %s: %s", #call, hangup_status_text(check_s),           \
                 hangup_status_text(expected), hangup_error_message(error));                 \
        }                                                                                    \
    } while (0)

#define CHECK_OK(call, error) CHECK_STATUS(HANGUP_OK, call, error)

static inline void begin(int argc, char **argv) {
    check_argc = argc;
    check_argv = argv;
}

/** The value of the argument `name=value`; NULL if there is none. */
static inline const char *given_or_null(const char *name) {
    size_t length = strlen(name);
    for (int i = 1; i < check_argc; i++) {
        if (strncmp(check_argv[i], name, length) == 0 && check_argv[i][length] == '=') {
            return check_argv[i] + length + 1;
        }
    }
    return NULL;
}

/** The value of the argument `name=value`, which must be there. */
static inline const char *given(const char *name) {
    const char *value = given_or_null(name);
    if (value == NULL) {
        FAIL("this program needs an argument %s=...", name);
    }
    return value;
}

static inline int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline void sleep_ms(int64_t ms) {
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    while (nanosleep(&wait, &wait) != 0 && errno == EINTR) {
    }
}

/** How many times slower than usual everything may be: valgrind and the sanitizers say so with HANGUP_SLOW. */
static inline int64_t slowness(void) {
    const char *slow = getenv("HANGUP_SLOW");
    int factor = slow == NULL ? 1 : atoi(slow);
    return factor < 1 ? 1 : factor;
}

static inline hangup_manager *new_manager(void) {
    hangup_manager *manager = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_manager_new(NULL, &manager, &error), error);
    return manager;
}

static inline hangup_client *new_client(hangup_manager *manager) {
    hangup_client *client = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_new(manager, &client, &error), error);
    return client;
}

static inline hangup_request *new_request(const char *method, const char *url) {
    hangup_request *request = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_request_new(method, url, &request, &error), error);
    return request;
}

/** GET, or the end of the program. */
static inline hangup_response *get(hangup_client *client, const char *url) {
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_get(client, url, 20000, &response, &error), error);
    return response;
}

/** The body to its end, as one text: no body of these tests holds a NUL. To be freed. */
static inline char *body_text(hangup_response *response) {
    const uint8_t *data = NULL;
    size_t size = 0;
    hangup_error *error = NULL;
    CHECK_OK(hangup_response_read_all(response, SIZE_MAX, &data, &size, &error), error);
    char *text = malloc(size + 1);
    CHECK(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    return text;
}

static inline void check_body(hangup_response *response, const char *expected) {
    char *text = body_text(response);
    CHECK_TEXT(expected, text);
    free(text);
}

static inline hangup_stats stats_of(hangup_manager *manager) {
    hangup_stats stats = {.size = sizeof stats};
    CHECK_OK(hangup_manager_stats(manager, &stats), NULL);
    return stats;
}

/** How many open connections are in a state. */
static inline size_t count_in(hangup_manager *manager, hangup_connection_state state) {
    hangup_connections *list = NULL;
    CHECK_OK(hangup_manager_connections(manager, &list, NULL), NULL);
    size_t found = 0;
    for (size_t i = 0; i < hangup_connections_count(list); i++) {
        hangup_connection_info info = {.size = sizeof info};
        CHECK_OK(hangup_connections_at(list, i, &info), NULL);
        if (info.state == state && (state != HANGUP_CONNECTION_STATE_IN_USE || info.bytes_out > 0)) {
            found++;
        }
    }
    hangup_connections_free(list);
    return found;
}

/** Waits until a connection is in this state (in use: and has sent something); ends the program after ten seconds. */
static inline void wait_for_state(hangup_manager *manager, hangup_connection_state state) {
    int64_t end = now_us() + 10000000 * slowness();
    while (count_in(manager, state) == 0) {
        if (now_us() > end) {
            FAIL("no connection came to be %s", hangup_connection_state_text(state));
        }
        sleep_ms(1);
    }
}

/** Waits until so many of the manager's connections are in use; ends the program after 10 seconds. */
static inline void wait_for_in_use(hangup_manager *manager, uint64_t count) {
    int64_t end = now_us() + 10000000 * slowness();
    while (stats_of(manager).in_use != count) {
        if (now_us() > end) {
            FAIL("%llu connections are in use", (unsigned long long)stats_of(manager).in_use);
        }
        sleep_ms(1);
    }
}

/** Waits until the manager has no open connection; ends the program after 15 seconds. */
static inline void wait_until_empty(hangup_manager *manager) {
    int64_t end = now_us() + 15000000 * slowness();
    while (stats_of(manager).open != 0) {
        if (now_us() > end) {
            FAIL("%llu connections stay open", (unsigned long long)stats_of(manager).open);
        }
        sleep_ms(1);
    }
}

/** How many sockets this process has open, also those that the library did not open. */
static inline int open_sockets(void) {
    int found = 0;
    DIR *all = opendir("/proc/self/fd");
    CHECK(all != NULL);
    for (struct dirent *one = readdir(all); one != NULL; one = readdir(all)) {
        char target[64] = {0};
        if (readlinkat(dirfd(all), one->d_name, target, sizeof target - 1) > 0) {
            found += strncmp(target, "socket:", 7) == 0;
        }
    }
    closedir(all);
    return found;
}

static inline void start(pthread_t *thread, void *(*run)(void *), void *argument) {
    CHECK_NUMBER(0, pthread_create(thread, NULL, run, argument));
}

static inline void join(pthread_t thread) {
    CHECK_NUMBER(0, pthread_join(thread, NULL));
}

#endif /* CHECK_H */
