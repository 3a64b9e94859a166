/**
 * @file hangup.h
 *
 * hangup is an HTTP/1.1 client that gives its caller control over connections: it can bound, cancel, list, close and
 * observe them. C, C++ and Python code in one process share one connection manager.
 *
 * @code{.c}
 * #include <hangup.h>
 * #include <stdio.h>
 *
 * int main(void) {
 *     hangup_client *client = NULL;
 *     hangup_response *response = NULL;
 *     hangup_error *error = NULL;
 *     const uint8_t *body = NULL;
 *     size_t size = 0;
 *     if (hangup_client_new(NULL, &client, &error) == HANGUP_OK &&
 *         hangup_client_get(client, "https://example.org/", 5000, &response, &error) == HANGUP_OK &&
 *         hangup_response_read_all(response, 1000000, &body, &size, &error) == HANGUP_OK) {
 *         printf("status code %d, %zu bytes\n", (int)hangup_response_status_code(response), size);
 *     } else {
 *         fprintf(stderr, "%s\n", hangup_error_message(error));
 *     }
 *     hangup_error_free(error);
 *     hangup_response_free(response);
 *     hangup_client_free(client);
 *     return 0;
 * }
 * @endcode
 *
 * HOW THINGS ARE NAMED
 *
 * - A function is named for the handle that it works on: hangup_NOUN_VERB or hangup_NOUN_PROPERTY. Functions about the
 *   whole process or thread have no noun.
 * - hangup_NOUN_PROPERTY returns a property. hangup_NOUN_set_PROPERTY sets it. hangup_NOUN_add_PROPERTY adds one of
 *   several. hangup_NOUN_clear_PROPERTY removes all of them.
 * - hangup_NOUN_new creates a handle. hangup_NOUN_ref creates another handle for the same object.
 *   hangup_request_copy creates an independent copy. hangup_NOUN_free frees a handle.
 * - _free releases memory. _close, _fire and _shutdown act on connections.
 * - A constant is named for its type: those of hangup_close_mode begin with HANGUP_CLOSE_MODE_. Only the constants of
 *   hangup_status have no more than HANGUP_ before their names.
 * - Each enumeration has a function that returns the name of a value: hangup_close_mode_text for hangup_close_mode.
 * - A type of function pointers ends with _fn. A macro HANGUP_STRUCTURE_INIT initialises a structure.
 *
 * THE CONTRACT OF EVERY FUNCTION
 *
 * - Handles are opaque. Freeing NULL does nothing. Freeing never blocks. Handles can be freed in any order.
 * - A function that can fail returns a hangup_status; HANGUP_OK (0) is success. If its last argument
 *   `hangup_error **error` is not NULL, a failure is also described there; free that with hangup_error_free. It is
 *   written only on failure. There is no global or thread-local last error.
 * - Output arguments come last, before the error. They are written only on success.
 * - Strings that are passed in are NUL-terminated UTF-8 and are copied. Strings that are returned are NUL-terminated
 *   and borrowed: they live as long as the handle that returned them. Bytes are a pointer and a length; (NULL, 0) is
 *   no bytes.
 * - NULL in place of a required handle is HANGUP_NULL, a handle of another type is HANGUP_BAD_HANDLE, an unknown number
 *   is HANGUP_INVALID_ARGUMENT. A defect in the library is HANGUP_PANIC. Using a handle after it was freed is undefined
 *   behaviour; it is often reported as HANGUP_BAD_HANDLE, but don't rely on that.
 * - Times are milliseconds as int64_t. Zero is refused. HANGUP_NO_LIMIT is no limit.
 * - Threads: the comment of each handle says which of three classes it has: any thread at any time; one thread at a time;
 *   immutable.
 * - Callbacks (body readers, resolvers, interrupt checks and the functions that end them) return normally. On Linux with
 *   x86-64 or AArch64 they may also throw a C++ exception, or anything that unwinds the stack in the same way, such as
 *   a LuaJIT error. It is dropped, and the exchange ends as if the callback had returned a failure (HANGUP_BODY_FAILED,
 *   HANGUP_RESOLVE_FAILED, HANGUP_CANCELLED). Elsewhere an exception ends the process. longjmp, pthread_exit and a Rust
 *   panic must not leave a callback. On threads of the library, callbacks run with all signals blocked but SIGSEGV,
 *   SIGBUS, SIGFPE, SIGILL, SIGTRAP and SIGSYS.
 * - A thread can't be cancelled (pthread_cancel) inside a function of the library: it ends at its next cancellation point
 *   after that. hangup_cancel_fire ends a blocking call from another thread.
 * - Nothing has to be initialised or torn down. The library raises no signal (not even SIGPIPE), and its threads take no
 *   signal that is sent to the process. No descriptor is inherited by exec. After fork the child begins with an empty
 *   manager; the connections of the parent stay with the parent.
 * - A structure that the library fills begins with `size_t size`, its size as the caller compiled it. Initialise it with
 *   its HANGUP_*_INIT. A size of 0 is the layout of version 0.1. Later versions append fields.
 * - Later versions may add values to enumerations: keep a default branch.
 *
 * Needs C99 or C++11. Link with -lhangup.
 */

#ifndef HANGUP_H
#define HANGUP_H

/* Generated from src/ffi and src/vocabulary.rs by tests/header.rs. To change it, change these and run `make header`. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version ------------------------------------------------------------------------------------------------- */

/** The version of this header: major * 1000000 + minor * 1000 + patch. */
#define HANGUP_VERSION 1000
/** The version of this header as text. */
#define HANGUP_VERSION_TEXT "0.1.0"

/**
 * The version as one number: major * 1000000 + minor * 1000 + patch. Always grows.
 *
 * Compare with `HANGUP_VERSION`, the number of the header a program was compiled with.
 * A library may be newer than the header, never older.
 */
uint32_t hangup_version(void);

/** The version as text, for example "0.1.0". Static; never freed. */
const char *hangup_version_text(void);

/* ---- Handles ------------------------------------------------------------------------------------------------- */

/**
 * One failure, whole: what kind, in which phase, by which clock, and whether it is safe to send again.
 *
 * Begins: a call that fails writes one through its `hangup_error **error`, if that is not NULL.
 * Can: be asked. Every question to a NULL error has a harmless answer (HANGUP_OK, 0, "").
 * Ends: hangup_error_free.
 * Threads: immutable; any thread at any time.
 */
typedef struct hangup_error hangup_error;

/**
 * The pool: every open connection, its limits and its clocks.
 *
 * Begins: hangup_manager_shared (one for the whole process, the default everywhere) or hangup_manager_new.
 * Can: list, close, count, limit, tell its events, drain. Clients, requests in progress and responses keep it alive.
 * Ends: hangup_manager_free gives one share back; the last one closes the idle connections.
 * Threads: any thread at any time.
 */
typedef struct hangup_manager hangup_manager;

/**
 * Settings for a new manager.
 *
 * Begins: hangup_options_new. Can: hangup_options_set_limit. Ends: hangup_options_free; hangup_manager_new only reads it.
 * Threads: any thread at any time.
 */
typedef struct hangup_options hangup_options;

/**
 * A snapshot of the open connections.
 *
 * Begins: hangup_manager_connections. Can: _count, _at. Ends: hangup_connections_free.
 * Threads: immutable; any thread at any time.
 */
typedef struct hangup_connections hangup_connections;

/**
 * Somebody who listens to a manager: everything that happens to its connections from the beginning on, in the
 * order in which it happened, to be read once. Nothing is recorded while nobody listens.
 *
 * Begins: hangup_manager_events. Can: _next, _origin, _lost, _fd, _close. Ends: hangup_events_free. It keeps the
 * manager alive. In the child of a fork it answers HANGUP_FORKED: begin a new one there.
 * Threads: one thread at a time; a second one gets HANGUP_INVALID_STATE. _lost, _fd and _close: any thread at any
 * time.
 */
typedef struct hangup_events hangup_events;

/**
 * The addresses of one name, being put together by a hangup_resolve_fn.
 *
 * Begins and ends with the call of that function. Can: hangup_addresses_add.
 * Threads: any thread at any time, until the function returns.
 */
typedef struct hangup_addresses hangup_addresses;

/**
 * Defaults over a manager: timeouts, headers, redirects, cookies, TLS, proxy. Many clients may share one manager.
 *
 * Begins: hangup_client_new. Can: be set up, send requests from many threads at once, submit them to a queue. A setting
 * applies to requests that are sent or submitted after it. Ends: hangup_client_free; requests in progress go on.
 * Threads: any thread at any time.
 */
typedef struct hangup_client hangup_client;

/**
 * One request.
 *
 * Begins: hangup_request_new, hangup_request_copy. Can: be given headers, a body, limits, a connection mode
 * and a cancel token; be sent or submitted, more than once. Ends: hangup_request_free.
 * Threads: one thread at a time; a second one gets HANGUP_INVALID_STATE.
 */
typedef struct hangup_request hangup_request;

/**
 * One response: its head, and its body as a stream.
 *
 * Begins: hangup_client_get, hangup_client_send, hangup_client_submit. Can: tell its head; be read to the end, which
 * gives the connection back before the end is reported; be closed early. It does not matter where it was begun: any
 * thread may read it, and so may hangup_response_submit_read. Ends: hangup_response_free; a response that was not
 * read to its end closes its connection at once.
 * Threads: one thread at a time; but hangup_response_close may be called from any thread while another one is
 * blocked in a read or a submitted read is under way, and ends that read with HANGUP_CLOSED.
 */
typedef struct hangup_response hangup_response;

/**
 * A cancel token: fire it from any thread, in any state, any number of times.
 *
 * Firing ends every exchange that was sent with this token or with a child of it, in whatever phase: waiting
 * for a slot, resolving, connecting, in a handshake, sending, waiting, reading. The call that was blocked
 * answers HANGUP_CANCELLED in well under a millisecond, and the connection is closed. A token that is fired
 * after its exchange ended does nothing to the connection's next user.
 *
 * Begins: hangup_cancel_new, hangup_cancel_child. Can: _fire, _fire_after, _is_fired, _ref.
 * Ends: hangup_cancel_free gives a share back; freeing never fires.
 * Threads: any thread at any time.
 */
typedef struct hangup_cancel hangup_cancel;

/**
 * A completion queue: where the outcomes of submitted requests and reads arrive, each exactly once, in the order in
 * which they became known.
 *
 * Begins: hangup_queue_new. Can: _fd, _next, _close; be given to hangup_client_submit and hangup_response_submit_read,
 * for as many as you like. Ends: hangup_queue_free; what is under way then goes on until it is over (fire its cancel
 * tokens to end it), and what it brings is closed. In the child of a fork it answers HANGUP_FORKED: make a new one
 * there.
 * Threads: any thread at any time; many may wait at once, and each completion goes to one of them.
 */
typedef struct hangup_queue hangup_queue;

/**
 * A text that the library made.
 *
 * Begins: hangup_client_cookies_for. Can: hangup_string_value. Ends: hangup_string_free.
 * Threads: immutable; any thread at any time.
 */
typedef struct hangup_string hangup_string;

/* ---- Status and errors --------------------------------------------------------------------------------------- */

/** No limit. Zero is refused wherever a limit is given. */
#define HANGUP_NO_LIMIT ((int64_t)-1)

#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
/** Not part of the interface: enumerations have 32 bits, and may have values that this header does not know. */
#define HANGUP_ENUM_TYPE : int32_t
#else
#define HANGUP_ENUM_TYPE
#endif

/**
 * The kind of a failure. In C it is the status that a call returns, and HANGUP_OK (0) is success.
 *
 * Numbers are never changed or reused. Later versions may add some: keep a default branch.
 */
typedef enum HANGUP_ENUM_TYPE {
    /** Success. */
    HANGUP_OK = 0,
    /** A pointer that must not be NULL was NULL (C only). */
    HANGUP_NULL = 1,
    /** A handle of another type (C only). A handle that was freed is often reported so, too; don't rely on it. */
    HANGUP_BAD_HANDLE = 2,
    /** An argument is unknown or out of range; the message says what is legal. */
    HANGUP_INVALID_ARGUMENT = 3,
    /**
     * The URL can't be requested: not http or https, no host, a space or a control character, or a host that two
     * parsers would read differently: a backslash, too many or too few slashes, two @, a percent-encoded host, an
     * IPv4 address that is not written as four decimal numbers.
     */
    HANGUP_INVALID_URL = 4,
    /** The method is not a token (RFC 9110 section 9.1). */
    HANGUP_INVALID_METHOD = 5,
    /** A header's name or value is malformed, or contradicts a header that the library itself sends. */
    HANGUP_INVALID_HEADER = 6,
    /** A duration of zero or less. "No limit" is HANGUP_NO_LIMIT in C, `None` in Rust and Python. */
    HANGUP_INVALID_TIMEOUT = 7,
    /** The call is legal, but not now: a handle is used by two threads at once, or a body was already closed. */
    HANGUP_INVALID_STATE = 8,
    /** No connection with this id is open. */
    HANGUP_NOT_FOUND = 9,
    /** The cancel token was fired. The error has the reason that was given. */
    HANGUP_CANCELLED = 20,
    /** A timeout expired. The error says which one, and in which phase. */
    HANGUP_TIMED_OUT = 21,
    /**
     * The connection was closed in this process during the exchange: by id, by origin, with all others, or by closing
     * the response. Or the queue or event subscription was closed and is empty.
     */
    HANGUP_CLOSED = 22,
    /** The manager was shut down. */
    HANGUP_SHUT_DOWN = 23,
    /** The object belongs to the parent process. An exchange can't go on across fork. */
    HANGUP_FORKED = 24,
    /** As many requests as allowed wait for a connection already. */
    HANGUP_QUEUE_FULL = 25,
    /** The peer closed the connection before the response, inside its head or inside its body. */
    HANGUP_PEER_CLOSED = 30,
    /** The peer reset the connection. */
    HANGUP_PEER_RESET = 31,
    /** The host name could not be resolved. */
    HANGUP_RESOLVE_FAILED = 32,
    /** No address of the host accepted a connection. */
    HANGUP_CONNECT_FAILED = 33,
    /** The TLS handshake failed or a certificate was refused; the message says why. */
    HANGUP_TLS_FAILED = 34,
    /** The response is not valid HTTP/1.1 (RFC 9112). */
    HANGUP_PROTOCOL = 35,
    /** A size limit was exceeded: that of the response head, or the one that was given for the body. */
    HANGUP_TOO_LARGE = 36,
    /** The source of the request's body failed, or gave less than it had announced. */
    HANGUP_BODY_FAILED = 37,
    /**
     * The operating system refused: no free descriptor, thread or memory, or a file that can't be read. The error has
     * the system's error number; it is EAGAIN if no thread could be started.
     */
    HANGUP_SYSTEM = 38,
    /** The proxy refused, or its response is not that of a proxy. The error has the proxy's HTTP status code. */
    HANGUP_PROXY_FAILED = 39,
    /** The redirect target is not allowed; the message names it. */
    HANGUP_REDIRECT_REFUSED = 40,
    /** A defect in this library: please report it. The call had no effect beyond its own handle. */
    HANGUP_PANIC = 99,
} hangup_status;

#if !defined(__cplusplus) && defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Static_assert(sizeof(hangup_status) == sizeof(int32_t), "hangup can't be used with -fshort-enums");
#endif

/** The name of a status, for example "TIMED_OUT"; "UNKNOWN" for a number that this version does not have. Static. */
const char *hangup_status_text(hangup_status status);

/** The phase that an exchange was in. */
typedef enum HANGUP_ENUM_TYPE {
    /** No phase: nothing had begun, or everything was over. */
    HANGUP_PHASE_NONE = 0,
    /** Waiting for a connection slot. */
    HANGUP_PHASE_POOL = 1,
    /** Resolving the host name. */
    HANGUP_PHASE_RESOLVE = 2,
    /** Connecting. */
    HANGUP_PHASE_CONNECT = 3,
    /** In the handshake with a proxy. */
    HANGUP_PHASE_PROXY = 4,
    /** In the TLS handshake. */
    HANGUP_PHASE_TLS = 5,
    /** Sending the request. */
    HANGUP_PHASE_WRITE = 6,
    /** Waiting for the response head. */
    HANGUP_PHASE_HEAD = 7,
    /** Reading the body. */
    HANGUP_PHASE_READ = 8,
} hangup_phase;

/** The name of a phase, for example "connect"; "unknown" for a number that this version does not have. Static. */
const char *hangup_phase_text(hangup_phase phase);

/** The timeouts of a request. Those from total to read can be set; the others only appear in errors. */
typedef enum HANGUP_ENUM_TYPE {
    /** No timeout. */
    HANGUP_TIMEOUT_NONE = 0,
    /** From the call to the last byte of the body. Default: no limit. */
    HANGUP_TIMEOUT_TOTAL = 1,
    /** Waiting for a connection slot. Default: 30 s. */
    HANGUP_TIMEOUT_POOL = 2,
    /** Resolving the host name. Default: 10 s. */
    HANGUP_TIMEOUT_RESOLVE = 3,
    /** Connecting, all addresses together. Default: 10 s. */
    HANGUP_TIMEOUT_CONNECT = 4,
    /** The TLS handshake. Default: 10 s. */
    HANGUP_TIMEOUT_TLS = 5,
    /** Between two steps of sending the request. Default: 60 s. */
    HANGUP_TIMEOUT_WRITE = 6,
    /** From the request's last byte to the whole response head. Default: 60 s. */
    HANGUP_TIMEOUT_HEAD = 7,
    /** Between two pieces of the body. Default: 60 s. */
    HANGUP_TIMEOUT_READ = 8,
    /** The body came slower than the minimum rate of the request. */
    HANGUP_TIMEOUT_MIN_RATE = 9,
    /** The deadline of a cancel token. */
    HANGUP_TIMEOUT_TOKEN = 10,
} hangup_timeout;

/** The name of a timeout, for example "total"; "unknown" for a number that this version does not have. Static. */
const char *hangup_timeout_text(hangup_timeout timeout);

/** How much of the request was sent. */
typedef enum HANGUP_ENUM_TYPE {
    /** No byte. */
    HANGUP_SENT_NOTHING = 0,
    /** A part of it. */
    HANGUP_SENT_PART = 1,
    /** The whole request. */
    HANGUP_SENT_ALL = 2,
} hangup_sent;

/** The name of how much was sent, for example "part"; "unknown" for a number that this version does not have. Static. */
const char *hangup_sent_text(hangup_sent sent);

/** The kind: the same status the call answered. It never depends on the phase. */
hangup_status hangup_error_status(const hangup_error *error);

/** One sentence for people: what happened and, for bad input, what to do. Borrowed from the error. */
const char *hangup_error_message(const hangup_error *error);

/** Where the exchange was: one of HANGUP_PHASE_*. */
hangup_phase hangup_error_phase(const hangup_error *error);

/** Which clock fired: one of HANGUP_TIMEOUT_*; HANGUP_TIMEOUT_NONE unless the status is HANGUP_TIMED_OUT. */
hangup_timeout hangup_error_timeout(const hangup_error *error);

/**
 * The reason that was given to hangup_cancel_fire; NULL without one. It stands beside the status and never
 * replaces it. Borrowed from the error.
 */
const char *hangup_error_reason(const hangup_error *error);

/** The operating system's error number (errno), 0 if none was involved. */
int32_t hangup_error_os_code(const hangup_error *error);

/**
 * 1 if sending the same request again can't make the server do it twice: no byte of it went out, or the
 * method is idempotent (RFC 9110 section 9.2.2) or it has an Idempotency-Key. 0 otherwise. Whether the body can
 * be sent again is for the caller to know: what came from a reader can't. After a redirect this speaks of the whole
 * call, from its first URL.
 */
int32_t hangup_error_retry_safe(const hangup_error *error);

/** The id of the connection that was used; 0 if there was none yet. */
uint64_t hangup_error_connection(const hangup_error *error);

/** 1 if that connection had served a request before, else 0. */
int32_t hangup_error_reused(const hangup_error *error);

/** How much of the request went out: one of HANGUP_SENT_*. */
hangup_sent hangup_error_sent(const hangup_error *error);

/** How many bytes of the request the operating system took: head and body, before TLS. */
uint64_t hangup_error_bytes_sent(const hangup_error *error);

/** 1 if at least one byte of the response had come, else 0. */
int32_t hangup_error_response_started(const hangup_error *error);

/**
 * How often the request was sent or tried to be: 1 without a retry (hangup_client_set_retries), 0 if it never came to
 * that. After redirects this counts the last one's attempts only.
 */
uint32_t hangup_error_attempts(const hangup_error *error);

/**
 * The HTTP status that a proxy refused with, or of the response that redirects to where can't be followed; 0 if
 * there was none.
 */
int32_t hangup_error_status_code(const hangup_error *error);

/** After a hangup_manager_drain that ran out of time: how many connections were left. 0 for any other error. */
uint64_t hangup_error_open_connections(const hangup_error *error);

/** Frees an error. NULL is a no-op. */
void hangup_error_free(hangup_error *error);

/* ---- Manager: creation --------------------------------------------------------------------------------------- */

/**
 * The process's own manager: C, C++ and Python code that names none shares this one.
 *
 * Returns a new share, to be given back with hangup_manager_free; NULL only after a defect in the library.
 */
hangup_manager *hangup_manager_shared(void);

/** A manager of one's own. `options` may be NULL: the defaults. */
hangup_status hangup_manager_new(const hangup_options *options,
                                 hangup_manager **manager,
                                 hangup_error **error);

/** One more share of the same manager; NULL for NULL. To be freed as well. */
hangup_manager *hangup_manager_ref(const hangup_manager *manager);

/** Gives one share back. NULL is a no-op. Never blocks. */
void hangup_manager_free(hangup_manager *manager);

/**
 * The manager's number. Equal numbers mean the same manager, whoever asks: C, C++, Python or another language
 * in this process. 0 for NULL.
 */
uint64_t hangup_manager_id(const hangup_manager *manager);

/* ---- Manager: limits ----------------------------------------------------------------------------------------- */

/** The limits of a manager. HANGUP_NO_LIMIT removes each of them. */
typedef enum HANGUP_ENUM_TYPE {
    /**
     * Open connections: being dialled, in use and idle together. Default: no limit; 0 is refused (use
     * hangup_manager_drain or hangup_manager_shutdown). At the limit the least recently used idle connection is
     * closed for a new one; if none is idle, requests wait, for at most HANGUP_TIMEOUT_POOL.
     */
    HANGUP_LIMIT_TOTAL = 1,
    /** Open connections of one origin, counted as HANGUP_LIMIT_TOTAL does. Default: no limit; 0 is refused. */
    HANGUP_LIMIT_PER_ORIGIN = 2,
    /** Idle connections. Default: 256; 0 keeps none. Over it, the least recently used one is closed. */
    HANGUP_LIMIT_IDLE_TOTAL = 3,
    /** Idle connections of one origin. Default: 64; 0 keeps none. */
    HANGUP_LIMIT_IDLE_PER_ORIGIN = 4,
    /**
     * Requests that may wait for a connection. Default: 10,000; one more fails with HANGUP_QUEUE_FULL at once. With 0
     * no request waits.
     */
    HANGUP_LIMIT_QUEUE = 5,
    /** How long a connection may be idle, in milliseconds. Default: 90,000; 0 is refused. Checked in the background. */
    HANGUP_LIMIT_IDLE_MS = 6,
    /**
     * How old a connection may become, in milliseconds. Each connection gets up to a tenth less, so that connections
     * that were opened together don't close together. It is closed between exchanges, never inside one. Default: no
     * limit; 0 is refused.
     */
    HANGUP_LIMIT_AGE_MS = 7,
    /** Requests that one connection may serve; it is closed after the last one. Default: no limit; 0 is refused. */
    HANGUP_LIMIT_REQUESTS = 8,
    /**
     * After how many milliseconds without traffic the kernel probes whether the peer is alive (SO_KEEPALIVE, tcp(7)),
     * for connections that are opened later. Default: 15,000; 0 is refused; HANGUP_NO_LIMIT never probes.
     */
    HANGUP_LIMIT_KEEP_ALIVE_MS = 9,
} hangup_limit;

/** The name of a limit, for example "per_origin"; "unknown" for a number that this version does not have. Static. */
const char *hangup_limit_text(hangup_limit limit);

/** Options with the defaults. To be freed with hangup_options_free. */
hangup_options *hangup_options_new(void);

/** Sets one limit, as hangup_manager_set_limit does on a manager. */
hangup_status hangup_options_set_limit(hangup_options *options,
                                       hangup_limit limit,
                                       int64_t value,
                                       hangup_error **error);

/** Frees options. NULL is a no-op. */
void hangup_options_free(hangup_options *options);

/**
 * Sets one limit (HANGUP_LIMIT_*), at any time; HANGUP_NO_LIMIT takes it away. A lowered limit applies to what
 * is idle at once and to the rest when its exchange ends; a raised one lets in who waits.
 *
 * Fails: HANGUP_INVALID_ARGUMENT (unknown limit, negative number, 0 where the limit refuses it),
 * HANGUP_INVALID_TIMEOUT (0 ms).
 */
hangup_status hangup_manager_set_limit(hangup_manager *manager,
                                       hangup_limit limit,
                                       int64_t value,
                                       hangup_error **error);

/**
 * Tells one limit (HANGUP_LIMIT_*): `value` gets what hangup_manager_set_limit would set; HANGUP_NO_LIMIT is none.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for an unknown limit.
 */
hangup_status hangup_manager_limit(const hangup_manager *manager,
                                   hangup_limit limit,
                                   int64_t *value);

/* ---- Manager: connections ------------------------------------------------------------------------------------ */

/** The state of an open connection. */
typedef enum HANGUP_ENUM_TYPE {
    /** Resolving the host name. */
    HANGUP_CONNECTION_STATE_RESOLVING = 1,
    /** Connecting. */
    HANGUP_CONNECTION_STATE_CONNECTING = 2,
    /** In the handshake with a proxy. */
    HANGUP_CONNECTION_STATE_PROXY = 3,
    /** In the TLS handshake. */
    HANGUP_CONNECTION_STATE_TLS = 4,
    /** Serving an exchange. */
    HANGUP_CONNECTION_STATE_IN_USE = 5,
    /** Open and free for the next request. */
    HANGUP_CONNECTION_STATE_IDLE = 6,
} hangup_connection_state;

/** The name of a connection's state, for example "idle"; "unknown" for a number that this version does not have. Static. */
const char *hangup_connection_state_text(hangup_connection_state state);

/**
 * One open connection. Begin it with HANGUP_CONNECTION_INFO_INIT. Text is borrowed from the
 * list.
 */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** Its id: unique in the process, never used again. */
    uint64_t id;
    /** Where to, for example "https://example.org:443". */
    const char *origin;
    /** The peer's address and port, for example "127.0.0.1:8080"; "" while it is not connected. */
    const char *peer;
    /** The local address and port; "" while it is not connected. */
    const char *local;
    /** The TLS version, for example "TLSv1.3"; "" for plain text. */
    const char *tls;
    /** What it is doing: one of HANGUP_CONNECTION_STATE_*. */
    hangup_connection_state state;
    /** 1 if it will be closed when its exchange ends (graceful close), else 0. */
    int32_t closing;
    /** Milliseconds since it began to be dialled. */
    int64_t age_ms;
    /** Milliseconds since it became idle; -1 if it is not idle. */
    int64_t idle_ms;
    /** Requests begun on it. */
    uint64_t requests;
    /** Bytes received, on the wire. */
    uint64_t bytes_in;
    /** Bytes sent, on the wire. */
    uint64_t bytes_out;
} hangup_connection_info;

/** Initialises a hangup_connection_info. */
#define HANGUP_CONNECTION_INFO_INIT {sizeof(hangup_connection_info), 0, NULL, NULL, NULL, NULL, (hangup_connection_state)0, 0, 0, 0, 0, 0, 0}

/** Lists the open connections: those being dialled, in use and idle. None twice, none that is closed. */
hangup_status hangup_manager_connections(const hangup_manager *manager,
                                         hangup_connections **list,
                                         hangup_error **error);

/** How many connections the snapshot holds. 0 for NULL. */
size_t hangup_connections_count(const hangup_connections *list);

/**
 * Fills `info` with row `index`. `info->size` is sizeof(*info) or 0.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is no such row.
 */
hangup_status hangup_connections_at(const hangup_connections *list,
                                    size_t index,
                                    hangup_connection_info *info);

/** Frees a snapshot and the text borrowed from it. NULL is a no-op. */
void hangup_connections_free(hangup_connections *list);

/** Counters of a manager since it began. Begin it with HANGUP_STATS_INIT. */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** Open now: dialling, in use and idle together. */
    uint64_t open;
    /** Being resolved, connected or in a handshake now. */
    uint64_t dialling;
    /** Serving an exchange now. */
    uint64_t in_use;
    /** Idle now. */
    uint64_t idle;
    /** Opened since the beginning. */
    uint64_t opened;
    /** Closed since the beginning, for whatever reason. */
    uint64_t closed;
    /** Requests that found an idle connection. */
    uint64_t reused;
    /** Dials that failed, were cancelled or timed out. */
    uint64_t dials_failed;
    /** Idle connections that the look at checkout found dead. */
    uint64_t stale;
    /** Requests waiting for a connection now. */
    uint64_t queued;
    /** Idle connections that the look in the background found closed by the peer, or talking. */
    uint64_t swept;
    /** Requests that had to wait for a connection. */
    uint64_t waited;
    /** Requests that were refused because the queue was full. */
    uint64_t refused;
    /** Requests that were sent again, because a kept connection broke before the response. */
    uint64_t retried;
} hangup_stats;

/** Initialises a hangup_stats. */
#define HANGUP_STATS_INIT {sizeof(hangup_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** Fills the counters. `stats->size` is sizeof(*stats) or 0. */
hangup_status hangup_manager_stats(const hangup_manager *manager, hangup_stats *stats);

/**
 * Dials ahead, in the background, until `wanted` connections to the origin ("https://example.org", the default port
 * may be left out) are idle, within the limits and with the settings of a new client: only clients that set neither
 * TLS nor proxy nor local address find them (hangup_client_preconnect is for the others). `begun` may be NULL; it gets
 * the number of dials that were begun. What becomes of them is seen in the list and in the events.
 *
 * Fails: HANGUP_INVALID_URL, HANGUP_INVALID_ARGUMENT for a proxy of the environment that is none, HANGUP_SHUT_DOWN,
 * HANGUP_SYSTEM without a thread for any of them.
 */
hangup_status hangup_manager_preconnect(hangup_manager *manager,
                                        const char *origin,
                                        size_t wanted,
                                        size_t *begun,
                                        hangup_error **error);

/* ---- Manager: closing ---------------------------------------------------------------------------------------- */

/** How to close a connection or a response. */
typedef enum HANGUP_ENUM_TYPE {
    /** Let the exchange in progress finish, then close. For a response: read the rest of a short body first. */
    HANGUP_CLOSE_MODE_GRACEFUL = 0,
    /** Close at once. An exchange in progress ends with the failure "closed". */
    HANGUP_CLOSE_MODE_NOW = 1,
} hangup_close_mode;

/** The name of a close mode, for example "graceful"; "unknown" for a number that this version does not have. Static. */
const char *hangup_close_mode_text(hangup_close_mode mode);

/** Why a connection was closed: exactly one of these. */
typedef enum HANGUP_ENUM_TYPE {
    /** The dial failed, so that it never was connected. */
    HANGUP_CLOSE_REASON_DIAL_FAILED = 1,
    /** The peer closed it. */
    HANGUP_CLOSE_REASON_PEER_CLOSED = 2,
    /** The peer reset it. */
    HANGUP_CLOSE_REASON_PEER_RESET = 3,
    /** The request asked for it (the connection mode "close after"). */
    HANGUP_CLOSE_REASON_ASKED_BY_REQUEST = 4,
    /** The response asked for it, or leaves the connection unusable for another one (RFC 9112 section 9.6). */
    HANGUP_CLOSE_REASON_ASKED_BY_RESPONSE = 5,
    /** The peer sent what is not HTTP/1.1. */
    HANGUP_CLOSE_REASON_PROTOCOL_ERROR = 6,
    /** The response was closed, freed or dropped before its body ended. */
    HANGUP_CLOSE_REASON_BODY_LEFT_UNREAD = 7,
    /** The exchange was cancelled. */
    HANGUP_CLOSE_REASON_CANCELLED = 8,
    /** The exchange timed out. */
    HANGUP_CLOSE_REASON_TIMED_OUT = 9,
    /** Closed by its id. */
    HANGUP_CLOSE_REASON_CLOSED_BY_ID = 10,
    /** Closed together with all connections of its origin. */
    HANGUP_CLOSE_REASON_CLOSED_BY_ORIGIN = 11,
    /** Closed together with all others. */
    HANGUP_CLOSE_REASON_CLOSED_BY_ALL = 12,
    /** Idle for longer than the limit, or closed because it was idle. */
    HANGUP_CLOSE_REASON_IDLE_TOO_LONG = 13,
    /** Older than the limit. */
    HANGUP_CLOSE_REASON_TOO_OLD = 14,
    /** It served as many requests as one connection may. */
    HANGUP_CLOSE_REASON_SERVED_ENOUGH = 15,
    /** The limit of idle connections was reached. */
    HANGUP_CLOSE_REASON_POOL_FULL = 16,
    /** The check at checkout found it closed by the peer, or with unexpected data. */
    HANGUP_CLOSE_REASON_STALE_AT_CHECKOUT = 17,
    /** The manager was shut down, or its last share was freed. */
    HANGUP_CLOSE_REASON_MANAGER_SHUT_DOWN = 18,
    /** It belongs to the parent of this process. */
    HANGUP_CLOSE_REASON_FORKED_AWAY = 19,
    /** It was opened before the network changed. */
    HANGUP_CLOSE_REASON_NETWORK_CHANGED = 20,
} hangup_close_reason;

/** The name of a close reason, for example "peer closed"; "unknown" for a number that this version does not have. Static. */
const char *hangup_close_reason_text(hangup_close_reason reason);

/**
 * Closes one connection by its id. HANGUP_CLOSE_MODE_GRACEFUL lets an exchange in progress finish well first; HANGUP_CLOSE_MODE_NOW
 * ends it with HANGUP_CLOSED.
 *
 * Fails: HANGUP_NOT_FOUND if no connection with that id is open (ids are never used again).
 */
hangup_status hangup_manager_close_connection(hangup_manager *manager,
                                              uint64_t id,
                                              hangup_close_mode mode,
                                              hangup_error **error);

/**
 * Closes the connections of one origin ("https://example.org", the default port may be left out).
 *
 * `closed` may be NULL; it gets the number of connections that were closed or, for HANGUP_CLOSE_MODE_GRACEFUL, marked.
 * Fails: HANGUP_INVALID_URL.
 */
hangup_status hangup_manager_close_origin(hangup_manager *manager,
                                          const char *origin,
                                          hangup_close_mode mode,
                                          size_t *closed,
                                          hangup_error **error);

/**
 * Closes the connections that have been idle for at least `idle_for_ms` milliseconds; 0 means every idle one.
 * Connections in use are not touched. `closed` may be NULL.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a negative number.
 */
hangup_status hangup_manager_close_idle(hangup_manager *manager, int64_t idle_for_ms, size_t *closed);

/**
 * Closes every connection: idle ones at once, those in use as `mode` says. The manager can be used on.
 * `closed` may be NULL.
 */
hangup_status hangup_manager_close_all(hangup_manager *manager, hangup_close_mode mode, size_t *closed);

/**
 * Why a connection ended: `reason` gets one of HANGUP_CLOSE_REASON_*. The last 256 that ended are remembered.
 *
 * Fails: HANGUP_NOT_FOUND if it is still open, never was, or ended too long ago.
 */
hangup_status hangup_manager_close_reason(const hangup_manager *manager,
                                          uint64_t id,
                                          hangup_close_reason *reason);

/**
 * The network is another one now (another Wi-Fi, a VPN, back from sleep): closes what is idle, has what is in use
 * closed after its exchange, and forgets the addresses that were looked up. `closed` may be NULL; it gets the number
 * of connections that were closed or marked. Nothing is asked again by itself.
 */
hangup_status hangup_manager_network_changed(hangup_manager *manager,
                                             size_t *closed);

/**
 * Ends the manager, but lets what runs finish: from now on every request is refused with HANGUP_SHUT_DOWN, those
 * that wait for a connection too; what is idle is closed at once, the rest when its exchange ends. Blocks this thread
 * until nothing is open any more, at most `timeout_ms`; HANGUP_NO_LIMIT: for as long as it takes.
 *
 * There is no way back. It can be called again, from any thread; hangup_manager_shutdown ends what is left.
 * Fails: HANGUP_TIMED_OUT, and hangup_error_open_connections says how many connections are left; HANGUP_INVALID_TIMEOUT for zero
 * or another negative number; HANGUP_CANCELLED if the thread's interrupt check ended the wait; HANGUP_SYSTEM.
 */
hangup_status hangup_manager_drain(hangup_manager *manager,
                                   int64_t timeout_ms,
                                   hangup_error **error);

/**
 * Ends the manager now, for good: every exchange ends with HANGUP_SHUT_DOWN, every connection is closed and
 * every later request is refused. Never blocks. Twice is once.
 *
 * Shutting down the shared manager is legal, and final for the process.
 */
hangup_status hangup_manager_shutdown(hangup_manager *manager);

/* ---- Manager: events ----------------------------------------------------------------------------------------- */

/** What happened to a connection. Later versions may add some: keep a default branch. */
typedef enum HANGUP_ENUM_TYPE {
    /** A dial began. The connection has its id from here on. */
    HANGUP_EVENT_TYPE_OPENED = 1,
    /** The connection began to serve an exchange. */
    HANGUP_EVENT_TYPE_LEASED = 2,
    /** The connection became idle: its exchange ended, or the request that it was dialled for got another one. */
    HANGUP_EVENT_TYPE_RETURNED = 3,
    /** The connection was closed; the event has the reason. */
    HANGUP_EVENT_TYPE_CLOSED = 4,
    /** A request began to wait for a connection. The event has no connection. */
    HANGUP_EVENT_TYPE_QUEUED = 5,
    /** A request is sent again, because this connection broke before the response. */
    HANGUP_EVENT_TYPE_RETRIED = 6,
    /**
     * A phase of an exchange on this connection; the event has the phase and its duration. All phases of an exchange
     * are reported when it is over, which may be after its connection was returned or closed.
     */
    HANGUP_EVENT_TYPE_PHASE = 7,
} hangup_event_type;

/** The name of an event type, for example "leased"; "unknown" for a number that this version does not have. Static. */
const char *hangup_event_type_text(hangup_event_type event_type);

/** One thing that happened. Begin it with HANGUP_EVENT_INIT; hangup_events_origin gives its origin. */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** Consecutive in a manager: a gap is as many events as were lost. */
    uint64_t number;
    /** When: nanoseconds since somebody began to listen to this manager, on a clock that is never set. */
    int64_t at_ns;
    /** The connection; 0 if there is none. */
    uint64_t connection;
    /** How long the phase took, in nanoseconds (HANGUP_EVENT_TYPE_PHASE); -1 for all others. */
    int64_t took_ns;
    /** What happened: one of HANGUP_EVENT_TYPE_*. */
    hangup_event_type what;
    /** Why it was closed (HANGUP_EVENT_TYPE_CLOSED): one of HANGUP_CLOSE_REASON_*; 0 for all others. */
    hangup_close_reason reason;
    /** Which phase (HANGUP_EVENT_TYPE_PHASE): one of HANGUP_PHASE_*; HANGUP_PHASE_NONE for all others. */
    hangup_phase phase;
    /** 0. */
    int32_t reserved;
} hangup_event;

/** Initialises a hangup_event. */
#define HANGUP_EVENT_INIT {sizeof(hangup_event), 0, 0, 0, 0, (hangup_event_type)0, (hangup_close_reason)0, HANGUP_PHASE_NONE, 0}

/**
 * Begins to listen to what happens to the manager's connections. At most `capacity` events wait to be read; then the
 * oldest are lost. Of several listeners of one manager the largest capacity counts for all.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a capacity of 0, HANGUP_SYSTEM without a free descriptor.
 */
hangup_status hangup_manager_events(hangup_manager *manager,
                                    size_t capacity,
                                    hangup_events **events,
                                    hangup_error **error);

/**
 * Reads the next event; waits for one, at most `timeout_ms` milliseconds. 0 does not wait, HANGUP_NO_LIMIT waits
 * for as long as it takes. `event->size` is sizeof(*event) or 0.
 *
 * Fails: HANGUP_TIMED_OUT if nothing happened in that time, and no event is lost by that; HANGUP_CLOSED after
 * hangup_events_close, when all that happened was read; HANGUP_CANCELLED if the
 * thread's interrupt check ended the wait; HANGUP_INVALID_TIMEOUT for another negative number; HANGUP_INVALID_STATE
 * while another thread is in it; HANGUP_FORKED in the child of a fork; HANGUP_SYSTEM.
 */
hangup_status hangup_events_next(hangup_events *events,
                                 int64_t timeout_ms,
                                 hangup_event *event);

/**
 * The origin of the event that was read last, for example "https://example.org:443"; "" before the first one.
 * Borrowed until the next hangup_events_next.
 */
const char *hangup_events_origin(const hangup_events *events);

/** How many events were lost because nobody read them in time, up to the last one that was read. 0 for NULL. */
uint64_t hangup_events_lost(const hangup_events *events);

/**
 * A descriptor that is readable while there is an event to read, for poll(2), epoll(7) or any event loop. When it
 * is, call hangup_events_next with 0 until it answers HANGUP_TIMED_OUT. It is to be polled only; it is closed with
 * the listener. -1 for NULL.
 */
int32_t hangup_events_fd(const hangup_events *events);

/**
 * Ends a wait in hangup_events_next, and every later one: from now on it answers HANGUP_CLOSED when there is no
 * more to read. From any thread; never blocks. Twice is once.
 */
hangup_status hangup_events_close(const hangup_events *events);

/** Ends the listening. NULL is a no-op. Never blocks. */
void hangup_events_free(hangup_events *events);

/* ---- Manager: name resolution -------------------------------------------------------------------------------- */

/**
 * Looks a name up in place of getaddrinfo(3): adds what it finds to `addresses` and answers 0, or answers another
 * number, which becomes part of the message of HANGUP_RESOLVE_FAILED. `host` is in lower case and lives until the
 * function returns.
 *
 * Called on threads of the library's, never on one of the caller's, without any lock held; on several at once. It may
 * block: a request that is cancelled or out of time does not wait for it.
 */
typedef int32_t (*hangup_resolve_fn)(void *user_data, const char *host, hangup_addresses *addresses);

/**
 * Ends a resolver: called exactly once, when it was replaced or its manager is gone and no call of it is running, also
 * when the call that took it failed. May run on any thread. May be NULL.
 */
typedef void (*hangup_resolve_end_fn)(void *user_data);

/**
 * Has names looked up by this function instead of getaddrinfo(3), for all that use this manager; NULL is getaddrinfo
 * again. What was looked up before is forgotten; what this function says is kept for a minute, as getaddrinfo's
 * answers are. `end` is called exactly once, also when this call fails.
 */
hangup_status hangup_manager_set_resolver(hangup_manager *manager,
                                          hangup_resolve_fn resolve,
                                          hangup_resolve_end_fn end,
                                          void *user_data,
                                          hangup_error **error);

/**
 * Adds one address, for example "192.0.2.7" or "2001:db8::7": those that are added first are tried first, IPv6 and
 * IPv4 by turns (RFC 8305).
 *
 * Fails: HANGUP_INVALID_ARGUMENT if that is no address.
 */
hangup_status hangup_addresses_add(hangup_addresses *addresses,
                                   const char *address);

/**
 * Gives a host name these addresses, whatever anybody else says about it: separated by commas, for example
 * "192.0.2.7, 2001:db8::7". NULL takes that back. Connections that are open stay; TLS still verifies the name.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a host that is no name, or an address that is none.
 */
hangup_status hangup_manager_set_address(hangup_manager *manager,
                                         const char *host,
                                         const char *addresses,
                                         hangup_error **error);

/** Forgets every address that was looked up: the next dial asks again. Connections are not touched. */
hangup_status hangup_manager_clear_addresses(hangup_manager *manager);

/* ---- Client -------------------------------------------------------------------------------------------------- */

/** How long the connection of a request lives. */
typedef enum HANGUP_ENUM_TYPE {
    /** Kept for the next request if the exchange ends well. The default. */
    HANGUP_CONNECTION_MODE_KEEP = 0,
    /** Closed after the body. The request says "Connection: close". */
    HANGUP_CONNECTION_MODE_CLOSE_AFTER = 1,
    /** Opens a new connection for this request, and keeps it afterwards. */
    HANGUP_CONNECTION_MODE_FRESH = 2,
} hangup_connection_mode;

/** The name of a connection mode, for example "keep"; "unknown" for a number that this version does not have. Static. */
const char *hangup_connection_mode_text(hangup_connection_mode mode);

/** A client. `manager` may be NULL: the shared one. */
hangup_status hangup_client_new(hangup_manager *manager, hangup_client **client, hangup_error **error);

/** One more share of the same client; NULL for NULL. To be freed as well. */
hangup_client *hangup_client_ref(const hangup_client *client);

/** Gives one share back. NULL is a no-op. Never blocks. */
void hangup_client_free(hangup_client *client);

/** The client's manager: a new share, to be freed. NULL for NULL. */
hangup_manager *hangup_client_manager(const hangup_client *client);

/**
 * Sets a default limit (HANGUP_TIMEOUT_TOTAL to _READ) in milliseconds; HANGUP_NO_LIMIT takes it away.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for zero or less, HANGUP_INVALID_ARGUMENT for an unknown clock.
 */
hangup_status hangup_client_set_timeout(hangup_client *client,
                                        hangup_timeout which,
                                        int64_t ms,
                                        hangup_error **error);

/**
 * A header for every request, unless the request has one of the same name. Setting a name again replaces the
 * value; a NULL value takes it away.
 *
 * Fails: HANGUP_INVALID_HEADER.
 */
hangup_status hangup_client_set_header(hangup_client *client,
                                       const char *name,
                                       const char *value,
                                       hangup_error **error);

/** How long connections live by default: one of HANGUP_CONNECTION_MODE_KEEP, HANGUP_CONNECTION_MODE_CLOSE_AFTER, HANGUP_CONNECTION_MODE_FRESH. */
hangup_status hangup_client_set_connection_mode(hangup_client *client,
                                                hangup_connection_mode mode,
                                                hangup_error **error);

/**
 * The most bytes a response head may have, all 1xx heads before it included. Default 65,536.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for less than 256.
 */
hangup_status hangup_client_set_max_head(hangup_client *client, size_t bytes, hangup_error **error);

/* ---- Client: redirects, retries and content codings ---------------------------------------------------------- */

/**
 * How many redirects a call follows. Default 10; 0 hands a redirect out as it is; HANGUP_NO_LIMIT follows any number.
 *
 * 301, 302 and 303 become GET without a body (HEAD stays HEAD), 307 and 308 repeat method and body. Authorization,
 * Cookie, Proxy-Authorization, user information of the first URL and what hangup_client_add_sensitive_header names are
 * dropped for the rest of the call once scheme, host or port changes. Where it can't be followed, the call answers
 * HANGUP_REDIRECT_REFUSED, and hangup_error_status_code has the redirect's status.
 * Fails: HANGUP_INVALID_ARGUMENT for another negative number.
 */
hangup_status hangup_client_set_redirects(hangup_client *client,
                                          int64_t max,
                                          hangup_error **error);

/**
 * Names a header that a redirect to another origin must not take along, whether a request or the client's defaults
 * have it. May be called for several names.
 *
 * Fails: HANGUP_INVALID_HEADER.
 */
hangup_status hangup_client_add_sensitive_header(hangup_client *client,
                                                 const char *name,
                                                 hangup_error **error);

/**
 * With 1 (the default), a request that a kept connection lost is sent again by itself; with 0 that is the caller's
 * to do.
 *
 * Only what is safe: the connection had served a request before, the peer closed or reset it before the first byte
 * of the response, the body can be given again, and either not a byte went out or the method is GET, HEAD, OPTIONS,
 * TRACE, PUT or DELETE, or there is an Idempotency-Key. After three lost connections a new one is made, and that is
 * the last try. hangup_response_attempts and hangup_error_attempts count.
 */
hangup_status hangup_client_set_retries(hangup_client *client,
                                        int32_t on,
                                        hangup_error **error);

/**
 * With 1, asks for gzip and deflate and decodes such bodies; 0 is the default.
 *
 * Headers stay as they came, Content-Encoding and Content-Length included; bounds count decoded bytes. A body in any
 * other coding is handed out as it is. Nothing is asked for if the request (or the client's defaults) has an
 * Accept-Encoding or a Range header of its own.
 */
hangup_status hangup_client_set_decode(hangup_client *client,
                                       int32_t on,
                                       hangup_error **error);

/**
 * How many content codings, one over the other, a decoded body may have; 2 is the default. A response with more fails
 * with HANGUP_PROTOCOL: each coding multiplies by about a thousand what a byte of the peer can cost. HANGUP_NO_LIMIT
 * allows any number.
 *
 * Whatever the number: a body of which much decodes to next to nothing, such as a row of empty gzip members, fails
 * with HANGUP_PROTOCOL, and a cancel, a close, a shutdown and the total limit end the decoding.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for 0 or another negative number.
 */
hangup_status hangup_client_set_max_codings(hangup_client *client,
                                            int64_t max,
                                            hangup_error **error);

/* ---- Client: TLS --------------------------------------------------------------------------------------------- */

/**
 * Trusts these certificates (PEM, one or more) and no others. By default the system's are trusted, or those of
 * `SSL_CERT_FILE` / `SSL_CERT_DIR`, or a bundled copy of Mozilla's where the system has none.
 *
 * Connections made before are not used for requests after it: the roots are part of the pool key.
 * Fails: HANGUP_INVALID_ARGUMENT if there is no certificate in it.
 */
hangup_status hangup_client_set_tls_roots(hangup_client *client,
                                          const uint8_t *pem,
                                          size_t size,
                                          hangup_error **error);

/**
 * hangup_client_set_tls_roots from a file.
 *
 * Fails: HANGUP_SYSTEM if it can't be read, HANGUP_INVALID_ARGUMENT if there is no certificate in it.
 */
hangup_status hangup_client_set_tls_roots_file(hangup_client *client, const char *path, hangup_error **error);

/**
 * Shows this certificate (PEM, the chain in order, the client's own first) to servers that ask for one, with
 * its private key (PEM: PKCS#8, PKCS#1 or SEC1).
 *
 * Fails: HANGUP_INVALID_ARGUMENT if either can't be read or they don't belong together.
 */
hangup_status hangup_client_set_tls_certificate(hangup_client *client,
                                                const uint8_t *certificate_pem,
                                                size_t certificate_size,
                                                const uint8_t *key_pem,
                                                size_t key_size,
                                                hangup_error **error);

/**
 * With 1, believes ANY certificate of anybody: whoever sits on the network can read and change everything.
 * For tests against throw-away servers. 0 is the default.
 *
 * Such connections are never used by a client that verifies.
 */
hangup_status hangup_client_set_tls_dangerously_accept_any_certificate(hangup_client *client,
                                                                       int32_t on,
                                                                       hangup_error **error);

/* ---- Client: proxy and local address ------------------------------------------------------------------------- */

/**
 * Sends every request through this proxy: "[scheme://][user:password@]host[:port]" with a scheme of http (the
 * default), https, socks5 or socks5h. NULL: through none. A new client does what the environment says, as after
 * hangup_client_set_proxy_from_env.
 *
 * Connections through different proxies, or with different credentials, are never mixed up.
 * Fails: HANGUP_INVALID_ARGUMENT if that is no proxy. A request answers HANGUP_PROXY_FAILED if the proxy refuses it,
 * and hangup_error_status_code has what it said.
 */
hangup_status hangup_client_set_proxy(hangup_client *client,
                                      const char *proxy,
                                      hangup_error **error);

/**
 * Does what the environment says now: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, each in lower or upper
 * case (`HTTP_PROXY` counts only outside of CGI). The default.
 */
hangup_status hangup_client_set_proxy_from_env(hangup_client *client,
                                               hangup_error **error);

/**
 * Reaches these hosts without a proxy, separated by commas: "example.org" (itself and all below it), addresses,
 * networks such as "10.0.0.0/8", each with ":port" if only that port is meant; "*" for all; "" for none. In place of
 * the environment's `no_proxy`.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for what is none of these.
 */
hangup_status hangup_client_set_no_proxy(hangup_client *client,
                                         const char *list,
                                         hangup_error **error);

/**
 * Connects from this address of the machine, for example "192.0.2.7" or "2001:db8::7"; NULL leaves it to the system,
 * which is the default.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if that is no address. A request answers HANGUP_CONNECT_FAILED if the machine does
 * not have it.
 */
hangup_status hangup_client_set_local_address(hangup_client *client,
                                              const char *address,
                                              hangup_error **error);

/* ---- Client: cookies ----------------------------------------------------------------------------------------- */

/**
 * With 1, keeps cookies: those of every response, redirects included, are sent where RFC 6265 says so. 0, the
 * default, stops that and forgets them. A request that has a Cookie header of its own sends that one, and nothing
 * that was kept. At most 3000 cookies are kept, and 180 of a site (a registrable domain and all below it): those that
 * have ended go first, then the least recently used of the site, or of the site with most.
 */
hangup_status hangup_client_set_cookies(hangup_client *client,
                                        int32_t on,
                                        hangup_error **error);

/**
 * Keeps a cookie as if a response from that URL had set it: "name=value", then attributes as in a Set-Cookie header,
 * for example "id=7; Path=/; Max-Age=3600".
 *
 * Fails: HANGUP_INVALID_URL; HANGUP_INVALID_ARGUMENT for a cookie that a response couldn't set;
 * HANGUP_INVALID_STATE if cookies are not kept.
 */
hangup_status hangup_client_add_cookie(hangup_client *client,
                                       const char *url,
                                       const char *cookie,
                                       hangup_error **error);

/**
 * The Cookie header that a request for that URL would have, for example "id=7; theme=dark"; an empty text if it
 * would have none. Bytes that are no UTF-8 are shown as U+FFFD; they are sent as they came. `cookies` gets a text of
 * its own, to be freed with hangup_string_free.
 *
 * Fails: HANGUP_INVALID_URL.
 */
hangup_status hangup_client_cookies_for(const hangup_client *client,
                                        const char *url,
                                        hangup_string **cookies,
                                        hangup_error **error);

/** Forgets all cookies; more are kept if they were before. */
hangup_status hangup_client_clear_cookies(hangup_client *client);

/* ---- Request ------------------------------------------------------------------------------------------------- */

/**
 * A request. The URL is http or https, absolute; a fragment is not sent, user information becomes Basic
 * credentials. A Unix-domain socket is named by its percent-encoded path: "http+unix://%2Frun%2Fapp.sock/path".
 *
 * Fails: HANGUP_INVALID_URL, HANGUP_INVALID_METHOD.
 */
hangup_status hangup_request_new(const char *method,
                                 const char *url,
                                 hangup_request **request,
                                 hangup_error **error);

/**
 * A copy that can be changed on its own. It shares the cancel token. A body that comes from a reader can't be
 * copied.
 *
 * Fails: HANGUP_INVALID_STATE for such a body.
 */
hangup_status hangup_request_copy(const hangup_request *request, hangup_request **copy, hangup_error **error);

/** Frees a request. NULL is a no-op. */
void hangup_request_free(hangup_request *request);

/** The method, as it will be sent. Borrowed until the request is changed or freed. "" for NULL. */
const char *hangup_request_method(const hangup_request *request);

/**
 * Adds a header. A name may be added several times. Host, Content-Length, Transfer-Encoding and Connection are
 * the library's own: a value that contradicts them is refused; "Connection: close" is HANGUP_CONNECTION_MODE_CLOSE_AFTER.
 *
 * Fails: HANGUP_INVALID_HEADER.
 */
hangup_status hangup_request_add_header(hangup_request *request,
                                        const char *name,
                                        const char *value,
                                        hangup_error **error);

/* ---- Request: body ------------------------------------------------------------------------------------------- */

/** The body, copied. (NULL, 0) is an empty body. */
hangup_status hangup_request_set_body(hangup_request *request,
                                      const uint8_t *data,
                                      size_t size,
                                      hangup_error **error);

/**
 * Ends a body reader, or a body that is borrowed: called exactly once, when the body was sent, failed or is no longer
 * needed, also when the call that took it failed. May run on any thread, and after the request has completed if a
 * call of hangup_body_read_fn was under way at its end: it runs when that has returned. May be NULL.
 */
typedef void (*hangup_body_end_fn)(void *user_data);

/**
 * The body, borrowed: `size` bytes at `data`, which must stay and must not change until `end` is called with
 * `user_data`. That is exactly once, when neither a request nor an exchange needs them any more, also when this call
 * fails. Clones of the request share them.
 *
 * Fails: HANGUP_NULL.
 */
hangup_status hangup_request_set_body_borrowed(hangup_request *request,
                                               const uint8_t *data,
                                               size_t size,
                                               hangup_body_end_fn end,
                                               void *user_data,
                                               hangup_error **error);

/**
 * The body from a regular file, which is opened and read when the request is sent: what reading it gives. It is sent
 * with its length, or chunked if its size is not to be trusted, as in /proc. A file that grows or shrinks while it is
 * sent fails the exchange with HANGUP_BODY_FAILED; it is never cut off.
 *
 * Fails: HANGUP_SYSTEM if it can't be opened or is no regular file, such as a FIFO, for whose writer this does not wait.
 */
hangup_status hangup_request_set_body_file(hangup_request *request,
                                           const char *path,
                                           hangup_error **error);

/**
 * Reads a piece of a request's body: fills at most `room` bytes at `into` and answers how many, 0 for the end,
 * or a negative number to end the exchange with HANGUP_BODY_FAILED.
 *
 * Called on the thread that sends the request, without any lock held; it may block and it may call hangup. Of a request
 * that was submitted (hangup_client_submit) on threads of the library's: not always the same one, and never two at once.
 *
 * A submitted request does not wait for a call that is under way when a limit, a cancel, a close or a shutdown ends it:
 * it completes at once, and what the call returns later is dropped. A blocking hangup_client_send returns when
 * the call has returned.
 */
typedef int64_t (*hangup_body_read_fn)(void *user_data, uint8_t *into, size_t room);

/**
 * The body from a function of the caller's. `length` is what it will give, or HANGUP_NO_LIMIT if that is not
 * known (it is then sent chunked, RFC 9112 section 7.1). Giving less than `length` fails the exchange.
 * `end` is called exactly once, also when this call fails.
 *
 * Fails: HANGUP_NULL, HANGUP_INVALID_ARGUMENT for another negative length.
 */
hangup_status hangup_request_set_body_reader(hangup_request *request,
                                             hangup_body_read_fn read,
                                             hangup_body_end_fn end,
                                             void *user_data,
                                             int64_t length,
                                             hangup_error **error);

/* ---- Request: policy ----------------------------------------------------------------------------------------- */

/**
 * Sets a limit of this request (HANGUP_TIMEOUT_TOTAL to _READ) in milliseconds; HANGUP_NO_LIMIT takes it away.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for zero or less, HANGUP_INVALID_ARGUMENT for an unknown clock.
 */
hangup_status hangup_request_set_timeout(hangup_request *request,
                                         hangup_timeout which,
                                         int64_t ms,
                                         hangup_error **error);

/**
 * Ends the exchange with HANGUP_TIMED_OUT (limit HANGUP_TIMEOUT_MIN_RATE) when the body comes slower than
 * `bytes_per_second` over a window of `window_ms` milliseconds of waiting. Time that the caller does not spend
 * in a read does not count. HANGUP_NO_LIMIT as rate takes it away; that is the default.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a rate of zero, HANGUP_INVALID_TIMEOUT for a window of zero or less.
 */
hangup_status hangup_request_set_min_rate(hangup_request *request,
                                          int64_t bytes_per_second,
                                          int64_t window_ms,
                                          hangup_error **error);

/**
 * How long the connection shall live: one of HANGUP_CONNECTION_MODE_KEEP, HANGUP_CONNECTION_MODE_CLOSE_AFTER, HANGUP_CONNECTION_MODE_FRESH.
 *
 * Fails: HANGUP_INVALID_ARGUMENT.
 */
hangup_status hangup_request_set_connection_mode(hangup_request *request,
                                                 hangup_connection_mode mode,
                                                 hangup_error **error);

/** Whether what a kept connection lost is sent again: 1 or 0, whatever the client says (hangup_client_set_retries). */
hangup_status hangup_request_set_retries(hangup_request *request,
                                         int32_t on,
                                         hangup_error **error);

/**
 * How many redirects are followed, whatever the client says (hangup_client_set_redirects). 0 hands a redirect out as it
 * is; HANGUP_NO_LIMIT follows any number.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for another negative number.
 */
hangup_status hangup_request_set_redirects(hangup_request *request,
                                           int64_t max,
                                           hangup_error **error);

/**
 * Asks for the whole body, of at most `at_most` bytes: the call ends with the body's last byte instead of the head,
 * and whatever reads the body then does not wait. HANGUP_NO_LIMIT goes back to ending at the head; that is the
 * default.
 *
 * A body that is larger fails the call with HANGUP_TOO_LARGE and closes the connection. 0 allows no byte of body.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for another negative number.
 */
hangup_status hangup_request_set_buffer_body(hangup_request *request,
                                             int64_t at_most,
                                             hangup_error **error);

/**
 * Gives the request a cancel token: firing it ends the exchange, its body included. The request keeps a share.
 * NULL as token takes it away.
 */
hangup_status hangup_request_set_cancel(hangup_request *request,
                                        hangup_cancel *cancel);

/* ---- Sending a request --------------------------------------------------------------------------------------- */

/**
 * GET in one call. `total_ms` bounds everything, the body's last byte included; HANGUP_NO_LIMIT leaves the
 * client's own limits. Blocks this thread until the response head is there.
 *
 * Fails: any status; HANGUP_INVALID_TIMEOUT for a total of zero.
 */
hangup_status hangup_client_get(hangup_client *client,
                                const char *url,
                                int64_t total_ms,
                                hangup_response **response,
                                hangup_error **error);

/**
 * Sends a request and waits for the response head: redirects are followed (hangup_client_set_redirects), and what a kept
 * connection lost is sent again (hangup_client_set_retries); one total limit spans all of it. Blocks this thread; hangup_cancel_fire and the closers of
 * the manager end it from any other. The request can be changed, sent again or freed afterwards; a body that
 * came from a reader can be sent only once.
 *
 * Fails: any status.
 */
hangup_status hangup_client_send(hangup_client *client,
                                 hangup_request *request,
                                 hangup_response **response,
                                 hangup_error **error);

/**
 * Dials ahead, in the background, until `wanted` connections to the URL's origin are idle, with this client's settings
 * and within the manager's limits. `begun` may be NULL; it gets the number of dials that were begun. What becomes of
 * them is seen in the manager's list and events.
 *
 * Fails: HANGUP_INVALID_URL, HANGUP_INVALID_ARGUMENT for a proxy of the environment that is none, HANGUP_SHUT_DOWN,
 * HANGUP_SYSTEM without a thread for any of them.
 */
hangup_status hangup_client_preconnect(hangup_client *client,
                                       const char *url,
                                       size_t wanted,
                                       size_t *begun,
                                       hangup_error **error);

/* ---- Response: head ------------------------------------------------------------------------------------------ */

/** The status code, 100 to 999. 0 for NULL. */
int32_t hangup_response_status_code(const hangup_response *response);

/** The protocol version times ten: 10 or 11. 0 for NULL. */
int32_t hangup_response_version(const hangup_response *response);

/** The id of the connection that served it, also after that connection was closed. 0 for NULL. */
uint64_t hangup_response_connection(const hangup_response *response);

/** 1 if that connection had served a request before, else 0. */
int32_t hangup_response_reused(const hangup_response *response);

/** The URL that answered, after all redirects, without user information and fragment. Borrowed from the response. "" for NULL. */
const char *hangup_response_url(const hangup_response *response);

/**
 * How often the last request of the call was sent or tried to be: 1 without a retry (hangup_client_set_retries). 0 for
 * NULL.
 */
uint32_t hangup_response_attempts(const hangup_response *response);

/** How many redirects led here. 0 for NULL. */
size_t hangup_response_history_count(const hangup_response *response);

/**
 * Redirect number `index`, 0 being the first: the URL that gave it, without user information and fragment, borrowed
 * from the response; NULL if there is none. `status` may be NULL; it gets 301, 302, 303, 307 or 308.
 */
const char *hangup_response_history_at(const hangup_response *response,
                                       size_t index,
                                       int32_t *status);

/**
 * The first header of that name (case does not matter), NULL if there is none. `size` may be NULL; it gets the
 * length without the NUL. Borrowed from the response. Bytes are as they came, UTF-8 or not.
 */
const char *hangup_response_header(const hangup_response *response,
                                   const char *name,
                                   size_t *size);

/** How many headers the response has; a name that came twice counts twice. 0 for NULL. */
size_t hangup_response_header_count(const hangup_response *response);

/**
 * Header number `index`: its name (lower case) and value, borrowed from the response. `name`, `value` and `size`
 * (of the value) may each be NULL.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is no such header.
 */
hangup_status hangup_response_header_at(const hangup_response *response,
                                        size_t index,
                                        const char **name,
                                        const char **value,
                                        size_t *size);

/** How long each part took, in microseconds; -1 for a part that did not take place. Begin it with HANGUP_TIMINGS_INIT. */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** Waiting for a connection slot. */
    int64_t pool_us;
    /** Resolving the host name. */
    int64_t resolve_us;
    /** Connecting. */
    int64_t connect_us;
    /** Talking to a proxy. */
    int64_t proxy_us;
    /** The TLS handshake. */
    int64_t tls_us;
    /** Sending the request. */
    int64_t write_us;
    /** From the request's last byte to the whole head. */
    int64_t head_us;
    /** From the head to the body's end, or until now. */
    int64_t read_us;
    /** From the call to the body's end, or until now. */
    int64_t total_us;
} hangup_timings;

/** Initialises a hangup_timings. */
#define HANGUP_TIMINGS_INIT {sizeof(hangup_timings), 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** How long each part took. `timings->size` is sizeof(*timings) or 0. */
hangup_status hangup_response_timings(const hangup_response *response, hangup_timings *timings);

/* ---- Response: body ------------------------------------------------------------------------------------------ */

/**
 * Reads a piece of the body: at least one byte unless it is the end (`*got` = 0). Blocks this thread.
 * At the end the connection is idle again, or closed, before the call returns. A body that was cut off, cancelled
 * or closed is an error, never an end.
 *
 * Fails: any status. HANGUP_INVALID_ARGUMENT for a room of 0.
 */
hangup_status hangup_response_read(hangup_response *response,
                                   void *into,
                                   size_t room,
                                   size_t *got,
                                   hangup_error **error);

/**
 * Reads the rest of the body, at most `at_most` bytes (SIZE_MAX: as much as memory holds), and lends it until the
 * response or its body (hangup_response_free_body) is freed. A second call lends the same bytes.
 *
 * Fails: any status; HANGUP_TOO_LARGE if the body has more, and the connection is closed. A whole body that is here
 * already (hangup_request_set_buffer_body) stays, and can be read with more room.
 */
hangup_status hangup_response_read_all(hangup_response *response,
                                       size_t at_most,
                                       const uint8_t **data,
                                       size_t *size,
                                       hangup_error **error);

/**
 * Frees the bytes that hangup_response_read_all lends, before the response is freed: for a caller that has copied them, or needs
 * them no more. Reading the body again is HANGUP_INVALID_STATE then. Before hangup_response_read_all it does nothing.
 *
 * Fails: HANGUP_INVALID_STATE while another thread reads.
 */
hangup_status hangup_response_free_body(hangup_response *response);

/**
 * Closes the response early. HANGUP_CLOSE_MODE_GRACEFUL is polite: what is left is read and thrown away, at most 256 KiB and
 * for at most 50 ms, so that the connection can be kept; otherwise it is closed. The call itself waits for 2 ms
 * at most, the rest is done in the background. HANGUP_CLOSE_MODE_NOW closes the connection at once. After the end of the
 * body, and the second time, it does nothing.
 *
 * May be called from any thread while another one is blocked in a read or a submitted read is under way, and ends that
 * read with HANGUP_CLOSED.
 */
hangup_status hangup_response_close(hangup_response *response,
                                    hangup_close_mode mode);

/**
 * Frees a response and what was borrowed from it; closes its connection unless the body was read to its end or
 * closed politely. NULL is a no-op. Never blocks.
 */
void hangup_response_free(hangup_response *response);

/* ---- Cancel token -------------------------------------------------------------------------------------------- */

/** A new token. To be freed with hangup_cancel_free. */
hangup_cancel *hangup_cancel_new(void);

/** A child: fired with its parent, and by itself without its parent. The parent may be freed first. */
hangup_status hangup_cancel_child(hangup_cancel *parent, hangup_cancel **child);

/** One more share of the same token; NULL for NULL. To be freed as well. */
hangup_cancel *hangup_cancel_ref(const hangup_cancel *cancel);

/**
 * Gives the token a deadline, `ms` milliseconds from now, for everything that uses it or a child of it. Work
 * that it ends answers HANGUP_TIMED_OUT with the limit HANGUP_TIMEOUT_TOKEN. Of several deadlines the earliest
 * counts.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for zero or less.
 */
hangup_status hangup_cancel_fire_after(hangup_cancel *cancel,
                                       int64_t ms);

/**
 * Fires the token. The first call counts: its `reason`, which may be NULL, stands in hangup_error_reason.
 * Never blocks; a NULL token is a no-op.
 */
void hangup_cancel_fire(hangup_cancel *cancel, const char *reason);

/** 1 if the token or one of its parents was fired or has passed its deadline, else 0. */
int32_t hangup_cancel_is_fired(const hangup_cancel *cancel);

/** Gives one share back. NULL is a no-op. Work that uses the token goes on. */
void hangup_cancel_free(hangup_cancel *cancel);

/* ---- Completion queue ---------------------------------------------------------------------------------------- */

/** What a completion is about. Later versions may add some: keep a default branch. */
typedef enum HANGUP_ENUM_TYPE {
    /** A request, submitted by hangup_client_submit. */
    HANGUP_COMPLETION_TYPE_RESPONSE = 1,
    /** A read, submitted by hangup_response_submit_read. */
    HANGUP_COMPLETION_TYPE_READ = 2,
} hangup_completion_type;

/** The name of a completion type, for example "read"; "unknown" for a number that this version does not have. Static. */
const char *hangup_completion_type_text(hangup_completion_type completion_type);

/** One outcome. Begin it with HANGUP_COMPLETION_INIT. */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** What was given when it was submitted. */
    uint64_t tag;
    /** The response of a request that went well: yours, to be freed. NULL for all others. */
    hangup_response *response;
    /** What went wrong: yours, to be freed. NULL if `status` is HANGUP_OK. */
    hangup_error *error;
    /**
     * The piece that was read, or the whole body if the request asked for it (hangup_request_set_buffer_body): borrowed from the
     * response until its next read or its end. NULL if there are no bytes.
     */
    const uint8_t *data;
    /** How many bytes these are. 0 of a read that went well is the end of the body. */
    size_t data_size;
    /** What was completed: one of HANGUP_COMPLETION_TYPE_*. */
    hangup_completion_type what;
    /** How it ended: one of `hangup_status`. */
    hangup_status status;
} hangup_completion;

/** Initialises a hangup_completion. */
#define HANGUP_COMPLETION_INIT {sizeof(hangup_completion), 0, NULL, NULL, NULL, 0, (hangup_completion_type)0, HANGUP_OK}

/** A queue. To be freed with hangup_queue_free. NULL only if the process has no free descriptor. */
hangup_queue *hangup_queue_new(void);

/**
 * Sends a request in the background, as hangup_client_send does, with the client's settings as they are now. The
 * outcome arrives at the queue as HANGUP_COMPLETION_TYPE_RESPONSE with this tag: at the response head, or with the body's
 * last byte if the request says so (hangup_request_set_buffer_body). HANGUP_OK means that there will be exactly one completion,
 * whatever happens, a cancel or a shutdown included; any other status means that there will be none.
 *
 * Never blocks. Client, request and queue can be used and freed at once; the request can be changed and submitted
 * again, but for a body that comes from a reader, which is sent once. That reader may block without holding up anybody
 * else: it has a thread of its own meanwhile. If the system makes none, the outcome is HANGUP_SYSTEM.
 *
 * Fails: HANGUP_INVALID_STATE for such a body, or while another thread uses the request; HANGUP_CLOSED for a queue that
 * was closed; HANGUP_FORKED for a queue of the parent process. All else arrives at the queue.
 */
hangup_status hangup_client_submit(hangup_client *client,
                                   hangup_request *request,
                                   hangup_queue *queue,
                                   uint64_t tag,
                                   hangup_error **error);

/**
 * Reads a piece of the body in the background. The outcome arrives at the queue as HANGUP_COMPLETION_TYPE_READ with this
 * tag: at least one byte, at most `at_most` and at most 65,536, in `data`; or no bytes, which is the end.
 *
 * Until that completion was taken from the queue the read is under way: other reads of the response answer
 * HANGUP_INVALID_STATE. hangup_response_close and hangup_response_free end it; its completion then is HANGUP_CLOSED,
 * unless it had failed before. HANGUP_OK means exactly one completion; any other status means none.
 *
 * Never blocks. Whoever takes that completion uses the response: it must not be freed by another thread meanwhile.
 *
 * Fails: HANGUP_INVALID_STATE while another read is under way, or after the response was closed;
 * HANGUP_INVALID_ARGUMENT for 0 bytes; HANGUP_CLOSED for a queue that was closed; HANGUP_FORKED for what is the parent
 * process's. All else arrives at the queue.
 */
hangup_status hangup_response_submit_read(hangup_response *response,
                                          size_t at_most,
                                          hangup_queue *queue,
                                          uint64_t tag,
                                          hangup_error **error);

/**
 * A descriptor that is readable while there is a completion to take, and after hangup_queue_close: for poll(2),
 * epoll(7) or any event loop. It is never readable for nothing; what completes together makes it readable once, which
 * may be a moment after the first of them can be taken. When it is, call hangup_queue_next with 0 until it answers
 * HANGUP_TIMED_OUT. It is to be polled only; it is closed with the queue. -1 for NULL.
 */
int32_t hangup_queue_fd(const hangup_queue *queue);

/**
 * Takes the oldest completion; waits for one, at most `timeout_ms` milliseconds. 0 does not wait, HANGUP_NO_LIMIT waits
 * for as long as it takes. `completion->size` is sizeof(*completion) or 0. Its `response` and `error` are the caller's
 * from then on.
 *
 * The status of this call says whether a completion was taken; how that ended stands in `completion->status`.
 *
 * The wait is one in poll(2), and the work is done by the library's threads; hangup_queue_set_caller_runs has the waiting
 * thread do it.
 *
 * Fails: HANGUP_TIMED_OUT if nothing came in that time, and nothing is lost by that; HANGUP_CLOSED after
 * hangup_queue_close, when all that came was taken; HANGUP_CANCELLED if the thread's interrupt check ended the wait;
 * HANGUP_INVALID_TIMEOUT for another negative number; HANGUP_INVALID_ARGUMENT for a structure that is too small to hold
 * it, and nothing is taken then; HANGUP_FORKED in the child of a fork; HANGUP_SYSTEM.
 */
hangup_status hangup_queue_next(hangup_queue *queue,
                                int64_t timeout_ms,
                                hangup_completion *completion);

/**
 * With 1, a thread that waits in hangup_queue_next for this queue may do the work itself meanwhile, which spares waking
 * it for each completion; 0 is the default.
 *
 * It does the work if it is the only one to wait for what is under way in the process, and hangup_set_io_threads was not
 * called. When it is away with a completion for more than one to four milliseconds, the library's thread goes on.
 *
 * That work runs on stacks of its own (256 KiB each), and signals are not held back. Leave it at 0 in a program with a
 * signal handler that looks at the stack of the thread that it interrupts, or uses much of it without SA_ONSTACK:
 * garbage collectors that stop threads by a signal are among these (D, Boehm's, which Guile has, SBCL), and some
 * profilers.
 */
hangup_status hangup_queue_set_caller_runs(const hangup_queue *queue,
                                           int32_t on,
                                           hangup_error **error);

/**
 * Ends a wait in hangup_queue_next, and every later one: from now on it answers HANGUP_CLOSED when there is no more to
 * take, and nothing more can be submitted to it. What is under way still arrives. From any thread; never blocks. Twice
 * is once.
 */
hangup_status hangup_queue_close(const hangup_queue *queue);

/**
 * Frees a queue. What is under way is not cancelled; responses that nobody can take any more are closed. NULL is a
 * no-op. Never blocks.
 */
void hangup_queue_free(hangup_queue *queue);

/**
 * How many threads of the library do what is submitted, in the whole process: 1 to 64. One is enough for thousands of
 * requests, unless their TLS or decoding keeps it busy. Default one. From this call on, 1 included, no waiting thread does
 * the work (hangup_queue_set_caller_runs). The number applies to what is submitted from then on: surplus threads end, with
 * their descriptors, as soon as what they have under way has ended.
 *
 * Fails: HANGUP_INVALID_ARGUMENT.
 */
hangup_status hangup_set_io_threads(size_t count,
                                    hangup_error **error);

/* ---- Strings ------------------------------------------------------------------------------------------------- */

/** The text itself. `size` may be NULL; it gets the length without the NUL. Borrowed from the handle. "" for NULL. */
const char *hangup_string_value(const hangup_string *text,
                                size_t *size);

/** Frees a text. NULL is a no-op. */
void hangup_string_free(hangup_string *text);

/* ---- Interrupt checks ---------------------------------------------------------------------------------------- */

/**
 * Asked on the blocked thread itself when a signal interrupted its wait. 0: go on waiting. Anything else: end the
 * exchange, which answers HANGUP_CANCELLED with the reason "interrupted". May run the signal handlers of a
 * language. Must not call hangup on the same request or response.
 */
typedef int32_t (*hangup_interrupt_check_fn)(void *user_data);

/**
 * Sets the interrupt check of the calling thread; NULL takes it away. Every blocking call of this thread asks it
 * when poll(2) was interrupted (EINTR) and, if `tick_ms` is not HANGUP_NO_LIMIT, every `tick_ms` milliseconds, for
 * signals that were delivered to another thread.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for a tick of zero or another negative number.
 */
hangup_status hangup_set_interrupt_check(hangup_interrupt_check_fn check,
                                         void *user_data,
                                         int64_t tick_ms);

#undef HANGUP_ENUM_TYPE

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* HANGUP_H */
