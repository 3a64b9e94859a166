/**
 * What every benchmark of this folder needs: the clock, the CPU that was used, and how to stop over a failure.
 */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <hangup.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/** A number that is not to be trusted is worse than none: whatever fails ends the program. */
static inline void stop(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/** As stop, if `status` is a failure. By address: the call that gives `status` may not have been made yet when the
 * arguments after it are evaluated. */
static inline void check(hangup_status status, const char *what, hangup_error *const *error) {
    if (status != HANGUP_OK) {
        stop("%s: %s: %s", what, hangup_status_text(status), hangup_error_message(*error));
    }
}

/** Seconds since some moment. */
static inline double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/** Where the clocks stood: seconds on the wall, and of this process's CPU in its own code and in the kernel. */
typedef struct {
    double wall, user, kernel;
} usage;

static inline usage used(void) {
    struct rusage cpu;
    getrusage(RUSAGE_SELF, &cpu);
    usage at = {now(), (double)cpu.ru_utime.tv_sec + (double)cpu.ru_utime.tv_usec / 1e6,
                (double)cpu.ru_stime.tv_sec + (double)cpu.ru_stime.tv_usec / 1e6};
    return at;
}

static inline usage used_since(usage begin) {
    usage at = used();
    at.wall -= begin.wall;
    at.user -= begin.user;
    at.kernel -= begin.kernel;
    return at;
}

/** One line of `name=value` pairs; report.py takes medians over such lines. */
static inline void report_requests(usage took, long requests) {
    double each = 1e6 / (double)requests;
    printf("rps=%.0f user_us=%.3f cpu_us=%.3f\n", (double)requests / took.wall, took.user * each,
           (took.user + took.kernel) * each);
}

/** A large body's line: MB/s, and seconds of CPU a GB. */
static inline void report_bytes(usage took, double bytes) {
    double gb = bytes / 1e9;
    printf("mb_s=%.0f user_s_gb=%.4f sys_s_gb=%.4f cpu_s_gb=%.4f\n", bytes / 1e6 / took.wall, took.user / gb,
           took.kernel / gb, (took.user + took.kernel) / gb);
}

/** Does the same `warm_up` times, which dials and touches memory for the first time, and then `count` times, which is
 * what the result counts. */
static inline usage repeat(void (*once)(void *), void *with, long warm_up, long count) {
    for (long i = 0; i < warm_up; i++) {
        once(with);
    }
    usage begin = used();
    for (long i = 0; i < count; i++) {
        once(with);
    }
    return used_since(begin);
}

/** The value of an argument `name=value`, from `argv[from]` on; NULL if there is none. */
static inline const char *option(char **argv, int from, const char *name) {
    size_t size = strlen(name);
    for (int i = from; argv[i] != NULL; i++) {
        if (strncmp(argv[i], name, size) == 0 && argv[i][size] == '=') {
            return argv[i] + size + 1;
        }
    }
    return NULL;
}

static inline long option_number(char **argv, int from, const char *name, long otherwise) {
    const char *value = option(argv, from, name);
    return value != NULL ? atol(value) : otherwise;
}

/** N requests in flight: each one that ended begins the next. The first ones, which open the connections, are not
 * counted; nor is the end, when fewer and fewer are left. */
typedef struct {
    long in_flight, requests; /* as many as are counted */
    long ended;
    usage took; /* while it runs: where the clocks stood when counting began */
} closed_loop;

/** Says that one ended; answers whether another one shall begin. */
static inline int loop_goes_on(closed_loop *loop) {
    long warm_up = 2 * loop->in_flight + 1000;
    loop->ended++;
    if (loop->ended == warm_up) {
        loop->took = used();
    } else if (loop->ended == warm_up + loop->requests) {
        loop->took = used_since(loop->took);
    }
    return loop->ended < warm_up + loop->requests;
}

/** How many bytes BODY stands for: N for "size=N", and else its own. */
static inline size_t expected_size(const char *expected) {
    return strncmp(expected, "size=", 5) == 0 ? strtoul(expected + 5, NULL, 10) : strlen(expected);
}

/** Whether a body is BODY: these bytes, or N of any kind for "size=N". */
static inline int is_expected(const char *expected, const void *data, size_t size) {
    return size == expected_size(expected) &&
           (strncmp(expected, "size=", 5) == 0 || memcmp(data, expected, size) == 0);
}

/** As many descriptors as this process may have. */
static inline void allow_descriptors(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

#endif
