/**
 * @file fail_nth.c
 *
 * Makes one call of a system or allocation function fail, or calls back just before it. Preloaded into a process
 * (ld.so(8), LD_PRELOAD), which finds the `fail_nth_` functions with dlsym(3) and says which call it shall be.
 *
 * A failure is one that the function's manual page names. Where the kernel does its work although it reports an
 * error (close(2), shutdown(2)), so does this. malloc is not here: Rust ends a process whose allocation fails
 * (std::alloc::handle_alloc_error), so there is nothing to test; the stacks of fibers and threads, which are what is
 * large, come from mmap and pthread_create, and those are here. write(2) is not here: what is written to are eventfds,
 * which only refuse a wake-up while another one is pending.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/** Not an error: the call is done for the first byte only. */
#define SHORT (-1000)

#define MOST_ERRORS 6

enum {
    SOCKET, BIND, CONNECT, SEND, SENDMSG, RECV, POLL, EPOLL_CREATE1, EPOLL_CTL, EPOLL_WAIT, EVENTFD, FCNTL,
    SETSOCKOPT, GETSOCKOPT, GETSOCKNAME, GETPEERNAME, SHUTDOWN, CLOSE, PTHREAD_CREATE, MMAP, MPROTECT, MADVISE,
    GETADDRINFO, OPEN, READ, STATX, FUNCTIONS
};

/** What each is called, and how it may fail; 0 ends the list. */
static const struct {
    const char *name;
    int errors[MOST_ERRORS];
} FUNCTION[FUNCTIONS] = {
    [SOCKET] = {"socket", {EMFILE, ENOBUFS}},
    [BIND] = {"bind", {EADDRINUSE}},
    [CONNECT] = {"connect", {ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, ENOBUFS}},
    [SEND] = {"send", {EINTR, EAGAIN, EPIPE, ECONNRESET, ENOBUFS, SHORT}},
    [SENDMSG] = {"sendmsg", {EINTR, EAGAIN, EPIPE, ECONNRESET, ENOBUFS, SHORT}},
    /* Not SHORT: with edge-triggered epoll a short count says that there is no more (epoll(7), question 9). */
    [RECV] = {"recv", {EINTR, EAGAIN, ECONNRESET, ETIMEDOUT, ENOMEM}},
    [POLL] = {"poll", {EINTR, ENOMEM}},
    [EPOLL_CREATE1] = {"epoll_create1", {EMFILE, ENOMEM}},
    [EPOLL_CTL] = {"epoll_ctl", {ENOMEM, ENOSPC}},
    [EPOLL_WAIT] = {"epoll_wait", {EINTR}},
    [EVENTFD] = {"eventfd", {EMFILE, ENOMEM}},
    [FCNTL] = {"fcntl", {EMFILE}},
    [SETSOCKOPT] = {"setsockopt", {EINVAL, ENOMEM}},
    [GETSOCKOPT] = {"getsockopt", {ENOBUFS}},
    [GETSOCKNAME] = {"getsockname", {ENOBUFS}},
    [GETPEERNAME] = {"getpeername", {ENOBUFS, ENOTCONN}},
    [SHUTDOWN] = {"shutdown", {ENOTCONN}},
    [CLOSE] = {"close", {EINTR, EIO}},
    [PTHREAD_CREATE] = {"pthread_create", {EAGAIN}},
    [MMAP] = {"mmap", {ENOMEM}},
    [MPROTECT] = {"mprotect", {ENOMEM}},
    [MADVISE] = {"madvise", {EAGAIN}},
    [GETADDRINFO] = {"getaddrinfo", {EAI_AGAIN, EAI_FAIL, EAI_MEMORY, EAI_SYSTEM}},
    [OPEN] = {"open", {EINTR, EMFILE, EACCES}},
    [READ] = {"read", {EINTR, EIO, SHORT}},
    [STATX] = {"statx", {EIO, ENOMEM}},
};

/** Any function, for a call back. */
#define ANY FUNCTIONS

/** What is armed: the function, how many calls are left until it is its turn, and what happens then. */
static _Atomic int armed_function = -1;
static _Atomic long calls_left;
static _Atomic int armed_error;
static _Atomic bool armed_for_good;
static void (*_Atomic armed_hook)(void);

static _Atomic bool counting;
static _Atomic long calls[FUNCTIONS + 1];
static __thread bool spared;

/** How many functions there are: they have the numbers below. */
int fail_nth_functions(void) {
    return FUNCTIONS;
}

const char *fail_nth_name(int function) {
    return FUNCTION[function].name;
}

/** An error that a function may fail with, by its place in the list of these; 0 after the last. */
int fail_nth_error(int function, int place) {
    return place < MOST_ERRORS ? FUNCTION[function].errors[place] : 0;
}

/** The calling thread's calls are neither counted nor made to fail. */
void fail_nth_spare(bool on) {
    spared = on;
}

static void begin(int function, long nth) {
    for (int i = 0; i <= FUNCTIONS; i++) {
        atomic_store(&calls[i], 0);
    }
    atomic_store(&armed_function, function);
    atomic_store(&calls_left, nth);
    atomic_store(&counting, true);
}

/** The `nth` call (from 1) of a function from now on fails with `error`; all later ones too, if it is `for_good`. */
void fail_nth_arm(int function, long nth, int error, bool for_good) {
    atomic_store(&armed_hook, NULL);
    atomic_store(&armed_error, error);
    atomic_store(&armed_for_good, for_good);
    begin(function, nth);
}

/** Before the `nth` call (from 1) of any function from now on, this is called, on the thread that calls. */
void fail_nth_hook(long nth, void (*hook)(void)) {
    atomic_store(&armed_hook, hook);
    begin(ANY, nth);
}

/** Nothing is counted any more, and nothing fails. */
void fail_nth_disarm(void) {
    atomic_store(&counting, false);
    atomic_store(&armed_function, -1);
}

/** How many calls of a function there were since it was armed; of any function for the number after the last. */
long fail_nth_calls(int function) {
    return atomic_load(&calls[function]);
}

/** A call of a function: the error that it shall end with, or 0. */
static int judge(int function) {
    if (spared || !atomic_load_explicit(&counting, memory_order_relaxed)) {
        return 0;
    }
    atomic_fetch_add(&calls[function], 1);
    atomic_fetch_add(&calls[ANY], 1);
    int armed = atomic_load(&armed_function);
    if (armed != function && armed != ANY) {
        return 0;
    }
    long left = atomic_fetch_sub(&calls_left, 1);
    if (armed == ANY) {
        void (*hook)(void) = atomic_load(&armed_hook);
        if (left == 1 && hook != NULL) {
            int before = errno;
            hook();
            errno = before;
        }
        return 0;
    }
    return left == 1 || (left < 1 && atomic_load(&armed_for_good)) ? atomic_load(&armed_error) : 0;
}

/** The function of the C library that a wrapper stands before. */
#define REAL(name)                                                    \
    static __typeof__(name) *real;                                    \
    if (real == NULL) {                                               \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);           \
    }

/** A connection that broke is broken from then on. */
static void break_connection(int fd, int failure) {
    if (failure == EPIPE || failure == ECONNRESET || failure == ETIMEDOUT) {
        REAL(shutdown)
        int before = errno;
        real(fd, SHUT_RDWR);
        errno = before;
    }
}

/** Fails as system calls do. */
#define FAIL_IF(function, result)            \
    int failure = judge(function);           \
    if (failure != 0 && failure != SHORT) {  \
        errno = failure;                     \
        return result;                       \
    }

/** Fails as they do on a connection. */
#define FAIL_CONNECTION_IF(function)                 \
    int failure = judge(function);                   \
    if (failure != 0 && failure != SHORT) {          \
        break_connection(fd, failure);               \
        errno = failure;                             \
        return -1;                                   \
    }

/** Fails, but not before the work is done. */
#define FAIL_AFTER(function, result)         \
    int failure = judge(function);           \
    if (failure != 0) {                      \
        errno = failure;                     \
        return -1;                           \
    }                                        \
    return result

#define SIZE_OF(count) (failure == SHORT && (count) > 1 ? 1 : (count))

int socket(int domain, int type, int protocol) {
    REAL(socket)
    FAIL_IF(SOCKET, -1)
    return real(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t size) {
    REAL(bind)
    FAIL_IF(BIND, -1)
    return real(fd, address, size);
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
    REAL(connect)
    FAIL_IF(CONNECT, -1)
    return real(fd, address, size);
}

ssize_t send(int fd, const void *data, size_t count, int flags) {
    REAL(send)
    FAIL_CONNECTION_IF(SEND)
    return real(fd, data, SIZE_OF(count), flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg)
    FAIL_CONNECTION_IF(SENDMSG)
    if (failure != SHORT || message->msg_iovlen == 0) {
        return real(fd, message, flags);
    }
    struct iovec first = message->msg_iov[0];
    first.iov_len = SIZE_OF(first.iov_len);
    struct msghdr part = *message;
    part.msg_iov = &first;
    part.msg_iovlen = 1;
    return real(fd, &part, flags);
}

ssize_t recv(int fd, void *into, size_t count, int flags) {
    REAL(recv)
    FAIL_CONNECTION_IF(RECV)
    return real(fd, into, SIZE_OF(count), flags);
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
    REAL(poll)
    FAIL_IF(POLL, -1)
    return real(fds, count, timeout);
}

int epoll_create1(int flags) {
    REAL(epoll_create1)
    FAIL_IF(EPOLL_CREATE1, -1)
    return real(flags);
}

/** Only adding takes memory. */
int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event) {
    REAL(epoll_ctl)
    if (what == EPOLL_CTL_ADD) {
        FAIL_IF(EPOLL_CTL, -1)
    }
    return real(epoll, what, fd, event);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
    REAL(epoll_wait)
    FAIL_IF(EPOLL_WAIT, -1)
    return real(epoll, events, most, timeout);
}

int eventfd(unsigned int value, int flags) {
    REAL(eventfd)
    FAIL_IF(EVENTFD, -1)
    return real(value, flags);
}

/** Only a copy of a descriptor takes a descriptor. */
#define FCNTL_WRAPPER(name)                                                                \
    int name(int fd, int command, ...) {                                                   \
        REAL(name)                                                                         \
        va_list rest;                                                                      \
        va_start(rest, command);                                                           \
        long argument = va_arg(rest, long);                                                \
        va_end(rest);                                                                      \
        if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {                            \
            FAIL_IF(FCNTL, -1)                                                             \
        }                                                                                  \
        return real(fd, command, argument);                                                \
    }
FCNTL_WRAPPER(fcntl)
FCNTL_WRAPPER(fcntl64)

int setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
    REAL(setsockopt)
    FAIL_IF(SETSOCKOPT, -1)
    return real(fd, level, option, value, size);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
    REAL(getsockopt)
    FAIL_IF(GETSOCKOPT, -1)
    return real(fd, level, option, value, size);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *size) {
    REAL(getsockname)
    FAIL_IF(GETSOCKNAME, -1)
    return real(fd, address, size);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *size) {
    REAL(getpeername)
    FAIL_IF(GETPEERNAME, -1)
    return real(fd, address, size);
}

int shutdown(int fd, int how) {
    REAL(shutdown)
    int result = real(fd, how);
    FAIL_AFTER(SHUTDOWN, result);
}

int close(int fd) {
    REAL(close)
    int result = real(fd);
    FAIL_AFTER(CLOSE, result);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    REAL(pthread_create)
    int failure = judge(PTHREAD_CREATE);
    return failure != 0 ? failure : real(thread, attributes, run, argument);
}

/** A fiber's stack is reserved without access. All else is std's, which panics (a signal stack for each thread). */
#define MMAP_WRAPPER(name)                                                                     \
    void *name(void *place, size_t size, int protection, int flags, int fd, off_t offset) {    \
        REAL(name)                                                                             \
        if (protection == PROT_NONE) {                                                         \
            FAIL_IF(MMAP, MAP_FAILED)                                                          \
        }                                                                                      \
        return real(place, size, protection, flags, fd, offset);                               \
    }
MMAP_WRAPPER(mmap)
MMAP_WRAPPER(mmap64)

/** As for mmap: std protects what is beyond its signal stacks. */
int mprotect(void *place, size_t size, int protection) {
    REAL(mprotect)
    if (protection != PROT_NONE) {
        FAIL_IF(MPROTECT, -1)
    }
    return real(place, size, protection);
}

int madvise(void *place, size_t size, int advice) {
    REAL(madvise)
    FAIL_IF(MADVISE, -1)
    return real(place, size, advice);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    REAL(getaddrinfo)
    int failure = judge(GETADDRINFO);
    if (failure != 0) {
        errno = EMFILE;
        return failure;
    }
    return real(host, service, hints, found);
}

#define OPEN_WRAPPER(name)                                     \
    int name(const char *path, int flags, ...) {               \
        REAL(name)                                             \
        va_list rest;                                          \
        va_start(rest, flags);                                 \
        mode_t mode = va_arg(rest, mode_t);                    \
        va_end(rest);                                          \
        FAIL_IF(OPEN, -1)                                      \
        return real(path, flags, mode);                        \
    }
OPEN_WRAPPER(open)
OPEN_WRAPPER(open64)

ssize_t read(int fd, void *into, size_t count) {
    REAL(read)
    FAIL_IF(READ, -1)
    return real(fd, into, SIZE_OF(count));
}

int statx(int directory, const char *restrict path, int flags, unsigned int mask, struct statx *restrict into) {
    REAL(statx)
    FAIL_IF(STATX, -1)
    return real(directory, path, flags, mask, into);
}
