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
 * - hangup_NOUN_new creates a handle, hangup_NOUN_new_KIND one of a special kind. hangup_NOUN_ref creates another handle
 *   for the same object. hangup_request_copy creates an independent copy. hangup_NOUN_free frees a handle.
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
 * - Callbacks (body readers, resolvers, connectors, interrupt checks and the functions that end them) return normally. On Linux with
 *   x86-64 or AArch64 they may also throw a C++ exception, or anything that unwinds the stack in the same way, such as
 *   a LuaJIT error. It is dropped, and the exchange ends as if the callback had returned a failure (HANGUP_BODY_FAILED,
 *   HANGUP_RESOLVE_FAILED, HANGUP_CONNECT_FAILED, HANGUP_CANCELLED). Elsewhere an exception ends the process. longjmp, pthread_exit and a Rust
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
 * The version as one number: major * 1000000 + minor * 1000 + patch. It grows with each version.
 *
 * Compare it with HANGUP_VERSION, the version of the header that a program was compiled with. A library may be newer than
 * the header, never older.
 */
uint32_t hangup_version(void);

/** The version as text, for example "0.1.0". Static; never freed. */
const char *hangup_version_text(void);

/**
 * What the library was built with, as names separated by spaces, in alphabetical order, for example "deflate gzip http1".
 * Static; never freed.
 */
const char *hangup_features(void);

/** 1 if the library was built with the feature of that name, else 0; the names are those of hangup_features. 0 for NULL. */
int32_t hangup_has_feature(const char *name);

/* ---- Handles ------------------------------------------------------------------------------------------------- */

/**
 * One failure: its kind, phase, timeout and connection, and whether the request can safely be sent again.
 *
 * Create: a function that fails creates one in its `hangup_error **error`. Use: hangup_error_* return its properties. For
 * NULL they return HANGUP_OK, 0 or "".
 * Free: hangup_error_free.
 * Threads: immutable; any thread at any time.
 */
typedef struct hangup_error hangup_error;

/**
 * A connection manager: its open connections, their limits and their events.
 *
 * Create: hangup_manager_new, or hangup_manager_shared for the one of the process, which is the default everywhere.
 * Use: hangup_manager_*. Clients, requests in progress, responses and event subscriptions keep it alive.
 * Free: hangup_manager_free. When nothing keeps it alive any more, its idle connections are closed.
 * Threads: any thread at any time.
 */
typedef struct hangup_manager hangup_manager;

/**
 * The limits of a manager that is to be created.
 *
 * Create: hangup_options_new. Use: hangup_options_set_limit, hangup_manager_new. The manager copies them.
 * Free: hangup_options_free.
 * Threads: any thread at any time.
 */
typedef struct hangup_options hangup_options;

/**
 * A list of the open connections, as they were at one moment.
 *
 * Create: hangup_manager_connections. Use: hangup_connections_count, hangup_connections_at.
 * Free: hangup_connections_free.
 * Threads: immutable; any thread at any time.
 */
typedef struct hangup_connections hangup_connections;

/**
 * A subscription to a manager's events: everything that happens to its connections from then on, in order. Events are
 * recorded only while there is a subscription.
 *
 * Create: hangup_manager_events. Use: hangup_events_*. It keeps the manager alive. In the child of a fork its functions
 * return HANGUP_FORKED.
 * Free: hangup_events_free.
 * Threads: one thread at a time; a second one gets HANGUP_INVALID_STATE. hangup_events_lost, hangup_events_fd and
 * hangup_events_close: any thread at any time.
 */
typedef struct hangup_events hangup_events;

/**
 * The addresses of one host name that a hangup_resolve_fn collects.
 *
 * Create: the library passes it to that function. Use: hangup_addresses_add, hangup_addresses_set_ttl. Free: the library does, when the function
 * returns.
 * Threads: any thread at any time, until the function returns.
 */
typedef struct hangup_addresses hangup_addresses;

/**
 * The token that a hangup_token_fn gives.
 *
 * Create: the library passes it to that function. Use: hangup_token_set_value. Free: the library does, when the function returns.
 * Threads: any thread at any time, until the function returns.
 */
typedef struct hangup_token hangup_token;

/**
 * Settings for requests, over a manager: timeouts, headers, redirects, cookies, TLS, proxy. Several clients can share a
 * manager.
 *
 * Create: hangup_client_new. Use: hangup_client_set_*, hangup_client_send, hangup_client_submit. A setting applies to
 * requests that are sent or submitted later.
 * Free: hangup_client_free. Requests in progress go on.
 * Threads: any thread at any time.
 */
typedef struct hangup_client hangup_client;

/**
 * The settings of TLS: which certificates are trusted, which one is presented, which versions are spoken.
 *
 * Create: hangup_tls_new. Use: hangup_tls_set_*, hangup_tls_add_*, then hangup_client_set_tls or hangup_request_set_tls, which
 * take the settings as they are then: a later change has no effect on them. Connections are shared by requests with equal
 * settings only; sessions are resumed by requests that were given the same unchanged handle. So make one handle and give it to
 * all requests that need it.
 * Free: hangup_tls_free. Clients and requests that were given it go on.
 * Threads: any thread at any time.
 */
typedef struct hangup_tls hangup_tls;

/**
 * One request.
 *
 * Create: hangup_request_new, hangup_request_new_connect, hangup_request_copy. Use: hangup_request_set_*, hangup_client_send,
 * hangup_client_submit. It can be sent more than once.
 * Free: hangup_request_free.
 * Threads: one thread at a time; a second one gets HANGUP_INVALID_STATE.
 */
typedef struct hangup_request hangup_request;

/**
 * A form: named fields of text, bytes, files and readers, in their order. A name can occur several times. Names are sent as
 * UTF-8; a quotation mark, CR and LF in them are percent-encoded, as browsers do.
 *
 * Create: hangup_form_new. Use: hangup_form_add_*, then hangup_request_set_body_form or hangup_request_set_body_urlencoded.
 * Free: hangup_form_free. Requests have what they need of it.
 * Threads: one thread at a time; a second one gets HANGUP_INVALID_STATE.
 */
typedef struct hangup_form hangup_form;

/**
 * The body of a request that the caller writes piece by piece while the request is sent by another thread or in the
 * background. At most 64 KiB of it are buffered.
 *
 * Create: hangup_upload_new. Use: hangup_request_set_body_upload; hangup_upload_write_all, hangup_upload_try_write or
 * hangup_upload_submit_write; then hangup_upload_finish.
 * Free: hangup_upload_free. If the body was not finished, the exchange fails with HANGUP_BODY_FAILED.
 * Threads: one thread at a time; a second one gets HANGUP_INVALID_STATE. But hangup_upload_abort may be called from any thread
 * while another one is blocked in hangup_upload_write_all; that then returns HANGUP_INVALID_STATE.
 */
typedef struct hangup_upload hangup_upload;

/**
 * How far the bodies of a request and of its response are. Only bytes of bodies count, without heads and framing; of a
 * compressed body those that are received, before they are decoded. A retry and a redirect begin again with 0. If it is set
 * for several requests, the last one that began counts.
 *
 * Create: hangup_progress_new. Use: hangup_request_set_progress, then hangup_progress_* from any thread.
 * Free: hangup_progress_free. Requests have shares of their own.
 * Threads: any thread at any time.
 */
typedef struct hangup_progress hangup_progress;

/**
 * One response: its head, and its body as a stream.
 *
 * Create: hangup_client_get, hangup_client_send, hangup_client_submit. Use: hangup_response_*. Any thread may read it, the
 * body also in the background (hangup_response_submit_read). When the body was read to its end, its connection is
 * idle again before the last read returns.
 * Free: hangup_response_free. If the body was not read to its end, that closes the connection at once.
 * Threads: one thread at a time. But hangup_response_close may be called from any thread while another one is blocked in a
 * read or a submitted read is in progress; it ends that read with HANGUP_CLOSED.
 */
typedef struct hangup_response hangup_response;

/**
 * A connection that speaks another protocol than HTTP: after 101 Switching Protocols, or a tunnel after CONNECT.
 *
 * Create: hangup_response_take_stream, hangup_stream_ref. Use: hangup_stream_*. Reading and writing are independent: two
 * threads can do both at the same time, blocking or in the background.
 *
 * The manager still has the connection: it lists it as HANGUP_CONNECTION_STATE_UPGRADED, counts it as in use and never gives
 * it to another request. What ends an exchange ends the stream: the cancel token of its request and the token's deadline;
 * hangup_manager_close_connection, _close_origin and _close_all with HANGUP_CLOSE_MODE_NOW; hangup_manager_shutdown. With
 * HANGUP_CLOSE_MODE_GRACEFUL and in hangup_manager_drain it stays open until its owner closes it (hangup_stream_is_closing).
 *
 * Two of the request's timeouts remain: HANGUP_TIMEOUT_READ for each read and HANGUP_TIMEOUT_WRITE for each step of a write
 * (hangup_stream_set_timeout). The total timeout ends with the response head. A read that timed out has lost nothing: the
 * stream can be read again. Any other failure but HANGUP_INVALID_STATE and HANGUP_INVALID_ARGUMENT closes the connection,
 * and later calls fail in the same way. In TLS, an end of the connection without close_notify is HANGUP_PEER_CLOSED.
 *
 * Free: hangup_stream_free. The last handle closes the connection.
 * Threads: any thread at any time. One reads and one writes at a time: a second one gets HANGUP_INVALID_STATE.
 */
typedef struct hangup_stream hangup_stream;

/**
 * A cancel token: it can be fired from any thread, at any time, any number of times.
 *
 * Firing ends every exchange that was sent with this token or a child of it, in any phase. The blocked call returns
 * HANGUP_CANCELLED in less than a millisecond, and the connection is closed. Firing it after an exchange ended does not
 * affect the connection's next exchange.
 *
 * Create: hangup_cancel_new, hangup_cancel_child. Use: hangup_request_set_cancel, hangup_cancel_fire.
 * Free: hangup_cancel_free, which never fires it.
 * Threads: any thread at any time.
 */
typedef struct hangup_cancel hangup_cancel;

/**
 * A completion queue: the outcomes of submitted requests and reads arrive in it, each exactly once, in the order in which
 * they ended.
 *
 * Create: hangup_queue_new. Use: hangup_client_submit, hangup_response_submit_read, hangup_stream_submit_read,
 * hangup_stream_submit_write, hangup_queue_next. In the child of a
 * fork its functions return HANGUP_FORKED.
 * Free: hangup_queue_free. Work in progress goes on (fire its cancel token to end it), and its responses are closed.
 * Threads: any thread at any time. Several threads can wait at once; each completion goes to one of them.
 */
typedef struct hangup_queue hangup_queue;

/**
 * A string that the caller owns.
 *
 * Create: hangup_client_cookies_for. Use: hangup_string_value. Free: hangup_string_free.
 * Threads: immutable; any thread at any time.
 */
typedef struct hangup_string hangup_string;

/**
 * A list of the cookies of a client, as they were at one moment.
 *
 * Create: hangup_client_cookies. Use: hangup_cookies_count, hangup_cookies_at.
 * Free: hangup_cookies_free.
 * Threads: immutable; any thread at any time.
 */
typedef struct hangup_cookies hangup_cookies;

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
     * The operating system refused: no free descriptor, thread or memory, a file that can't be read or written, or a
     * full disk. The error has the system's error number; it is EAGAIN if no thread could be started.
     */
    HANGUP_SYSTEM = 38,
    /** The proxy refused, or its response is not that of a proxy. The error has the proxy's HTTP status code. */
    HANGUP_PROXY_FAILED = 39,
    /** The redirect target is not allowed; the message names it. */
    HANGUP_REDIRECT_REFUSED = 40,
    /** A download got a response that is not 2xx. The error has its HTTP status code. */
    HANGUP_UNEXPECTED_STATUS = 41,
    /** The bytes of a download do not have the digest that the server announced (RFC 9530). */
    HANGUP_DIGEST_MISMATCH = 42,
    /**
     * The peer can't be reached any more, although it closed nothing: what was sent on a connection that was kept is
     * not acknowledged while a new connection to the same origin is made, large packets vanish on the path of a new
     * one, or the system gave the connection up (ETIMEDOUT, EHOSTUNREACH, ENETUNREACH or ECONNABORTED). The message
     * says which. The peer may have processed the request.
     */
    HANGUP_PEER_SILENT = 43,
    /**
     * There are no credentials to send: the function that gives tokens failed, or the server asks for a form of digest
     * authentication that is not supported; the message says which.
     */
    HANGUP_AUTH_FAILED = 45,
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
    /**
     * Sending the request: since the peer's system took a segment of it, or, if this is less than a second, since this
     * system's buffer had room. So it does not run out on a slow path while data moves. Default: 60 s.
     */
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

/** How much of a request the peer's TCP acknowledged, by what the system knew when the wait for the peer ended. */
typedef enum HANGUP_ENUM_TYPE {
    /**
     * No byte: the network or the peer's host is gone, or what was sent got lost on the way. The peer may have received it
     * all the same, because acknowledgements get lost, too.
     */
    HANGUP_ACKNOWLEDGED_NOTHING = 1,
    /** A part of it. */
    HANGUP_ACKNOWLEDGED_PART = 2,
    /**
     * Every byte: the host of the peer is there and has the request; the server does not answer it. If there is a
     * proxy, it is the proxy's host that has it.
     */
    HANGUP_ACKNOWLEDGED_ALL = 3,
} hangup_acknowledged;

/**
 * The name of how much was acknowledged, for example "part"; "unknown" for 0 and for a number that this version does not
 * have. Static.
 */
const char *hangup_acknowledged_text(hangup_acknowledged acknowledged);

/** Durations in microseconds; -1 for a part that did not take place. Initialise it with HANGUP_TIMINGS_INIT. */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** Waiting for a connection slot. */
    int64_t pool_us;
    /** Resolving the host name. */
    int64_t resolve_us;
    /** Connecting. */
    int64_t connect_us;
    /** The handshake with a proxy. */
    int64_t proxy_us;
    /** The TLS handshake. */
    int64_t tls_us;
    /** Sending the request. */
    int64_t write_us;
    /** From the request's last byte to the whole head. */
    int64_t head_us;
    /** From the head to the end of the body, or until now. */
    int64_t read_us;
    /** From the call to the end of the body, or until now. */
    int64_t total_us;
} hangup_timings;

/** Initialises a hangup_timings. */
#define HANGUP_TIMINGS_INIT {sizeof(hangup_timings), 0, 0, 0, 0, 0, 0, 0, 0, 0}

/**
 * What the operating system's TCP knows of a connection at one moment: TCP_INFO of Linux (tcp(7)). TLS does not hide it, as it
 * is below TLS. On a connection through a proxy it is about the way to the proxy. Initialise it with HANGUP_TCP_FACTS_INIT.
 */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** The smoothed round-trip time in microseconds (RFC 6298 section 2); -1 before it was measured. */
    int64_t rtt_us;
    /** How many milliseconds ago the last byte or acknowledgement of the peer came: its last sign of life. */
    int64_t silence_ms;
    /**
     * Bytes that were written to the connection and that the peer has not acknowledged. The peer may have received them:
     * acknowledgements get lost, too.
     */
    int64_t unacked_bytes;
    /** Those of them that were not sent yet, because the peer or the network takes no more for now. */
    int64_t unsent_bytes;
    /** Segments that were sent again since the connection was made. */
    int64_t retransmissions;
    /** How often the oldest unacknowledged segment was sent again, without an acknowledgement in between. */
    int32_t retransmissions_in_row;
    /**
     * Keep-alive probes (HANGUP_LIMIT_KEEP_ALIVE_MS) and probes of a full receive window that were sent in a row and not
     * answered.
     */
    int32_t unanswered_probes;
} hangup_tcp_facts;

/** Initialises a hangup_tcp_facts. */
#define HANGUP_TCP_FACTS_INIT {sizeof(hangup_tcp_facts), 0, 0, 0, 0, 0, 0, 0}

/** The status that the failed function returned. It never depends on the phase. */
hangup_status hangup_error_status(const hangup_error *error);

/** One sentence for people: what happened and, for invalid input, what is valid. Borrowed from the error. */
const char *hangup_error_message(const hangup_error *error);

/** The phase that the exchange was in. */
hangup_phase hangup_error_phase(const hangup_error *error);

/** The timeout that expired; HANGUP_TIMEOUT_NONE unless the status is HANGUP_TIMED_OUT. */
hangup_timeout hangup_error_timeout(const hangup_error *error);

/** The reason that was given to hangup_cancel_fire; NULL without one. Borrowed from the error. */
const char *hangup_error_reason(const hangup_error *error);

/** The operating system's error number (errno), 0 if none was involved. */
int32_t hangup_error_os_code(const hangup_error *error);

/**
 * 1 if sending the request again can't make the server perform it twice: no byte of it was sent, or its method is
 * idempotent (RFC 9110 section 9.2.2), or it has an Idempotency-Key header. 0 otherwise. Whether its body can be sent again
 * is not considered: a body from a reader can't. After a redirect this is about the whole call, from its first URL.
 */
int32_t hangup_error_retry_safe(const hangup_error *error);

/** The id of the connection that was used; 0 if there was none yet. */
uint64_t hangup_error_connection_id(const hangup_error *error);

/** 1 if that connection had served a request before, else 0. */
int32_t hangup_error_reused(const hangup_error *error);

/** How much of the request was sent. */
hangup_sent hangup_error_sent(const hangup_error *error);

/** How many bytes of the request, head and body before TLS, the operating system accepted. */
uint64_t hangup_error_bytes_sent(const hangup_error *error);

/**
 * How much of the request the peer's TCP acknowledged when the wait for the peer ended; 0 if that was not looked at.
 *
 * It is looked at for HANGUP_TIMED_OUT and HANGUP_PEER_SILENT in the phases write, head and read, on connections of TCP, on
 * Linux and Android. HANGUP_ACKNOWLEDGED_ALL says that the peer's host is there and has the request, so that the server is slow
 * or hangs; HANGUP_ACKNOWLEDGED_NOTHING says that the way to it is gone. Whether sending the request again is safe is another question
 * (hangup_error_retry_safe): what is not acknowledged may have been received. hangup_error_tcp_facts has the numbers, and
 * hangup_error_message the sentence.
 *
 * For a stream it is about what was written to it; HANGUP_ACKNOWLEDGED_PART says then that some bytes of it are not
 * acknowledged.
 */
hangup_acknowledged hangup_error_acknowledged(const hangup_error *error);

/** 1 if at least one byte of the response was received, else 0. */
int32_t hangup_error_response_started(const hangup_error *error);

/**
 * How many times the request was tried: 1 without a retry (hangup_client_set_retries), 0 if it ended before the first
 * attempt. After a redirect this counts the attempts of the last request.
 */
uint32_t hangup_error_attempts(const hangup_error *error);

/**
 * The HTTP status code that was received before the failure: of the response whose body failed, of the redirect that is
 * not allowed, or with which the proxy refused; 0 if there was none.
 */
int32_t hangup_error_status_code(const hangup_error *error);

/**
 * 1 if the same request may succeed when it is sent again: the failure comes from the network, from the server, or from
 * a limit that is reached for now. 0 if it comes from the request, from a setting or from the program: for every
 * HANGUP_INVALID_ status, HANGUP_TLS_FAILED, HANGUP_PROTOCOL, HANGUP_TOO_LARGE, HANGUP_BODY_FAILED,
 * HANGUP_REDIRECT_REFUSED, HANGUP_CANCELLED, HANGUP_CLOSED and HANGUP_SHUT_DOWN, for a host name that does not exist, and
 * for a proxy that refused with a status other than 429 and those from 500. Whether sending it again is safe is
 * hangup_error_retry_safe.
 */
int32_t hangup_error_retry_may_help(const hangup_error *error);

/** The resolver's error code, EAI_NONAME, EAI_AGAIN or another of getaddrinfo(3); 0 if it gave none. */
int32_t hangup_error_resolver_code(const hangup_error *error);

/** The method of the request; "" if there was no exchange. Borrowed from the error. */
const char *hangup_error_method(const hangup_error *error);

/**
 * The URL that was requested, after redirects the last one, without user information and fragment; its query is included.
 * "" if there was no exchange. Borrowed from the error.
 */
const char *hangup_error_url(const hangup_error *error);

/** The origin of that URL, for example "https://example.org:443"; "" if there was no exchange. Borrowed from the error. */
const char *hangup_error_origin(const hangup_error *error);

/**
 * All of the error as one JSON object (RFC 8259) on one line, so that no other function is needed. Borrowed from the error;
 * "{}" for NULL. Members without a value are null; later versions may add members:
 *
 * - "status": the status without its prefix, for example "TIMED_OUT"; "message", "reason": strings;
 * - "causes": messages of the errors that led to this one, the nearest first;
 * - "phase", "timeout", "sent": names, as hangup_phase_text and others give them;
 * - "method", "url", "origin", "connection_id", "reused", "attempts", "bytes_sent", "response_started", "status_code",
 *   "retry_safe", "retry_may_help", "os_code", "resolver_code", "open_connections": as the functions of these names, with
 *   null in place of 0 or "" for what there is not, and true and false in place of 1 and 0;
 * - "timings_us": an object with "pool", "resolve", "connect", "proxy", "tls", "write", "head", "read" and "total" in
 *   microseconds;
 * - "acknowledged": the name, as hangup_acknowledged_text gives it; "tcp_facts": an object with the members of
 *   hangup_tcp_facts but for `size`.
 */
const char *hangup_error_json(const hangup_error *error);

/** How many connections were open when hangup_manager_drain timed out; 0 for any other error. */
uint64_t hangup_error_open_connections(const hangup_error *error);

/** Frees an error. NULL does nothing. */
void hangup_error_free(hangup_error *error);

/**
 * Fills what TCP knew of the connection when the wait for the peer ended, before the connection was closed. `facts->size` is
 * sizeof(*facts) or 0.
 *
 * Fails: HANGUP_NOT_FOUND if hangup_error_acknowledged is 0.
 */
hangup_status hangup_error_tcp_facts(const hangup_error *error,
                                     hangup_tcp_facts *facts);

/** Fills the durations up to the failure; all -1 if there was no exchange. `timings->size` is sizeof(*timings) or 0. */
hangup_status hangup_error_timings(const hangup_error *error,
                                   hangup_timings *timings);

/* ---- Manager: creation --------------------------------------------------------------------------------------- */

/**
 * The manager of the process, which C, C++ and Python code in it shares by default.
 *
 * Returns a handle that must be freed with hangup_manager_free; NULL only after a defect in the library.
 */
hangup_manager *hangup_manager_shared(void);

/** A new manager. `options` may be NULL for the defaults. */
hangup_status hangup_manager_new(const hangup_options *options,
                                 hangup_manager **manager,
                                 hangup_error **error);

/** Another handle for the same manager, which must be freed as well. NULL for NULL. */
hangup_manager *hangup_manager_ref(const hangup_manager *manager);

/** Frees a handle. NULL does nothing. Never blocks. */
void hangup_manager_free(hangup_manager *manager);

/** The number of the manager. Equal numbers are the same manager, in any language of the process. 0 for NULL. */
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
    /**
     * How long a connection may be idle, in milliseconds. Default: 90,000; 0 is refused. Checked in the background. If its
     * server says `Keep-Alive: timeout=N` (RFC 9112 section C.2.2), it may be idle for N seconds less one (N / 2 if N is
     * less than 2), so that no request meets the server's close; a longer time than the limit counts for nothing.
     */
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
     * for connections that are opened later. Default: 15,000; 0 is refused; HANGUP_NO_LIMIT never probes. The probes are
     * 3,000 ms apart, or as far apart as that time is long if it is shorter, and three that are not answered end the
     * connection: after 24,000 ms by default. TCP counts in whole seconds, and at least one. An idle connection that does
     * not answer is not used: it is closed for HANGUP_CLOSE_REASON_PEER_SILENT before a request is sent on it. On a
     * connection of HANGUP_CONNECTION_MODE_CLOSE_AFTER this is set in the first wait of more than a second.
     */
    HANGUP_LIMIT_KEEP_ALIVE_MS = 9,
} hangup_limit;

/** The name of a limit, for example "per_origin"; "unknown" for a number that this version does not have. Static. */
const char *hangup_limit_text(hangup_limit limit);

/** Options with the defaults. Free them with hangup_options_free. */
hangup_options *hangup_options_new(void);

/** Sets a limit, as hangup_manager_set_limit does for a manager. */
hangup_status hangup_options_set_limit(hangup_options *options,
                                       hangup_limit limit,
                                       int64_t value,
                                       hangup_error **error);

/** Frees options. NULL does nothing. */
void hangup_options_free(hangup_options *options);

/**
 * Sets a limit, at any time; HANGUP_NO_LIMIT removes it. A lower limit applies to idle connections at once and to the
 * others when their exchange ends; a higher one lets waiting requests continue.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for an unknown limit, a negative number, or 0 where the limit refuses it;
 * HANGUP_INVALID_TIMEOUT for 0 ms.
 */
hangup_status hangup_manager_set_limit(hangup_manager *manager,
                                       hangup_limit limit,
                                       int64_t value,
                                       hangup_error **error);

/**
 * The value of a limit, as hangup_manager_set_limit takes it; HANGUP_NO_LIMIT if there is none.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for an unknown limit.
 */
hangup_status hangup_manager_limit(const hangup_manager *manager, hangup_limit limit, int64_t *value);

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
    /** Handed over as a stream, for another protocol (RFC 9110 sections 7.8 and 9.3.6). It counts as in use. */
    HANGUP_CONNECTION_STATE_UPGRADED = 7,
} hangup_connection_state;

/** The name of a connection's state, for example "idle"; "unknown" for a number that this version does not have. Static. */
const char *hangup_connection_state_text(hangup_connection_state state);

/** One open connection. Initialise it with HANGUP_CONNECTION_INFO_INIT. Its strings are borrowed from the list. */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** Its id, which is unique in the process and never reused. */
    uint64_t id;
    /** The origin, for example "https://example.org:443". */
    const char *origin;
    /** The peer's address and port, for example "127.0.0.1:8080"; "" while it is not connected. */
    const char *peer;
    /** The local address and port; "" while it is not connected. */
    const char *local;
    /** The TLS version, for example "TLSv1.3"; "" without TLS. */
    const char *tls;
    /** What it is doing. */
    hangup_connection_state state;
    /** 1 if it will be closed when its exchange ends (graceful close), else 0. */
    int32_t closing;
    /** Milliseconds since its dial began. */
    int64_t age_ms;
    /** Milliseconds since it became idle; -1 if it is not idle. */
    int64_t idle_ms;
    /** Requests that were begun on it. */
    uint64_t requests;
    /** Bytes received from the network. */
    uint64_t bytes_in;
    /** Bytes sent to the network. */
    uint64_t bytes_out;
    /**
     * From here on: what TCP knew of the connection when the list was made, see hangup_tcp_facts. All of it is -1 while it is
     * not connected, for a Unix-domain socket, and on other systems than Linux and Android.
     *
     * The smoothed round-trip time in microseconds; -1 before it was measured.
     */
    int64_t rtt_us;
    /** Milliseconds since the last byte or acknowledgement of the peer came: its last sign of life. */
    int64_t silence_ms;
    /** Bytes that were written and that the peer has not acknowledged. */
    int64_t unacked_bytes;
    /** Those of them that were not sent yet. */
    int64_t unsent_bytes;
    /** Segments that were sent again since the connection was made. */
    int64_t retransmissions;
    /** How often the oldest unacknowledged segment was sent again, without an acknowledgement in between. */
    int32_t retransmissions_in_row;
    /** Keep-alive probes and probes of a full receive window that were sent in a row and not answered. */
    int32_t unanswered_probes;
} hangup_connection_info;

/** Initialises a hangup_connection_info. */
#define HANGUP_CONNECTION_INFO_INIT {sizeof(hangup_connection_info), 0, NULL, NULL, NULL, NULL, (hangup_connection_state)0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/**
 * The addresses of a connection, and what TLS agreed on. Initialise it with HANGUP_CONNECTION_FACTS_INIT. Its strings are
 * borrowed from the response or the list that was asked. TLS is that with the origin: TLS with a proxy does not count.
 */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** The id of the connection. */
    uint64_t id;
    /**
     * The address and port of the peer, for example "127.0.0.1:8080": of the origin, or of the proxy if there is one. "" for a
     * Unix-domain socket.
     */
    const char *peer;
    /** The local address and port; "" for a Unix-domain socket. */
    const char *local;
    /** "TLSv1.2" or "TLSv1.3"; "" without TLS. */
    const char *tls_version;
    /** The cipher suite by its name in the IANA registry, for example "TLS_AES_128_GCM_SHA256"; "" without TLS. */
    const char *cipher;
    /**
     * The key exchange by its name in the IANA registry of TLS groups, for example "X25519"; "" without TLS, and if a session of
     * TLS 1.2 was resumed.
     */
    const char *key_exchange;
    /** The protocol that ALPN (RFC 7301) selected, for example "http/1.1"; "" if none was. */
    const char *alpn;
    /** How many certificates the peer sent; after a resumption, those of the session that was resumed. */
    size_t certificate_count;
    /** 1 if the TLS handshake resumed an earlier session, else 0. */
    int32_t resumed;
    /** 1 if there is TLS with the origin, else 0. */
    int32_t is_tls;
} hangup_connection_facts;

/** Initialises a hangup_connection_facts. */
#define HANGUP_CONNECTION_FACTS_INIT {sizeof(hangup_connection_facts), 0, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0}

/** Lists the connections that are open now: being dialled, in use or idle. Each is listed once. */
hangup_status hangup_manager_connections(const hangup_manager *manager,
                                         hangup_connections **list,
                                         hangup_error **error);

/** How many connections the list has. 0 for NULL. */
size_t hangup_connections_count(const hangup_connections *list);

/**
 * Fills `info` with the connection at `index`. `info->size` is sizeof(*info) or 0.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is none.
 */
hangup_status hangup_connections_at(const hangup_connections *list,
                                    size_t index,
                                    hangup_connection_info *info);

/**
 * Fills what is known of the connection at `index` since it was made; its strings are borrowed from the list. `facts->size` is
 * sizeof(*facts) or 0.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is none; HANGUP_NOT_FOUND if it is still being dialled.
 */
hangup_status hangup_connections_facts_at(const hangup_connections *list,
                                          size_t index,
                                          hangup_connection_facts *facts);

/**
 * Certificate number `which` of those that the peer of the connection at `index` sent, in DER, the peer's own one first.
 * Borrowed from the list.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is none; HANGUP_NOT_FOUND if the connection is still being dialled.
 */
hangup_status hangup_connections_certificate_at(const hangup_connections *list,
                                                size_t index,
                                                size_t which,
                                                const uint8_t **data,
                                                size_t *size);

/**
 * The list as a JSON array (RFC 8259) on one line, with an object for each connection that has the members of
 * hangup_connection_info but for `size`; those of TCP, from `rtt_us` on, are in an object `tcp_facts`, which is null if there
 * are none. A member that has no value is null; `state` is a name, as hangup_connection_state_text
 * gives it, and `closing` is true or false. Later versions may add members. Borrowed from the list; "[]" for NULL.
 */
const char *hangup_connections_json(const hangup_connections *list);

/** Frees a list and the strings borrowed from it. NULL does nothing. */
void hangup_connections_free(hangup_connections *list);

/** Counters of a manager since its creation. Initialise it with HANGUP_STATS_INIT. */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** Open now: being dialled, in use and idle together. */
    uint64_t open;
    /** Being resolved, connected or in a handshake now. */
    uint64_t dialling;
    /** Serving an exchange now. */
    uint64_t in_use;
    /** Idle now. */
    uint64_t idle;
    /** Opened since the manager's creation. */
    uint64_t opened;
    /** Closed since the manager's creation, for any reason. */
    uint64_t closed;
    /** Requests that used an idle connection. */
    uint64_t reused;
    /** Dials that failed, were cancelled or timed out. */
    uint64_t dials_failed;
    /** Idle connections that the check at checkout found unusable: closed by the peer, with unexpected data, or silent. */
    uint64_t stale;
    /** Requests waiting for a connection now. */
    uint64_t queued;
    /** Idle connections that the check in the background found closed by the peer, with unexpected data, or silent. */
    uint64_t swept;
    /** Requests that had to wait for a connection. */
    uint64_t waited;
    /** Requests that were refused because too many were waiting (HANGUP_LIMIT_QUEUE). */
    uint64_t refused;
    /** Requests that were sent again because a reused connection broke before the response. */
    uint64_t retried;
} hangup_stats;

/** Initialises a hangup_stats. */
#define HANGUP_STATS_INIT {sizeof(hangup_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** Fills the counters. `stats->size` is sizeof(*stats) or 0. */
hangup_status hangup_manager_stats(const hangup_manager *manager, hangup_stats *stats);

/**
 * Opens connections in the background until `wanted` connections to the origin are idle, within the limits. The origin is
 * for example "https://example.org"; the default port may be omitted. The settings are those of a new client: only clients
 * that set neither TLS nor proxy nor local address use these connections (otherwise see hangup_client_preconnect). `begun`
 * may be NULL; it is set to the number of dials that were started. Their outcome is visible in the connection list and in
 * the events.
 *
 * Fails: HANGUP_INVALID_URL; HANGUP_INVALID_ARGUMENT for an invalid proxy in the environment; HANGUP_SHUT_DOWN;
 * HANGUP_SYSTEM if no thread could be started for any of them.
 */
hangup_status hangup_manager_preconnect(hangup_manager *manager,
                                        const char *origin,
                                        size_t wanted,
                                        size_t *begun,
                                        hangup_error **error);

/* ---- Manager: closing ---------------------------------------------------------------------------------------- */

/** How to close a connection or a response. */
typedef enum HANGUP_ENUM_TYPE {
    /**
     * Let the exchange in progress finish, then close. A connection that was handed over as a stream is closed when its
     * owner closes it. For a response: read the rest of a short body first.
     */
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
    /** It was handed over as a stream, and the stream was closed, freed or dropped. */
    HANGUP_CLOSE_REASON_STREAM_CLOSED = 21,
    /**
     * The peer acknowledged nothing any more: neither a request, while a new connection to the same origin was
     * made, nor the probes of the system (SO_KEEPALIVE) between two requests.
     */
    HANGUP_CLOSE_REASON_PEER_SILENT = 22,
    /** The system gave it up: ETIMEDOUT, EHOSTUNREACH, ENETUNREACH or ECONNABORTED (tcp(7), ip(7)). */
    HANGUP_CLOSE_REASON_PEER_UNREACHABLE = 23,
} hangup_close_reason;

/** The name of a close reason, for example "peer closed"; "unknown" for a number that this version does not have. Static. */
const char *hangup_close_reason_text(hangup_close_reason reason);

/**
 * Closes one connection by its id. HANGUP_CLOSE_MODE_GRACEFUL lets an exchange in progress finish first;
 * HANGUP_CLOSE_MODE_NOW ends it with HANGUP_CLOSED.
 *
 * Fails: HANGUP_NOT_FOUND if no connection with that id is open. Ids are never reused.
 */
hangup_status hangup_manager_close_connection(hangup_manager *manager,
                                              uint64_t id,
                                              hangup_close_mode mode,
                                              hangup_error **error);

/**
 * Closes the connections of one origin, for example "https://example.org"; the default port may be omitted. `closed` may be
 * NULL; it is set to the number of connections that were closed or, for HANGUP_CLOSE_MODE_GRACEFUL, marked.
 *
 * Fails: HANGUP_INVALID_URL.
 */
hangup_status hangup_manager_close_origin(hangup_manager *manager,
                                          const char *origin,
                                          hangup_close_mode mode,
                                          size_t *closed,
                                          hangup_error **error);

/**
 * Closes the connections that have been idle for at least `idle_for_ms` milliseconds; 0 closes all idle ones. Connections
 * in use are not affected. `closed` may be NULL; it is set to their number.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a negative number.
 */
hangup_status hangup_manager_close_idle(hangup_manager *manager,
                                        int64_t idle_for_ms,
                                        size_t *closed);

/**
 * Closes every connection: idle ones at once, those in use as `mode` says. The manager can still be used. `closed` may be
 * NULL; it is set to the number of connections that were closed or marked.
 */
hangup_status hangup_manager_close_all(hangup_manager *manager,
                                       hangup_close_mode mode,
                                       size_t *closed);

/**
 * Why a connection was closed. The last 256 closed connections are remembered.
 *
 * Fails: HANGUP_NOT_FOUND if it is open, never existed, or was closed too long ago.
 */
hangup_status hangup_manager_close_reason(const hangup_manager *manager,
                                          uint64_t id,
                                          hangup_close_reason *reason);

/**
 * To be called when the machine's network changed (another Wi-Fi, a VPN, wake-up from sleep): closes idle connections,
 * closes those in use after their exchange, and forgets resolved addresses and what is remembered of them. `closed` may be
 * NULL; it is set to the number of connections that were closed or marked. Requests are not retried.
 *
 * On Linux the library notices most changes itself (hangup_manager_set_network_watch); this is for other systems, and for
 * changes that a program alone knows of.
 */
hangup_status hangup_manager_network_changed(hangup_manager *manager,
                                             size_t *closed);

/**
 * With 1 (the default), the manager acts on changes of the network that the system tells of; with 0 it does not. Takes
 * effect at once; what changes while it is off is not made up for.
 *
 * Linux tells of them through rtnetlink(7). When an address of this machine goes, or its interface is switched off, idle
 * connections from that address are closed (HANGUP_CLOSE_REASON_NETWORK_CHANGED), and those in use are closed after their
 * exchange. When an address goes or comes, or the default route is another one, resolved addresses are forgotten
 * (HANGUP_EVENT_TYPE_NETWORK_CHANGED), and connections for which the system would choose another local address now are closed,
 * too: a VPN has taken over the way to their peers. The others stay, and so do all of them when only a cable was pulled: they
 * live on if it is put back, and otherwise the address goes soon. Addresses of loopback and link-local ones concern their own
 * connections only.
 *
 * It is noticed within half a second while connections are idle, and then also before each dial and before each request
 * that could not be sent again. All managers of a process share one descriptor, which is opened when a connection has
 * become idle, in the network namespace that the process has then, and closed when none is idle; the child of a fork opens
 * its own. Where a sandbox forbids netlink sockets nothing is noticed; a sandbox that ends a process for trying needs 0.
 * On other systems it does nothing: call hangup_manager_network_changed.
 */
hangup_status hangup_manager_set_network_watch(hangup_manager *manager,
                                               int32_t on);

/** The setting of hangup_manager_set_network_watch: 1 or 0; 0 for NULL. It does not tell whether the system permits it. */
int32_t hangup_manager_network_watch(const hangup_manager *manager);

/**
 * Shuts the manager down after the exchanges in progress. From now on every request, also one that waits for a connection,
 * fails with HANGUP_SHUT_DOWN; idle connections are closed at once, the others when their exchange ends. Blocks this thread
 * until no connection is open, at most `timeout_ms`; HANGUP_NO_LIMIT waits without limit. A connection that was handed over
 * (hangup_stream) is open until its owner closes it; hangup_stream_is_closing tells the owner.
 *
 * It can't be undone. It can be called again, from any thread; hangup_manager_shutdown ends the remaining exchanges.
 * Fails: HANGUP_TIMED_OUT, and hangup_error_open_connections is the number of open connections; HANGUP_INVALID_TIMEOUT for
 * zero or another negative number; HANGUP_CANCELLED if the thread's interrupt check ended the wait; HANGUP_SYSTEM.
 */
hangup_status hangup_manager_drain(hangup_manager *manager,
                                   int64_t timeout_ms,
                                   hangup_error **error);

/**
 * Shuts the manager down at once, for good: every exchange ends with HANGUP_SHUT_DOWN, every connection is closed, and every
 * later request fails. Never blocks. Can be called again.
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
    /**
     * A request is sent again; the event has the reason and the delay before that. Its connection is the one of the last
     * attempt, or 0.
     */
    HANGUP_EVENT_TYPE_RETRIED = 6,
    /**
     * A phase of an exchange on this connection; the event has the phase and its duration. All phases of an exchange
     * are reported when it is over, which may be after its connection was returned or closed.
     */
    HANGUP_EVENT_TYPE_PHASE = 7,
    /**
     * Entries of `no_proxy` in the environment are not understood and are passed over, so that these hosts are
     * connected to through the proxy; hangup_client_ignored_no_proxy returns them. Reported once for a client, by its
     * first request while there is a subscription. The event has no connection; its origin is that request's.
     */
    HANGUP_EVENT_TYPE_NO_PROXY_IGNORED = 8,
    /**
     * A request on this connection waits, and bytes of it have not been acknowledged for longer than lost
     * packets explain. "Probed" follows, at once or as soon as the limits leave room for a second connection; "lost" or
     * "recovered" ends it, or "closed", if a timeout or a cancel ends the request before that.
     */
    HANGUP_EVENT_TYPE_SUSPECTED = 9,
    /**
     * After "suspected": a second connection to the same origin is being opened, to find out whether the network or this
     * connection is gone. That one has an id and events of its own. If it can't be made, the network is away, and
     * "probed" comes again after a pause, which grows up to 16 s.
     */
    HANGUP_EVENT_TYPE_PROBED = 10,
    /**
     * After "probed": the second connection was made, and the bytes were still not acknowledged. "Closed" follows, with
     * the reason "peer silent", also for idle connections of the origin that have been idle since then; the request
     * is sent again ("retried") or fails with HANGUP_PEER_SILENT.
     */
    HANGUP_EVENT_TYPE_LOST = 11,
    /**
     * After "suspected" or "probed": the bytes were acknowledged, or an answer came, and the exchange goes on. The second
     * connection, if it is made, becomes idle.
     */
    HANGUP_EVENT_TYPE_RECOVERED = 12,
    /**
     * The network of this machine changed, as the system said (hangup_manager_set_network_watch) or the program did
     * (hangup_manager_network_changed): resolved addresses are forgotten. The connections that are closed for it have
     * events of their own. The event has no connection, and its origin is "".
     */
    HANGUP_EVENT_TYPE_NETWORK_CHANGED = 13,
} hangup_event_type;

/** The name of an event type, for example "leased"; "unknown" for a number that this version does not have. Static. */
const char *hangup_event_type_text(hangup_event_type event_type);

/** Why a request is sent again. Later versions may add some: keep a default branch. */
typedef enum HANGUP_ENUM_TYPE {
    /** A reused connection broke before the response, or large packets vanish on the path of a new one. */
    HANGUP_RETRY_REASON_CONNECTION_LOST = 1,
    /** No connection could be made, and the retry policy allows another attempt. */
    HANGUP_RETRY_REASON_CONNECT_FAILED = 2,
    /** The response has a status code that the retry policy names. */
    HANGUP_RETRY_REASON_STATUS_CODE = 3,
    /** The server or the proxy asked for credentials, and there are some. */
    HANGUP_RETRY_REASON_CHALLENGE = 4,
    /** The server does not know "Expect: 100-continue" (417), which was sent because of a setting. */
    HANGUP_RETRY_REASON_EXPECT_REFUSED = 5,
} hangup_retry_reason;

/** The name of a reason, for example "status code"; "unknown" for a number that this version does not have. Static. */
const char *hangup_retry_reason_text(hangup_retry_reason reason);

/** One event. Initialise it with HANGUP_EVENT_INIT. hangup_events_origin returns its origin. */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** Consecutive in a manager: a gap is the number of lost events. */
    uint64_t number;
    /** When it happened: nanoseconds since the manager's first subscription, on a monotonic clock. */
    int64_t at_ns;
    /** The connection; 0 if there is none. */
    uint64_t connection;
    /** The duration of the phase in nanoseconds (HANGUP_EVENT_TYPE_PHASE); -1 for all others. */
    int64_t took_ns;
    /** What happened. */
    hangup_event_type type;
    /** Why it was closed (HANGUP_EVENT_TYPE_CLOSED); 0 for all others. */
    hangup_close_reason reason;
    /** Which phase (HANGUP_EVENT_TYPE_PHASE); HANGUP_PHASE_NONE for all others. */
    hangup_phase phase;
    /** Always 0. */
    int32_t reserved;
    /** The delay before the request is sent again, in nanoseconds (HANGUP_EVENT_TYPE_RETRIED); -1 for all others. */
    int64_t delay_ns;
    /** Why it is sent again (HANGUP_EVENT_TYPE_RETRIED); 0 for all others. */
    hangup_retry_reason retry_reason;
    /** Always 0. */
    int32_t reserved_2;
} hangup_event;

/** Initialises a hangup_event. */
#define HANGUP_EVENT_INIT {sizeof(hangup_event), 0, 0, 0, 0, (hangup_event_type)0, (hangup_close_reason)0, HANGUP_PHASE_NONE, 0, 0, (hangup_retry_reason)0, 0}

/**
 * Subscribes to the manager's events. At most `capacity` unread events are kept; the oldest are lost first. All
 * subscriptions of a manager share one buffer, of the largest capacity that was requested.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a capacity of 0; HANGUP_SYSTEM if no descriptor is free.
 */
hangup_status hangup_manager_events(hangup_manager *manager,
                                    size_t capacity,
                                    hangup_events **events,
                                    hangup_error **error);

/**
 * Reads the next event, or waits for one, at most `timeout_ms` milliseconds. 0 does not wait; HANGUP_NO_LIMIT waits without
 * limit. `event->size` is sizeof(*event) or 0.
 *
 * Fails: HANGUP_TIMED_OUT if there was no event in that time; HANGUP_CLOSED after hangup_events_close, when all events were
 * read; HANGUP_CANCELLED if the thread's interrupt check ended the wait; HANGUP_INVALID_TIMEOUT for another negative number;
 * HANGUP_INVALID_STATE while another thread is in this call; HANGUP_FORKED in the child of a fork; HANGUP_SYSTEM. No event is
 * lost by a failure.
 */
hangup_status hangup_events_next(hangup_events *events,
                                 int64_t timeout_ms,
                                 hangup_event *event);

/**
 * The origin of the last event that was read, for example "https://example.org:443"; "" before the first one, and for an
 * event that concerns no origin. Borrowed until
 * the next call of hangup_events_next.
 */
const char *hangup_events_origin(const hangup_events *events);

/** How many events were lost before the last one that was read, because they were not read in time. 0 for NULL. */
uint64_t hangup_events_lost(const hangup_events *events);

/**
 * A descriptor that is readable while there is an event to read, for poll(2), epoll(7) or any event loop. When it is, call
 * hangup_events_next with a timeout of 0 until it returns HANGUP_TIMED_OUT. Only poll it; it is closed with the subscription.
 * -1 for NULL.
 */
int32_t hangup_events_fd(const hangup_events *events);

/**
 * Ends the subscription: a wait in hangup_events_next ends, and when all events were read, that function returns
 * HANGUP_CLOSED. From any thread; never blocks. Can be called again.
 */
hangup_status hangup_events_close(const hangup_events *events);

/** Frees a subscription. NULL does nothing. Never blocks. */
void hangup_events_free(hangup_events *events);

/* ---- Manager: name resolution -------------------------------------------------------------------------------- */

/**
 * Resolves a host name in place of getaddrinfo(3): adds the addresses to `addresses` and returns 0, or returns another
 * number, which becomes part of the message of HANGUP_RESOLVE_FAILED. `host` is in lower case and is valid until the function
 * returns.
 *
 * It is called on threads of the library, never on one of the caller's, possibly on several at once, with no lock held. It
 * may block: a request that is cancelled or times out does not wait for it.
 */
typedef int32_t (*hangup_resolve_fn)(void *user_data, const char *host, hangup_addresses *addresses);

/**
 * Called exactly once with the resolver's `user_data`, when the resolver was replaced or its manager is gone, and no call of
 * it is running; also when hangup_manager_set_resolver failed. It may run on any thread. It may be NULL.
 */
typedef void (*hangup_resolve_end_fn)(void *user_data);

/**
 * Resolves host names by this function instead of getaddrinfo(3), for all users of this manager; NULL restores
 * getaddrinfo. Resolved addresses are forgotten. What the function returns is cached for a minute, as getaddrinfo's results
 * are, unless hangup_addresses_set_ttl says otherwise. `end` is called exactly once, also when this call fails.
 */
hangup_status hangup_manager_set_resolver(hangup_manager *manager,
                                          hangup_resolve_fn resolve,
                                          hangup_resolve_end_fn end,
                                          void *user_data,
                                          hangup_error **error);

/**
 * Adds one address, for example "192.0.2.7" or "2001:db8::7". Addresses are tried in the order in which they are added, IPv6
 * and IPv4 alternately (RFC 8305).
 *
 * Fails: HANGUP_INVALID_ARGUMENT for an invalid address.
 */
hangup_status hangup_addresses_add(hangup_addresses *addresses,
                                   const char *address);

/**
 * How long the addresses may be cached, in milliseconds: the TTL of their record (RFC 1035 section 3.2.1) times 1000. If it is
 * called for several records, the shortest time counts. 0 does not cache them, HANGUP_NO_LIMIT caches them until
 * hangup_manager_clear_addresses, or until none of them can be connected to. Without a call it is a minute.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for another negative number.
 */
hangup_status hangup_addresses_set_ttl(hangup_addresses *addresses,
                                       int64_t ttl_ms);

/**
 * Sets the addresses of a host name, separated by commas, for example "192.0.2.7, 2001:db8::7", in place of resolving it.
 * NULL removes them. Open connections are not affected. TLS still verifies the name.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for an invalid host name or address.
 */
hangup_status hangup_manager_set_address(hangup_manager *manager,
                                         const char *host,
                                         const char *addresses,
                                         hangup_error **error);

/**
 * Forgets all resolved addresses, so that the next dial resolves again, and what is remembered of them: which one connected last,
 * and to which large packets get lost. Connections are not affected.
 */
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

/** A new client. `manager` may be NULL for the shared manager. */
hangup_status hangup_client_new(hangup_manager *manager, hangup_client **client, hangup_error **error);

/** Another handle for the same client, which must be freed as well. NULL for NULL. */
hangup_client *hangup_client_ref(const hangup_client *client);

/** Frees a handle. NULL does nothing. Never blocks. */
void hangup_client_free(hangup_client *client);

/** The client's manager, as a new handle that must be freed. NULL for NULL. */
hangup_manager *hangup_client_manager(const hangup_client *client);

/**
 * Sets the default of a timeout (HANGUP_TIMEOUT_TOTAL to HANGUP_TIMEOUT_READ) in milliseconds; HANGUP_NO_LIMIT removes it.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for zero or another negative number; HANGUP_INVALID_ARGUMENT for another timeout.
 */
hangup_status hangup_client_set_timeout(hangup_client *client,
                                        hangup_timeout which,
                                        int64_t ms,
                                        hangup_error **error);

/**
 * Sets a header for every request that has no header of that name. It replaces an earlier value. NULL as value removes it, and
 * what the library would add under that name: Accept-Encoding, Cookie, and Authorization from a URL's user information. The
 * defaults are User-Agent and Accept. They are sent behind the request's own headers.
 *
 * Fails: HANGUP_INVALID_HEADER, also for Host, Connection, Content-Length and Transfer-Encoding.
 */
hangup_status hangup_client_set_header(hangup_client *client,
                                       const char *name,
                                       const char *value,
                                       hangup_error **error);

/**
 * How long the connections of requests live by default.
 *
 * Fails: HANGUP_INVALID_ARGUMENT.
 */
hangup_status hangup_client_set_connection_mode(hangup_client *client,
                                                hangup_connection_mode mode,
                                                hangup_error **error);

/**
 * The largest size of a response head in bytes, together with all 1xx heads before it. Default: 65,536.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for less than 256.
 */
hangup_status hangup_client_set_max_head(hangup_client *client, size_t bytes, hangup_error **error);

/* ---- Client: redirects, retries and content codings ---------------------------------------------------------- */

/**
 * The largest number of redirects that a call follows. Default: 10. With 0 a redirect is returned as the response;
 * HANGUP_NO_LIMIT follows any number.
 *
 * After 303 the next request is a GET without a body (HEAD stays HEAD); after 301 and 302 so is that of a POST, and any
 * other method is repeated with its body, as after 307 and 308 (RFC 9110 section 15.4; the fetch standard). Authorization,
 * Cookie, Proxy-Authorization, the credentials of hangup_client_set_auth_* and hangup_request_set_auth_*, user information of the first URL and headers named by hangup_client_add_sensitive_header are
 * dropped for the rest of the call once scheme, host or port changes. If the target is not allowed, the call fails with
 * HANGUP_REDIRECT_REFUSED, and hangup_error_status_code is the redirect's status code.
 * Fails: HANGUP_INVALID_ARGUMENT for another negative number.
 */
hangup_status hangup_client_set_redirects(hangup_client *client,
                                          int64_t max,
                                          hangup_error **error);

/**
 * Names a header that is dropped when a redirect leads to another origin, whether it is the request's or the client's. Can
 * be called for several names.
 *
 * Fails: HANGUP_INVALID_HEADER.
 */
hangup_status hangup_client_add_sensitive_header(hangup_client *client,
                                                 const char *name,
                                                 hangup_error **error);

/**
 * With 1 (the default), a request is sent again if a reused connection breaks before the response; with 0 it fails.
 *
 * A request is sent again only if that is safe. The connection had served a request before, or large packets vanish on its
 * path (hangup_client_set_detect_lost_connections). The peer closed or reset it, the system gave it up, or it was lost, before
 * the first byte of the response. The body can be repeated. And either no byte was sent, or the method is GET, HEAD, OPTIONS,
 * TRACE, PUT or DELETE, or there is an Idempotency-Key header. After three broken connections the last attempt uses a new one.
 * hangup_response_attempts and hangup_error_attempts count the attempts.
 */
hangup_status hangup_client_set_retries(hangup_client *client,
                                        int32_t on,
                                        hangup_error **error);

/**
 * With 1 (the default), a request that waits long on a reused connection finds out whether that connection is lost; with 0
 * it waits for its timeouts.
 *
 * Networks lose connections without a word: a NAT forgets them, a cable is pulled. After a second of waiting, for the
 * response or for room to send, the system is asked (TCP_INFO, tcp(7)). If bytes of the request have not been acknowledged for
 * longer than a second, and longer than three retransmission timeouts (RFC 6298), and nothing came, a second connection to the
 * origin is dialled in the background, within the limits. If that is made and the first one is still not acknowledged, the first one is
 * lost. It is closed with HANGUP_CLOSE_REASON_PEER_SILENT, together with the idle connections of its origin that have not been
 * in use since; the request is sent again as hangup_client_set_retries says, or fails with HANGUP_PEER_SILENT.
 *
 * A server that is slow, stopped or busy is never called lost: its system acknowledges what arrives. If nothing can be
 * connected to, the network is away and not this connection, and nothing changes. Where the limits leave no room for a second
 * connection, and on systems other than Linux, the timeouts decide. HANGUP_EVENT_TYPE_SUSPECTED, _PROBED, _LOST and _RECOVERED
 * report each step. Shorter waits cost nothing.
 *
 * A new connection is looked at, too, for an MTU black hole: a path on which large packets vanish and small ones pass. If nothing
 * larger than 536 bytes (1,220 with IPv6; RFC 9293 section 3.7.1) was ever acknowledged on it, and larger segments have not been
 * for that time, the second connection has segments of at most that size in both directions (TCP_MAXSEG, tcp(7)). If it is made
 * and a segment that was sent again is still not acknowledged, the request is sent again there, or fails with
 * HANGUP_PEER_SILENT and a message that says so. For ten minutes, or until hangup_manager_network_changed, other connections to
 * that address have small segments as well.
 */
hangup_status hangup_client_set_detect_lost_connections(hangup_client *client,
                                                        int32_t on,
                                                        hangup_error **error);

/**
 * With 1, requests accept gzip, deflate, br and zstd, and such bodies are decoded. 0 is the default.
 * hangup_request_set_decode is for one request. A library that was built without some of these codings neither asks for them
 * nor decodes them.
 *
 * Headers are not changed, Content-Encoding and Content-Length included. Size limits count decoded bytes. A body in any other
 * coding, and any part of a body (206), is returned as it is. Accept-Encoding is not sent if the request, or the client's
 * defaults, have an Accept-Encoding or a Range header.
 *
 * gzip may have several members and zstd several frames. A br window has at most 16 MiB, a zstd window 8 MiB (RFC 9659). What
 * was decoded before an error of the connection, the framing or the coding is returned before the error.
 */
hangup_status hangup_client_set_decode(hangup_client *client,
                                       int32_t on,
                                       hangup_error **error);

/**
 * The largest number of content codings, applied one over the other, of a decoded body. Default: 2. A response with more
 * fails with HANGUP_PROTOCOL, because each coding can multiply the size of the body by about a thousand. HANGUP_NO_LIMIT
 * allows any number.
 *
 * With any number, a body that is long but decodes to almost nothing, such as a series of empty gzip members, fails with
 * HANGUP_PROTOCOL, and a cancel, a close, a shutdown and the total timeout end the decoding.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for 0 or another negative number.
 */
hangup_status hangup_client_set_max_codings(hangup_client *client,
                                            int64_t max,
                                            hangup_error **error);

/**
 * The largest size in bytes of a body that is read as a whole without a limit of its own: by hangup_response_read_all with
 * SIZE_MAX, and for hangup_request_set_buffer_body with INT64_MAX. Decoded bytes count. Default: 268,435,456 (256 MiB). A
 * larger body fails with HANGUP_TOO_LARGE, and its connection is closed. HANGUP_NO_LIMIT allows any size. Bodies that are
 * read in pieces have no limit.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for another negative number.
 */
hangup_status hangup_client_set_max_body(hangup_client *client,
                                         int64_t bytes,
                                         hangup_error **error);

/**
 * When a client sends a request again that was not served. Initialise it with HANGUP_RETRY_POLICY_INIT; a field of 0 is
 * its default.
 */
typedef struct {
    /** sizeof the structure as the caller compiled it. */
    size_t size;
    /**
     * The delay before the second attempt, in milliseconds. Each delay is twice the one before it, less a random part of up
     * to a half. Default: 500.
     */
    int64_t first_delay_ms;
    /** The longest delay, in milliseconds. A response whose Retry-After names a longer one is returned. Default: 30,000. */
    int64_t max_delay_ms;
    /** The time from the call in which the last attempt must begin, in milliseconds; HANGUP_NO_LIMIT is any. Default: 60,000. */
    int64_t max_total_ms;
    /** How many retries all requests of the client have saved together at most. Default: 10; HANGUP_NO_LIMIT is no budget. */
    int64_t budget;
    /** The status codes after which a request is sent again, from 400 to 599. NULL is the default: 429 and 503. */
    const int32_t *status_codes;
    /** How many these are. */
    size_t status_code_count;
    /** How often a request is sent at most, the first time included. Default: 3. */
    int32_t max_attempts;
    /** 1 (the default) sends a request again if no connection could be made for it; -1 does not. */
    int32_t connect_errors;
    /**
     * By how much the budget grows with each request that is served, in percent of a retry, at most 100; -1: not at all.
     * Default: 10.
     */
    int32_t budget_percent;
} hangup_retry_policy;

/** Initialises a hangup_retry_policy with the defaults. */
#define HANGUP_RETRY_POLICY_INIT {sizeof(hangup_retry_policy), 0, 0, 0, 0, NULL, 0, 0, 0, 0}

/**
 * Sends a request again that was not served, by this policy, which is copied. NULL, the default, never does. The budget
 * begins anew. A request for which hangup_request_set_retries is off is not sent again.
 *
 * After a response with a status code of the policy: a GET, HEAD, OPTIONS, TRACE, PUT or DELETE, or a request with an
 * Idempotency-Key header; any other method only after 429 (RFC 6585 section 4), and after 503 with a Retry-After (RFC 9110
 * section 15.6.4), with which the server says that it did nothing. (curl's --retry repeats every method, urllib3 only
 * idempotent ones.) A Retry-After, in seconds or as a date, sets the delay.
 *
 * After a failure to connect, whatever the method, as nothing was sent: the name was not resolved, no address accepted the
 * connection, the proxy failed, the connection broke in the proxy's or the TLS handshake, or the timeout of one of these ran
 * out. What a later attempt can't mend (hangup_error_retry_may_help), a refused certificate for example, is not tried again.
 *
 * In both cases the body must be one that can be read again. A cancel, the total timeout and a shutdown end the delay at
 * once; a delay that would last longer than the total timeout or `max_total_ms` is not begun. Each retry is a
 * HANGUP_EVENT_TYPE_RETRIED. hangup_response_attempts and hangup_error_attempts count the attempts.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a policy that makes no sense; the message says why.
 */
hangup_status hangup_client_set_retry_policy(hangup_client *client,
                                             const hangup_retry_policy *policy,
                                             hangup_error **error);

/* ---- TLS ----------------------------------------------------------------------------------------------------- */

/** A version of TLS. */
typedef enum HANGUP_ENUM_TYPE {
    /** TLS 1.2 (RFC 5246). */
    HANGUP_TLS_VERSION_TLS12 = 12,
    /** TLS 1.3 (RFC 8446). */
    HANGUP_TLS_VERSION_TLS13 = 13,
} hangup_tls_version;

/** The name of a version of TLS, for example "TLSv1.3"; "unknown" for a number that this version does not have. Static. */
const char *hangup_tls_version_text(hangup_tls_version version);

/**
 * The default settings: the system's root certificates are trusted, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or a
 * bundled copy of Mozilla's if the system has none; TLS 1.2 and 1.3; no client certificate. Free them with hangup_tls_free.
 */
hangup_tls *hangup_tls_new(void);

/** Frees settings. NULL does nothing. */
void hangup_tls_free(hangup_tls *tls);

/**
 * Trusts these root certificates (PEM, one or more) and no others. A certificate that is given here is also accepted if the
 * server presents this very certificate, whatever its issuer is; it must be valid, and for the server's name.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is no certificate, or one can't be parsed.
 */
hangup_status hangup_tls_set_roots(hangup_tls *tls,
                                   const uint8_t *pem,
                                   size_t size,
                                   hangup_error **error);

/**
 * Trusts these root certificates (PEM, one or more) in addition to those that are trusted already: the system's, unless
 * hangup_tls_set_roots or hangup_tls_set_roots_path replaced them.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is no certificate, or one can't be parsed.
 */
hangup_status hangup_tls_add_roots(hangup_tls *tls,
                                   const uint8_t *pem,
                                   size_t size,
                                   hangup_error **error);

/**
 * Does what hangup_tls_set_roots does, with a file, or with all files of a directory. Files of a directory without usable
 * certificates are passed over, and their names don't matter. It is read now.
 *
 * Fails: HANGUP_SYSTEM if it can't be read; HANGUP_INVALID_ARGUMENT if there is no certificate.
 */
hangup_status hangup_tls_set_roots_path(hangup_tls *tls,
                                        const char *path,
                                        hangup_error **error);

/**
 * Does what hangup_tls_add_roots does, with a file, or with all files of a directory, as hangup_tls_set_roots_path reads them.
 *
 * Fails: HANGUP_SYSTEM if it can't be read; HANGUP_INVALID_ARGUMENT if there is no certificate.
 */
hangup_status hangup_tls_add_roots_path(hangup_tls *tls,
                                        const char *path,
                                        hangup_error **error);

/**
 * Presents this certificate (PEM, the chain in order, the client's own first) to servers that ask for one, with its private
 * key (PEM: PKCS#8, PKCS#1 or SEC1), which may be the same text. `password` decrypts a key of PKCS#8 ("ENCRYPTED PRIVATE KEY",
 * PBES2); it may be NULL, and is not used for a key that is not encrypted.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if either can't be parsed, the password is missing or wrong, or they don't belong together.
 * For other formats (PKCS#12, DER, "Proc-Type: 4,ENCRYPTED") the message has the command that converts them.
 */
hangup_status hangup_tls_set_certificate(hangup_tls *tls,
                                         const uint8_t *certificate_pem,
                                         size_t certificate_size,
                                         const uint8_t *key_pem,
                                         size_t key_size,
                                         const char *password,
                                         hangup_error **error);

/**
 * Sets the least and the greatest version of TLS. Default: from TLS 1.2 to TLS 1.3; older versions are not supported.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if the least one is greater than the greatest.
 */
hangup_status hangup_tls_set_versions(hangup_tls *tls,
                                      hangup_tls_version min,
                                      hangup_tls_version max,
                                      hangup_error **error);

/**
 * Adds a public key that the server's certificate may have: "sha256//" and the SHA-256 of its SubjectPublicKeyInfo in base64,
 * as curl's --pinnedpubkey; several are separated by ";". With one or more pins, a server whose own certificate has another
 * key is refused, in addition to all other checks, and also where any certificate is accepted. A pin is for the origin, not
 * for a proxy. `openssl x509 -in CERTIFICATE -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary
 * | base64` writes the hash.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if it is malformed.
 */
hangup_status hangup_tls_add_pin(hangup_tls *tls,
                                 const char *pin,
                                 hangup_error **error);

/**
 * Sets the host name, or the IP address, that is sent to the server (SNI) and that its certificate must be for, in place of
 * the URL's. The Host header is still the URL's. NULL, the default, is the URL's. A redirect to another origin does not use it
 * if it was given by hangup_request_set_tls; an https proxy never does. It is used also where hangup_client_add_connect_to
 * names another one.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for what no certificate can be for.
 */
hangup_status hangup_tls_set_server_name(hangup_tls *tls,
                                         const char *name,
                                         hangup_error **error);

/**
 * Appends the secrets of each TLS session to this file, so that programs such as Wireshark can decrypt captured traffic. The
 * file is opened now, and created with access for its owner only. NULL, the default, writes none. WITH THE FILE, ALL THE
 * TRAFFIC CAN BE READ.
 *
 * Fails: HANGUP_SYSTEM if it can't be opened.
 */
hangup_status hangup_tls_set_key_log(hangup_tls *tls,
                                     const char *path,
                                     hangup_error **error);

/**
 * Does what hangup_tls_set_key_log does, with the file that the environment variable SSLKEYLOGFILE names; without the variable
 * it writes none. The variable has no effect unless this is called.
 *
 * Fails: HANGUP_SYSTEM if it can't be opened.
 */
hangup_status hangup_tls_set_key_log_from_env(hangup_tls *tls,
                                              hangup_error **error);

/**
 * With 1, accepts ANY certificate: an attacker on the network can read and change everything. For tests against local
 * servers. 0 is the default. Pins still count (hangup_tls_add_pin).
 */
hangup_status hangup_tls_set_dangerously_accept_any_certificate(hangup_tls *tls,
                                                                int32_t on,
                                                                hangup_error **error);

/**
 * Sets the TLS settings of requests that have none of their own (hangup_request_set_tls), as they are now, and of the
 * connection to an https proxy, for which server name and pins don't count. NULL sets the defaults.
 *
 * Later requests don't use connections that were opened with other settings.
 */
hangup_status hangup_client_set_tls(hangup_client *client,
                                    const hangup_tls *tls,
                                    hangup_error **error);

/**
 * Sets the TLS settings of this request, as they are now, in place of the client's. NULL removes them. A https proxy keeps the
 * client's.
 */
hangup_status hangup_request_set_tls(hangup_request *request,
                                     const hangup_tls *tls,
                                     hangup_error **error);

/**
 * Trusts these root certificates (PEM, one or more) and no others: hangup_tls_set_roots for this client's settings. By default
 * those of the system are trusted, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or a bundled copy of Mozilla's if the system
 * has none.
 *
 * Later requests don't use connections that were opened with other roots.
 * Fails: HANGUP_INVALID_ARGUMENT if there is no certificate.
 */
hangup_status hangup_client_set_tls_roots(hangup_client *client,
                                          const uint8_t *pem,
                                          size_t size,
                                          hangup_error **error);

/**
 * Does what hangup_client_set_tls_roots does, with a file, or with all files of a directory (hangup_tls_set_roots_path).
 *
 * Fails: HANGUP_SYSTEM if it can't be read; HANGUP_INVALID_ARGUMENT if there is no certificate.
 */
hangup_status hangup_client_set_tls_roots_file(hangup_client *client,
                                               const char *path,
                                               hangup_error **error);

/**
 * Presents this certificate (PEM, the chain in order, the client's own first) to servers that ask for one, with its private
 * key (PEM: PKCS#8, PKCS#1 or SEC1, not encrypted): hangup_tls_set_certificate for this client's settings.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if either can't be parsed or they don't belong together.
 */
hangup_status hangup_client_set_tls_certificate(hangup_client *client,
                                                const uint8_t *certificate_pem,
                                                size_t certificate_size,
                                                const uint8_t *key_pem,
                                                size_t key_size,
                                                hangup_error **error);

/**
 * With 1, accepts ANY certificate: an attacker on the network can read and change everything. For tests against local
 * servers. 0 is the default.
 *
 * Clients that verify certificates never use such connections.
 */
hangup_status hangup_client_set_tls_dangerously_accept_any_certificate(hangup_client *client,
                                                                       int32_t on,
                                                                       hangup_error **error);

/* ---- Client: proxies ----------------------------------------------------------------------------------------- */

/**
 * Sends every request through this proxy: "[scheme://][user:password@]host[:port]" with the scheme http (the default),
 * https, socks4, socks4a, socks5 or socks5h. NULL uses no proxy. By default the environment decides
 * (hangup_client_set_proxy_from_env). A path is ignored. With socks4 and socks5 names are resolved here, after the proxy was
 * connected to; with socks4a and socks5h by the proxy. SOCKS 4 has a user but no password, and no IPv6.
 *
 * Connections through different proxies, or with different credentials, are never mixed.
 * Fails: HANGUP_INVALID_ARGUMENT for an invalid proxy. If the proxy refuses a request, that fails with
 * HANGUP_PROXY_FAILED, and hangup_error_status_code is the proxy's status code.
 */
hangup_status hangup_client_set_proxy(hangup_client *client,
                                      const char *proxy,
                                      hangup_error **error);

/**
 * Takes the proxies from the environment as it is now: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, each in
 * lower or upper case (`HTTP_PROXY` is ignored in CGI). The default. Entries of `no_proxy` that hangup_client_set_no_proxy
 * would refuse are passed over, as other clients do; hangup_client_ignored_no_proxy returns them.
 */
hangup_status hangup_client_set_proxy_from_env(hangup_client *client,
                                               hangup_error **error);

/**
 * The hosts that are reached without a proxy, separated by commas: "example.org" (with its subdomains), addresses, networks
 * such as "10.0.0.0/8", each with ":port" if it applies to that port only; "*" for all, "" for none. Replaces `no_proxy` of
 * the environment.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for anything else.
 */
hangup_status hangup_client_set_no_proxy(hangup_client *client,
                                         const char *list,
                                         hangup_error **error);

/**
 * The entries of the environment's `no_proxy` that are not understood and were passed over, separated by commas: these hosts
 * are connected to through the proxy. An empty string if there are none, or if the proxy is not the environment's.
 * HANGUP_EVENT_TYPE_NO_PROXY_IGNORED tells that there are some. Free `entries` with hangup_string_free.
 */
hangup_status hangup_client_ignored_no_proxy(const hangup_client *client,
                                             hangup_string **entries,
                                             hangup_error **error);

/* ---- Client: addresses and other ways to connect ------------------------------------------------------------- */

/** The addresses that a client connects to. */
typedef enum HANGUP_ENUM_TYPE {
    /** IPv6 and IPv4, alternately, beginning with what the resolver puts first (RFC 8305). The default. */
    HANGUP_ADDRESS_FAMILY_ANY = 0,
    /** IPv4 only. */
    HANGUP_ADDRESS_FAMILY_IPV4 = 4,
    /** IPv6 only. */
    HANGUP_ADDRESS_FAMILY_IPV6 = 6,
} hangup_address_family;

/** The name of an address family, for example "ipv4"; "unknown" for a number that this version does not have. Static. */
const char *hangup_address_family_text(hangup_address_family family);

/**
 * Connects to IPv4 or to IPv6 addresses only; HANGUP_ADDRESS_FAMILY_ANY is the default. It is also for the addresses that a
 * SOCKS proxy is asked for. If a host has no such address, a request fails with HANGUP_CONNECT_FAILED.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for an unknown family.
 */
hangup_status hangup_client_set_address_family(hangup_client *client,
                                               hangup_address_family family,
                                               hangup_error **error);

/**
 * How long an attempt to connect to one address of a host has, in milliseconds, before the next address is tried beside it
 * (happy eyeballs, RFC 8305 section 5). Default: 250. With HANGUP_NO_LIMIT the next address is tried only when the one before
 * has failed.
 *
 * The last address, which may be the only one, gets a second attempt beside the first after 300 ms, or after this delay if it
 * is longer, as the system sends a SYN that was lost again only after a second. An address whose last connect took longer than a
 * third of that gets it after three times that long. Both together are one attempt to the limits, the list of connections and
 * errors; the one that connects first is used, and the other is closed. At most one in 32 of the process's descriptors (RLIMIT_NOFILE)
 * is used for second attempts at a time. With HANGUP_NO_LIMIT there is no second attempt.
 *
 * The address that connected last is the first to be tried at the next dials of the host, for ten minutes (RFC 8305 section 4),
 * unless it fails: a family that does not work costs the delay once. It is forgotten with hangup_manager_clear_addresses and
 * hangup_manager_network_changed, and when hangup_manager_set_address gives the host other addresses.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for zero or another negative number.
 */
hangup_status hangup_client_set_happy_eyeballs_delay(hangup_client *client,
                                                     int64_t delay_ms,
                                                     hangup_error **error);

/**
 * Connects from this address of the machine, for example "192.0.2.7" or "2001:db8::7". NULL, the default, lets the system
 * choose.
 *
 * With one address there is one connection for each local port and server. A request that finds no free port waits for the
 * other connections to its origin, until one is free or closed, as at a limit of the manager (HANGUP_TIMEOUT_POOL); without
 * another connection it fails with HANGUP_CONNECT_FAILED and EADDRNOTAVAIL (connect(2)). It is the same without a local
 * address.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for an invalid address. If the machine does not have the address, a request fails with
 * HANGUP_CONNECT_FAILED.
 */
hangup_status hangup_client_set_local_address(hangup_client *client,
                                              const char *address,
                                              hangup_error **error);

/**
 * Connects through this network interface of the machine, for example "eth0" (SO_BINDTODEVICE, socket(7)). NULL, the
 * default, lets the system choose. Link-local IPv6 addresses (fe80::) are reached through it as well: "http://[fe80::1]/"
 * needs no zone then. Linux only; since Linux 5.7 it needs no privilege.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a text that can't be the name of an interface. If the machine has no such interface,
 * or the system does not permit it, a request fails with HANGUP_CONNECT_FAILED.
 */
hangup_status hangup_client_set_interface(hangup_client *client,
                                          const char *name,
                                          hangup_error **error);

/**
 * Connects an origin elsewhere than to the host and port of its URLs. `origin` is "host:port", "host" for every port,
 * "*:port", or "*" for all. `place` is "host:port", "host" with the origin's port, ":port" with its host, or
 * "unix:/run/app.sock" for a Unix-domain socket, where "unix:@name" is an abstract one. The first rule that is for an origin
 * counts.
 *
 * The requests stay as they are, and so do the URL, the Host header and the origin under which the connection is listed. TLS
 * asks for the origin's name and verifies it (SNI, RFC 6066 section 3), or for `server_name` if that is not NULL. A proxy is
 * asked for the other place, always by a tunnel; a Unix-domain socket is connected to without a proxy.
 * hangup_manager_set_address is for all clients of a manager, and knows hosts and addresses only.
 *
 * Fails: HANGUP_INVALID_ARGUMENT.
 */
hangup_status hangup_client_add_connect_to(hangup_client *client,
                                           const char *origin,
                                           const char *place,
                                           const char *server_name,
                                           hangup_error **error);

/** Removes all rules of hangup_client_add_connect_to. */
hangup_status hangup_client_clear_connect_to(hangup_client *client);

/**
 * Makes a connection in place of a name lookup and a connect. Returns the descriptor of a connected stream socket, which
 * belongs to the library from then on; or a negative errno such as -ECONNREFUSED, which the error of the request has
 * (hangup_error_os_code). INT32_MIN is a failure without a number.
 *
 * `origin` is that of the request, for example "https://example.org:443". `host` and `port` are what is to be connected to:
 * the origin's, those of hangup_client_add_connect_to, or those of the proxy that was set by hangup_client_set_proxy; an IPv6
 * address has brackets. The strings are valid until the function returns.
 *
 * It is called on threads of the library, never on one of the caller's, possibly on several at once, with no lock held. It
 * may block: a request that is cancelled or times out (HANGUP_TIMEOUT_CONNECT) does not wait for it, and the descriptor that it
 * returns then is closed.
 */
typedef int32_t (*hangup_connect_fn)(void *user_data, const char *origin, const char *host, int32_t port);

/**
 * Called exactly once with the connector's `user_data`, when no client and no connection uses it any more and no call of it is
 * running; also when hangup_client_set_connector failed. It may run on any thread. It may be NULL.
 */
typedef void (*hangup_connect_end_fn)(void *user_data);

/**
 * Has this function make the client's connections: for vsock, SSH tunnels, or the socket pairs of a test. NULL, the default,
 * lets the library connect.
 *
 * TLS is added for https. The connections are pooled, listed and closed like any other; no other connector and no other
 * client's connections are mixed with them. They go through a proxy if one was set by hangup_client_set_proxy; proxies of the
 * environment are not used. Local address, interface and address family have no effect. A URL that names a Unix-domain socket
 * is connected to without the connector. `end` is called exactly once, also when this call fails.
 */
hangup_status hangup_client_set_connector(hangup_client *client,
                                          hangup_connect_fn connect,
                                          hangup_connect_end_fn end,
                                          void *user_data,
                                          hangup_error **error);

/* ---- Client: trace ------------------------------------------------------------------------------------------- */

/** What a record of a trace is. Later versions may add some: keep a default branch. */
typedef enum HANGUP_ENUM_TYPE {
    /** What happens to the exchange or its connection, as text. */
    HANGUP_TRACE_TYPE_INFO = 0,
    /** The head of a request, as it is sent, with secrets replaced by their length. */
    HANGUP_TRACE_TYPE_REQUEST_HEAD = 1,
    /** A piece of the body of a request. */
    HANGUP_TRACE_TYPE_REQUEST_BODY = 2,
    /** The head of a response, interim ones (1xx) included, as it was received, with secrets replaced by their length. */
    HANGUP_TRACE_TYPE_RESPONSE_HEAD = 3,
    /** A piece of the body of a response. */
    HANGUP_TRACE_TYPE_RESPONSE_BODY = 4,
} hangup_trace_type;

/** The name of a trace type, for example "request head"; "unknown" for a number that this version does not have. Static. */
const char *hangup_trace_type_text(hangup_trace_type trace_type);

/** One record of a trace. A later version may add fields at the end. */
typedef struct {
    /** Nanoseconds since 1970-01-01 00:00:00 UTC. */
    int64_t time_ns;
    /** The id of the connection; 0 while there is none. */
    uint64_t connection_id;
    /** What was recorded. */
    hangup_trace_type type;
    /** 0. */
    int32_t reserved;
    /** For a piece of a body its size in bytes; otherwise `data_size`. */
    uint64_t length;
    /**
     * The text of information, the bytes of a head with secrets replaced by their length, or the bytes of a piece of a
     * body; no NUL follows. Valid until the function returns.
     */
    const uint8_t *data;
    /** How many bytes that are; 0 for bodies unless they are wanted. */
    size_t data_size;
} hangup_trace_record;

/**
 * Takes one record of a trace.
 *
 * It is called on the thread that does the exchange, that is on the caller's for a blocking call and on an I/O thread for a
 * submitted request, possibly on several at once, and delays the exchange: it should not block, and it must not call a
 * function of this library that sends, submits, reads or waits.
 */
typedef void (*hangup_trace_fn)(void *user_data, const hangup_trace_record *record);

/**
 * Called exactly once with the `user_data` of a trace, when the trace was replaced or its client is gone, and no call of it
 * is running; also when hangup_client_set_trace failed. It may run on any thread. It may be NULL.
 */
typedef void (*hangup_trace_end_fn)(void *user_data);

/**
 * Records every head, every piece of a body and what happens to the connections of this client's requests, and calls `record`
 * for each record; NULL records nothing, which is the default. With `bodies` 1 the records have the bytes of bodies too, those
 * of a request as they are sent, chunk framing included, and those of a response without framing and before decoding.
 *
 * Values of Authorization, Proxy-Authorization, Cookie, Set-Cookie and of the headers named by
 * hangup_client_add_sensitive_header are replaced by their length. URLs, bodies and other headers are recorded as they are.
 */
hangup_status hangup_client_set_trace(hangup_client *client,
                                      hangup_trace_fn record,
                                      hangup_trace_end_fn end,
                                      void *user_data,
                                      int32_t bodies,
                                      hangup_error **error);

/**
 * Does what hangup_client_set_trace does, and appends each record as text to a file, which is created if it does not exist;
 * NULL records nothing. Each line begins with the time (seconds since 1970-01-01 00:00:00 UTC, with microseconds), "#" and the
 * connection's id, and "*" for information, ">" and "<" for lines of a head that was sent or received, "}" and "{" for a piece
 * of a body that was sent or received. Bytes that are not printable ASCII are shown as "\x" and two hexadecimal digits.
 *
 * Fails: HANGUP_SYSTEM if the file can't be opened. Records that can't be written later are lost.
 */
hangup_status hangup_client_set_trace_file(hangup_client *client,
                                           const char *path,
                                           int32_t bodies,
                                           hangup_error **error);

/* ---- Client: cookies ----------------------------------------------------------------------------------------- */

/**
 * With 1, keeps the cookies of every response, redirects included, and sends them as RFC 6265 requires. 0, the default, stops
 * that and removes all cookies. A request with a Cookie header sends only that one. At most 3000 cookies are kept, and 180
 * of one site (a registrable domain and its subdomains). Expired cookies are removed first, then the least recently used of
 * the site, or of the site with most cookies.
 */
hangup_status hangup_client_set_cookies(hangup_client *client,
                                        int32_t on,
                                        hangup_error **error);

/**
 * With 1, Secure cookies are also set by and sent to "localhost", names below it and loopback addresses without TLS, as
 * browsers have it for servers under development. 0 is the default.
 */
hangup_status hangup_client_set_secure_cookies_on_localhost(hangup_client *client,
                                                            int32_t on,
                                                            hangup_error **error);

/**
 * Adds a cookie as if a response from that URL had set it: "name=value", followed by attributes as in a Set-Cookie header,
 * for example "id=7; Path=/; Max-Age=3600".
 *
 * Fails: HANGUP_INVALID_URL; HANGUP_INVALID_ARGUMENT for a cookie that a response couldn't set; HANGUP_INVALID_STATE if
 * cookies are not kept.
 */
hangup_status hangup_client_add_cookie(hangup_client *client,
                                       const char *url,
                                       const char *cookie,
                                       hangup_error **error);

/**
 * The Cookie header that a request for that URL would have, for example "id=7; theme=dark"; an empty string if it would have
 * none. Bytes that are not UTF-8 are shown as U+FFFD, but are sent unchanged. Free `cookies` with hangup_string_free.
 *
 * Fails: HANGUP_INVALID_URL.
 */
hangup_status hangup_client_cookies_for(const hangup_client *client,
                                        const char *url,
                                        hangup_string **cookies,
                                        hangup_error **error);

/** Removes all cookies. New ones are kept if hangup_client_set_cookies says so. */
hangup_status hangup_client_clear_cookies(hangup_client *client);

/**
 * One cookie. Initialise it with HANGUP_COOKIE_INFO_INIT. Its strings are borrowed from the list. Bytes are never NUL, and
 * need not be UTF-8.
 */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** The name. */
    const char *name;
    /** The value. */
    const char *value;
    /** The bytes of the value. */
    size_t value_size;
    /** The host that it is sent to, without a dot at its beginning, for example "example.org". */
    const char *domain;
    /** It is sent with this path and all below it. */
    const char *path;
    /** When it expires, in seconds since 1970; -1: with the client. */
    int64_t expires;
    /** 1 if it is sent to that host only, 0 if to the names below it, too. */
    int32_t host_only;
    /** 1 if it is sent over https only, else 0. */
    int32_t secure;
    /** 1 if it had the attribute HttpOnly, which has a meaning for browsers only; else 0. */
    int32_t http_only;
    /** Always 0. */
    int32_t reserved;
} hangup_cookie_info;

/** Initialises a hangup_cookie_info. */
#define HANGUP_COOKIE_INFO_INIT {sizeof(hangup_cookie_info), NULL, NULL, 0, NULL, NULL, 0, 0, 0, 0, 0}

/**
 * Lists the cookies that the client keeps and that have not expired, by domain, path and name. The list is empty if cookies
 * are not kept.
 */
hangup_status hangup_client_cookies(const hangup_client *client,
                                    hangup_cookies **list,
                                    hangup_error **error);

/** How many cookies the list has. 0 for NULL. */
size_t hangup_cookies_count(const hangup_cookies *list);

/**
 * Fills `info` with the cookie at `index`. `info->size` is sizeof(*info) or 0.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is none.
 */
hangup_status hangup_cookies_at(const hangup_cookies *list, size_t index, hangup_cookie_info *info);

/** Frees a list and the strings borrowed from it. NULL does nothing. */
void hangup_cookies_free(hangup_cookies *list);

/** A format in which cookies are saved. */
typedef enum HANGUP_ENUM_TYPE {
    /** The text format of Netscape, which curl, wget and Python's MozillaCookieJar read and write. */
    HANGUP_COOKIE_FORMAT_NETSCAPE = 1,
    /**
     * A list of objects with the members name, value, domain, host_only, path, secure, http_only and expires (seconds
     * since 1970, or null). A name, value or path that is not UTF-8 stands in name_base64, value_base64 or path_base64.
     */
    HANGUP_COOKIE_FORMAT_JSON = 2,
} hangup_cookie_format;

/** The name of a format, for example "netscape"; "unknown" for a number that this version does not have. Static. */
const char *hangup_cookie_format_text(hangup_cookie_format format);

/**
 * Writes the cookies into a file, those included that would be forgotten with the client. The file is written beside its
 * place and renamed, so that it is never half a file, and only its owner can read it. HANGUP_COOKIE_FORMAT_NETSCAPE leaves
 * out a cookie whose name or path has a tab.
 *
 * Fails: HANGUP_SYSTEM if it can't be written; HANGUP_INVALID_STATE if cookies are not kept.
 */
hangup_status hangup_client_save_cookies(const hangup_client *client,
                                         const char *path,
                                         hangup_cookie_format format,
                                         hangup_error **error);

/**
 * Adds the cookies of a file to those that are kept. Either format is recognised: the text format of Netscape, also as curl
 * and browsers' extensions write it, and JSON. Cookies that have expired, those with more than 4096 bytes, and those for a public
 * suffix, are passed over.
 *
 * Fails: HANGUP_SYSTEM if it can't be read; HANGUP_INVALID_ARGUMENT if it is neither, has a cookie with control characters, or is
 * larger than 16 MiB: nothing is kept then; HANGUP_INVALID_STATE if cookies are not kept.
 */
hangup_status hangup_client_load_cookies(hangup_client *client,
                                         const char *path,
                                         hangup_error **error);

/* ---- Client: credentials ------------------------------------------------------------------------------------- */

/**
 * Sends this user and password to the origin of each request as Basic credentials (RFC 7617): readable by all who see the
 * request, so use https.
 *
 * Credentials go to the origin of the request's URL and never to another one: a redirect to another scheme, host or port drops
 * them for the rest of the call. Those of a request come first: its Authorization header, then hangup_request_set_auth_*, then
 * the user information of its URL. Then comes an Authorization header of the client, and then these. A client has one
 * kind: each hangup_client_set_auth_* replaces the others. For a request with CONNECT they go into the
 * Proxy-Authorization header.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a user with a colon, and for control characters.
 */
hangup_status hangup_client_set_auth_basic(hangup_client *client,
                                           const char *user,
                                           const char *password,
                                           hangup_error **error);

/**
 * Sends this bearer token (RFC 6750) to the origin of each request.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a token that is empty or has other characters than the visible ones of ASCII.
 */
hangup_status hangup_client_set_auth_bearer(hangup_client *client,
                                            const char *token,
                                            hangup_error **error);

/**
 * Answers the challenges of servers with this user and password (digest authentication, RFC 7616, with MD5, SHA-256,
 * SHA-512-256 and their "-sess" forms; the quality of protection is "auth", or none as in RFC 2069).
 *
 * The first request to an origin goes out without credentials; after a 401 it is sent again on the same connection, and later
 * requests of the client use the same nonce at once. The 401 is returned if the body can't be read again, or if the server
 * refuses the answer. A server that offers only other forms, "auth-int" for example, fails the call with HANGUP_AUTH_FAILED.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for control characters.
 */
hangup_status hangup_client_set_auth_digest(hangup_client *client,
                                            const char *user,
                                            const char *password,
                                            hangup_error **error);

/**
 * Sends the users and passwords of a netrc file, which is read now, as Basic credentials to the hosts that it names. `path`
 * NULL is the file that the environment variable NETRC names, or else .netrc in the home directory; if that one does not
 * exist, nothing is sent.
 *
 * Fails: HANGUP_SYSTEM if the file can't be read; HANGUP_INVALID_ARGUMENT if it is malformed.
 */
hangup_status hangup_client_set_auth_netrc(hangup_client *client,
                                           const char *path,
                                           hangup_error **error);

/**
 * Sets the token: visible ASCII characters, without "Bearer ". It is copied.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if it is not UTF-8.
 */
hangup_status hangup_token_set_value(hangup_token *token, const char *value);

/**
 * Gives a bearer token for an origin, for example "https://example.org:443": sets it with hangup_token_set_value and returns 0, or
 * returns another number, which becomes part of the message of HANGUP_AUTH_FAILED. `refused` is NULL before a request is
 * sent; after the server refused a token with 401 it is that token. Both texts are valid until the function returns.
 *
 * It is called on threads of the library, never on one of the caller's, possibly on several at once, with no lock held. It
 * may block: a request that is cancelled or times out does not wait for it.
 */
typedef int32_t (*hangup_token_fn)(void *user_data,
                                   const char *origin,
                                   const char *refused,
                                   hangup_token *token);

/**
 * Called exactly once with the `user_data` of a hangup_token_fn, when it was replaced or its client or request is gone, and
 * no call of it is running; also when the function that set it failed. It may run on any thread. It may be NULL.
 */
typedef void (*hangup_token_end_fn)(void *user_data);

/**
 * Sends bearer tokens that this function gives. It is asked before each request; if the server refuses that token with 401, it
 * is asked once more, and the request is sent again. If it gives the same token then, or the body can't be read again, the
 * 401 is returned. `end` is called exactly once, also when this call fails.
 *
 * Fails: HANGUP_NULL for no function.
 */
hangup_status hangup_client_set_auth_token(hangup_client *client,
                                           hangup_token_fn provide,
                                           hangup_token_end_fn end,
                                           void *user_data,
                                           hangup_error **error);

/** Sends no credentials of the client any more. */
hangup_status hangup_client_clear_auth(hangup_client *client);

/**
 * With 1, a HTTP proxy gets the user and the password of its URL as answers to its challenges (digest authentication, RFC
 * 7616), so that the password itself is never sent; with 0, the default, as Basic credentials with each request. A 407 is
 * answered on the same connection if the proxy keeps it, and on a new one otherwise. A plain request whose body can't be
 * read again gets the 407.
 */
hangup_status hangup_client_set_proxy_digest(hangup_client *client,
                                             int32_t on,
                                             hangup_error **error);

/* ---- Request ------------------------------------------------------------------------------------------------- */

/**
 * A new request. The URL is absolute, http or https; its fragment is not sent, its user information becomes Basic
 * credentials. Path and query are sent as they are written, except that the path segments "." and ".." are followed, and that
 * spaces and other characters that no request can hold are percent-encoded. A Unix-domain socket is named by its
 * percent-encoded path, "http+unix://%2Frun%2Fapp.sock/path", an abstract one (Linux) by "%40" and its name:
 * "http+unix://%40name/path". A link-local IPv6 address has a zone, which is a network interface: "http://[fe80::1%25eth0]/".
 *
 * Fails: HANGUP_INVALID_URL, HANGUP_INVALID_METHOD.
 */
hangup_status hangup_request_new(const char *method,
                                 const char *url,
                                 hangup_request **request,
                                 hangup_error **error);

/**
 * As hangup_request_new, but everything in the URL between its host and its fragment is sent exactly as it is written: no space
 * is encoded and no ".." is followed. A backslash is sent, too. A URL that was signed and holds such characters stays signed.
 *
 * Fails: HANGUP_INVALID_URL, also for a space or a control character; HANGUP_INVALID_METHOD.
 */
hangup_status hangup_request_new_as_given(const char *method,
                                          const char *url,
                                          hangup_request **request,
                                          hangup_error **error);

/**
 * A new request for a tunnel, with the method CONNECT (RFC 9110 section 9.3.6). `proxy` is the URL of an HTTP proxy;
 * `target` is the host and port that it shall connect to, such as "example.org:443". After a success (2xx) the connection is a
 * stream to the target: hangup_response_take_stream. Any other response is an ordinary one; redirects are not followed. User
 * information in the URL becomes Basic credentials in Proxy-Authorization.
 *
 * To send requests through a proxy, use hangup_client_set_proxy instead.
 *
 * Fails: HANGUP_INVALID_URL, also for a target that is not a host and a port.
 */
hangup_status hangup_request_new_connect(const char *proxy,
                                         const char *target,
                                         hangup_request **request,
                                         hangup_error **error);

/**
 * A copy that can be changed independently. It shares the cancel token.
 *
 * Fails: HANGUP_INVALID_STATE for a body from a reader, which can't be copied.
 */
hangup_status hangup_request_copy(const hangup_request *request, hangup_request **copy, hangup_error **error);

/** Frees a request. NULL does nothing. */
void hangup_request_free(hangup_request *request);

/** The method. Borrowed until the request is changed or freed. "" for NULL. */
const char *hangup_request_method(const hangup_request *request);

/**
 * Adds a header. A name can be added several times. Names are sent with the case and in the order in which they were added, in
 * front of the client's defaults. The value is any bytes but control characters other than tab, in any encoding (RFC 9110
 * section 5.5).
 *
 * Host replaces the URL's host in the message: it has no influence on the connection and on TLS, and is not sent to another
 * origin after a redirect. Content-Length must be the length of the body; for a body whose length is not known it announces
 * that length, and another length fails the exchange with HANGUP_BODY_FAILED. Transfer-Encoding can only repeat what the
 * library sends. "Connection: close" is HANGUP_CONNECTION_MODE_CLOSE_AFTER.
 *
 * "Upgrade" asks for another protocol (RFC 9110 section 7.8), such as "websocket"; the library adds "Connection: Upgrade". If
 * the response is 101, hangup_response_take_stream returns the connection; any other response is an ordinary one. A server
 * that switches without having been asked, or to a protocol that was not named, is HANGUP_PROTOCOL. Such a request goes
 * through an HTTP proxy in a tunnel.
 *
 * Fails: HANGUP_INVALID_HEADER, here or when the request is sent, for a value that contradicts what the library sends.
 */
hangup_status hangup_request_add_header(hangup_request *request,
                                        const char *name,
                                        const char *value,
                                        hangup_error **error);

/**
 * Removes a header from the request, and from what the client and the library would add to it: the client's defaults such as
 * Accept and User-Agent, Accept-Encoding, Cookie, and Authorization from the URL's user information. A header of that name
 * that is added later is sent.
 *
 * Fails: HANGUP_INVALID_HEADER, also for Host, Connection, Content-Length and Transfer-Encoding, which the library sends where
 * HTTP needs them.
 */
hangup_status hangup_request_remove_header(hangup_request *request,
                                           const char *name,
                                           hangup_error **error);

/**
 * Sets what is sent as the request target (RFC 9112 section 3.2) instead of the URL's path and query, byte for byte: "*" for
 * OPTIONS of a server as a whole, or a path that the URL standard would change. Connection, Host, TLS and cookies follow the
 * URL, and a redirect is resolved against it and has its own target. NULL, the default, is the URL's target.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a target that is empty or holds a space or a control character.
 */
hangup_status hangup_request_set_target(hangup_request *request,
                                        const char *target,
                                        hangup_error **error);

/* ---- Request: body ------------------------------------------------------------------------------------------- */

/** Sets the body to a copy of these bytes. (NULL, 0) is an empty body. */
hangup_status hangup_request_set_body(hangup_request *request,
                                      const uint8_t *data,
                                      size_t size,
                                      hangup_error **error);

/**
 * Called exactly once with the body's `user_data`, when the body was sent, failed or is no longer needed; also when the
 * function that set the body failed. It may run on any thread. If the request completes while a hangup_body_read_fn is
 * running, it is called after that has returned. It may be NULL.
 */
typedef void (*hangup_body_end_fn)(void *user_data);

/**
 * Sets the body to `size` bytes at `data` without copying them. They must not change until `end` is called with `user_data`.
 * That happens exactly once, when no request and no exchange needs them any more, also when this call fails. Copies of the
 * request share them.
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
 * Sets the body to the contents of a regular file, which is opened and read when the request is sent. It is sent with its
 * length, or chunked if the file's size can't be relied on, as in /proc. If the file grows or shrinks during the exchange, that
 * fails with HANGUP_BODY_FAILED.
 *
 * Fails: HANGUP_SYSTEM if it can't be opened or is not a regular file, such as a FIFO; a FIFO is not waited for.
 */
hangup_status hangup_request_set_body_file(hangup_request *request,
                                           const char *path,
                                           hangup_error **error);

/**
 * Reads a piece of a request's body: writes at most `room` bytes to `into` and returns how many; 0 at the end; a negative
 * number ends the exchange with HANGUP_BODY_FAILED. The room is 16 KiB at first, and 128 KiB as soon as a piece has filled it (in
 * chunks, the room that their framing leaves of it); what is returned is sent at once, and larger pieces take less CPU.
 *
 * It is called with no lock held; it may block, and it may call hangup. For hangup_client_send it is called on the thread
 * that sends. For hangup_client_submit it is called on threads of the library: not always the same one, never two at once.
 *
 * When a timeout, a cancel, a close or a shutdown ends a submitted request, that completes at once: it does not wait for a
 * running callback, whose result is dropped. A blocking hangup_client_send returns after the callback has returned.
 */
typedef int64_t (*hangup_body_read_fn)(void *user_data, uint8_t *into, size_t room);

/**
 * Sets the body to what a callback returns. `length` is the number of bytes, or HANGUP_NO_LIMIT if it is not known; the body
 * is then sent chunked (RFC 9112 section 7.1). If the callback returns fewer bytes, the exchange fails. Such a body is sent
 * once. `end` is called exactly once, also when this call fails.
 *
 * Fails: HANGUP_NULL; HANGUP_INVALID_ARGUMENT for another negative length.
 */
hangup_status hangup_request_set_body_reader(hangup_request *request,
                                             hangup_body_read_fn read,
                                             hangup_body_end_fn end,
                                             void *user_data,
                                             int64_t length,
                                             hangup_error **error);

/**
 * Goes back to where the first hangup_body_read_fn began, because the body is sent again after a redirect or a retry. Returns 0; any
 * other number ends the exchange with HANGUP_BODY_FAILED. It is called as hangup_body_read_fn is, never while that runs.
 */
typedef int32_t (*hangup_body_rewind_fn)(void *user_data);

/**
 * hangup_request_set_body_reader for a source that can go back to its beginning, such as a file: after a redirect, and when a
 * lost connection is replaced (hangup_request_set_retries), `rewind` is called and the body is sent again. One call of
 * hangup_client_send or hangup_client_submit takes the source; for another call set a new body.
 *
 * Fails: HANGUP_NULL, also for a NULL `rewind`; HANGUP_INVALID_ARGUMENT for another negative length.
 */
hangup_status hangup_request_set_body_rewindable(hangup_request *request,
                                                 hangup_body_read_fn read,
                                                 hangup_body_rewind_fn rewind,
                                                 hangup_body_end_fn end,
                                                 void *user_data,
                                                 int64_t length,
                                                 hangup_error **error);

/**
 * Sets the body to what is read from a descriptor: a pipe, a socket, a device or a file. `length` is the number of bytes, or
 * HANGUP_NO_LIMIT for all up to the end, which is then sent chunked (RFC 9112 section 7.1).
 *
 * The descriptor is duplicated: the caller can close its own at once. Both share one offset and one set of flags, which are not
 * changed. Only the exchange may read meanwhile. A file is sent from its current offset, and again from there after a redirect or
 * a retry; all others can be sent once. A cancel, a timeout or a close ends the wait for the descriptor at once, also in a
 * blocking hangup_client_send.
 *
 * Fails: HANGUP_SYSTEM for a descriptor that is not open; HANGUP_INVALID_ARGUMENT for another negative length.
 */
hangup_status hangup_request_set_body_fd(hangup_request *request,
                                         int32_t fd,
                                         int64_t length,
                                         hangup_error **error);

/* ---- Request: forms ------------------------------------------------------------------------------------------ */

/** A new form without fields, with a random boundary. Free it with hangup_form_free. */
hangup_form *hangup_form_new(void);

/**
 * Sets the boundary between the parts of multipart/form-data, in place of the random one. It must occur in no part.
 *
 * Fails: HANGUP_INVALID_ARGUMENT unless it is 1 to 70 letters, digits and '()+_,-./:=? (RFC 2046 section 5.1.1).
 */
hangup_status hangup_form_set_boundary(hangup_form *form,
                                       const char *boundary,
                                       hangup_error **error);

/**
 * Adds a field of text.
 *
 * Fails: HANGUP_NULL; HANGUP_INVALID_ARGUMENT for text that is not UTF-8.
 */
hangup_status hangup_form_add_text(hangup_form *form,
                                   const char *name,
                                   const char *value,
                                   hangup_error **error);

/**
 * Adds a field of bytes, which are copied. With a `file_name` it is sent as a file. `content_type` may be NULL:
 * application/octet-stream for a file, none for others.
 *
 * Fails: HANGUP_NULL; HANGUP_INVALID_HEADER for a content type that no header can have.
 */
hangup_status hangup_form_add_bytes(hangup_form *form,
                                    const char *name,
                                    const uint8_t *data,
                                    size_t size,
                                    const char *file_name,
                                    const char *content_type,
                                    hangup_error **error);

/**
 * Adds a field with the contents of a regular file, which is opened and read when the request is sent, as
 * hangup_request_set_body_file does. `file_name` may be NULL: the last part of the path. `content_type` may be NULL:
 * application/octet-stream.
 *
 * Fails: HANGUP_SYSTEM if it can't be opened or is not a regular file; otherwise as hangup_form_add_bytes.
 */
hangup_status hangup_form_add_file(hangup_form *form,
                                   const char *name,
                                   const char *path,
                                   const char *file_name,
                                   const char *content_type,
                                   hangup_error **error);

/**
 * Adds a field with what a callback returns; `rewind`, which may be NULL, `end` and `length` are those of
 * hangup_request_set_body_rewindable. `file_name` and `content_type` are those of hangup_form_add_bytes. If the length of one
 * part is not known, the form is sent chunked. `end` is called exactly once, also when this call fails.
 *
 * Fails: as hangup_form_add_bytes; HANGUP_INVALID_ARGUMENT for a negative length other than HANGUP_NO_LIMIT.
 */
hangup_status hangup_form_add_reader(hangup_form *form,
                                     const char *name,
                                     hangup_body_read_fn read,
                                     hangup_body_rewind_fn rewind,
                                     hangup_body_end_fn end,
                                     void *user_data,
                                     int64_t length,
                                     const char *file_name,
                                     const char *content_type,
                                     hangup_error **error);

/**
 * Sets the body to a form as multipart/form-data (RFC 7578), and Content-Type unless the request has one already. It is sent
 * with its length if the lengths of all parts are known, and again for redirects and retries if all parts can be read again.
 * The form can be changed and used again, unless a part comes from a reader.
 *
 * Fails: HANGUP_INVALID_STATE for a form with a reader that was set before.
 */
hangup_status hangup_request_set_body_form(hangup_request *request,
                                           hangup_form *form,
                                           hangup_error **error);

/**
 * Sets the body to a form of text as application/x-www-form-urlencoded (WHATWG URL, section 5), and Content-Type unless the
 * request has one already.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a field that is no text.
 */
hangup_status hangup_request_set_body_urlencoded(hangup_request *request,
                                                 hangup_form *form,
                                                 hangup_error **error);

/** Frees a form. NULL does nothing. */
void hangup_form_free(hangup_form *form);

/* ---- Request: a body written piece by piece ------------------------------------------------------------------ */

/**
 * A body of `length` bytes, or of any number if that is HANGUP_NO_LIMIT; it is then sent chunked (RFC 9112 section 7.1). Give it
 * to a request with hangup_request_set_body_upload; what is written before is buffered.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for another negative length.
 */
hangup_status hangup_upload_new(int64_t length,
                                hangup_upload **upload,
                                hangup_error **error);

/**
 * Sets the request's body to what is written to the upload. Such a body is sent once, by one request. The request must be sent by
 * another thread, or submitted, for writes to go on when the buffer is full.
 *
 * Fails: HANGUP_INVALID_STATE if a request has it already.
 */
hangup_status hangup_request_set_body_upload(hangup_request *request,
                                             hangup_upload *upload,
                                             hangup_error **error);

/**
 * Writes all of these bytes, which are copied. Blocks this thread while the buffer is full. The timeouts of the exchange bound
 * that: HANGUP_TIMEOUT_WRITE if the server takes nothing. Before the exchange begins, it waits 60 seconds at most.
 *
 * Fails: the error of the exchange, if that has failed; HANGUP_CLOSED if the server responded without waiting for the rest of
 * the body; HANGUP_BODY_FAILED for more bytes than the length; HANGUP_TIMED_OUT if no exchange begins; HANGUP_CANCELLED if the
 * thread's interrupt check ended the wait; HANGUP_INVALID_STATE after hangup_upload_finish or hangup_upload_abort, or while a
 * submitted write is in progress; HANGUP_FORKED in the child of a fork.
 */
hangup_status hangup_upload_write_all(hangup_upload *upload,
                                      const uint8_t *data,
                                      size_t size,
                                      hangup_error **error);

/**
 * Writes as many of these bytes as there is room for, without waiting, and sets `taken` to their number. 0 means that there is
 * no room: wait for hangup_upload_fd.
 *
 * Fails: as hangup_upload_write_all, except for HANGUP_TIMED_OUT and HANGUP_CANCELLED of its wait.
 */
hangup_status hangup_upload_try_write(hangup_upload *upload,
                                      const uint8_t *data,
                                      size_t size,
                                      size_t *taken,
                                      hangup_error **error);

/**
 * A descriptor that is readable while there is room for at least 32 KiB, and after the end of the exchange: for poll(2), epoll(7)
 * or any event loop, beside hangup_upload_try_write. Only poll it; it is closed with the upload. -1 for NULL, and if the process
 * has no free descriptor.
 */
int32_t hangup_upload_fd(const hangup_upload *upload);

/**
 * The body is complete. Never blocks: what was written is sent.
 *
 * Fails: HANGUP_BODY_FAILED if fewer bytes than the length were written, which fails the exchange as well; the error of the
 * exchange, if that has failed; HANGUP_CLOSED if it ended without waiting for the rest; HANGUP_INVALID_STATE while a submitted
 * write is in progress, or after an earlier call.
 */
hangup_status hangup_upload_finish(hangup_upload *upload,
                                   hangup_error **error);

/**
 * Gives the body up: the exchange fails with HANGUP_BODY_FAILED, and its message has this reason, which may be NULL. The bytes
 * that were written may have been sent. From any thread; never blocks.
 *
 * Fails: HANGUP_NULL, HANGUP_INVALID_ARGUMENT for a reason that is not UTF-8.
 */
hangup_status hangup_upload_abort(hangup_upload *upload,
                                  const char *reason,
                                  hangup_error **error);

/** Frees an upload. If its body was not finished, that is given up. NULL does nothing. Never blocks. */
void hangup_upload_free(hangup_upload *upload);

/* ---- Request: progress, rates and 100 Continue --------------------------------------------------------------- */

/** A new progress handle that counts nothing yet. Free it with hangup_progress_free. */
hangup_progress *hangup_progress_new(void);

/**
 * Sets the handle that says how far the bodies of this request and of its response are. The request keeps a share of it. NULL
 * removes it.
 */
hangup_status hangup_request_set_progress(hangup_request *request,
                                          hangup_progress *progress,
                                          hangup_error **error);

/** How many bytes of the request's body were sent, that is handed to the system or to TLS. 0 for NULL. */
uint64_t hangup_progress_bytes_sent(const hangup_progress *progress);

/** The length of the request's body; -1 before the exchange has begun, for a body of unknown length and for NULL. */
int64_t hangup_progress_bytes_to_send(const hangup_progress *progress);

/** How many bytes of the response's body were read. 0 for NULL. */
uint64_t hangup_progress_bytes_received(const hangup_progress *progress);

/** The length of the response's body; -1 before the response head, for a body of unknown length and for NULL. */
int64_t hangup_progress_bytes_to_receive(const hangup_progress *progress);

/** Frees a handle. NULL does nothing. Never blocks. */
void hangup_progress_free(hangup_progress *progress);

/**
 * The maximum rates of this request in bytes per second: `upload` of its body, `download` of the response's body;
 * HANGUP_NO_LIMIT is no maximum. Overrides hangup_client_set_max_rate.
 *
 * The rate is kept over any second. The time of a pause counts for the total timeout only, and not for the minimum rate; a
 * cancel ends it at once.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for zero or another negative number.
 */
hangup_status hangup_request_set_max_rate(hangup_request *request,
                                          int64_t upload,
                                          int64_t download,
                                          hangup_error **error);

/**
 * The maximum rates of each request in bytes per second: `upload` of its body, `download` of the response's body.
 * HANGUP_NO_LIMIT, the default, is no maximum. Details: hangup_request_set_max_rate.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for zero or another negative number.
 */
hangup_status hangup_client_set_max_rate(hangup_client *client,
                                         int64_t upload,
                                         int64_t download,
                                         hangup_error **error);

/**
 * Sends the head with "Expect: 100-continue", and the body when the server asks for it, or has not responded for `wait_ms`
 * milliseconds (RFC 9110 section 10.1.1). HANGUP_NO_LIMIT sends the body at once. Overrides hangup_client_set_expect_continue.
 *
 * A final response in place of 100 is returned, and the body is not sent. After 417, by which a server says that it does not know
 * the expectation, the request is sent again without it, once, if the body can be sent again. A request without a body has no
 * Expect. For an Expect header that was added by hangup_request_add_header the wait is one second, and 417 is returned.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for zero or another negative number.
 */
hangup_status hangup_request_set_expect_continue(hangup_request *request,
                                                 int64_t wait_ms,
                                                 hangup_error **error);

/**
 * Whether requests with a body are sent with "Expect: 100-continue", and for how many milliseconds they wait for the server to
 * ask for the body. HANGUP_NO_LIMIT, the default, sends the body at once. Details: hangup_request_set_expect_continue.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for zero or another negative number.
 */
hangup_status hangup_client_set_expect_continue(hangup_client *client,
                                                int64_t wait_ms,
                                                hangup_error **error);

/* ---- Request: credentials ------------------------------------------------------------------------------------ */

/**
 * As hangup_client_set_auth_basic, for this request, in place of the client's credentials and of the URL's user information.
 *
 * Fails: as that one; HANGUP_INVALID_STATE while another thread uses the request.
 */
hangup_status hangup_request_set_auth_basic(hangup_request *request,
                                            const char *user,
                                            const char *password,
                                            hangup_error **error);

/**
 * As hangup_client_set_auth_bearer, for this request.
 *
 * Fails: as that one; HANGUP_INVALID_STATE while another thread uses the request.
 */
hangup_status hangup_request_set_auth_bearer(hangup_request *request,
                                             const char *token,
                                             hangup_error **error);

/**
 * As hangup_client_set_auth_digest, for this request. The client keeps the nonces for other requests of the same user.
 *
 * Fails: as that one; HANGUP_INVALID_STATE while another thread uses the request.
 */
hangup_status hangup_request_set_auth_digest(hangup_request *request,
                                             const char *user,
                                             const char *password,
                                             hangup_error **error);

/**
 * As hangup_client_set_auth_netrc, for this request.
 *
 * Fails: as that one; HANGUP_INVALID_STATE while another thread uses the request.
 */
hangup_status hangup_request_set_auth_netrc(hangup_request *request, const char *path, hangup_error **error);

/**
 * As hangup_client_set_auth_token, for this request.
 *
 * Fails: as that one; HANGUP_INVALID_STATE while another thread uses the request.
 */
hangup_status hangup_request_set_auth_token(hangup_request *request,
                                            hangup_token_fn provide,
                                            hangup_token_end_fn end,
                                            void *user_data,
                                            hangup_error **error);

/** Sends no credentials with this request but those of its URL and of its own headers, whatever the client has. */
hangup_status hangup_request_clear_auth(hangup_request *request);

/* ---- Request: policy ----------------------------------------------------------------------------------------- */

/**
 * Sets a timeout of this request (HANGUP_TIMEOUT_TOTAL to HANGUP_TIMEOUT_READ) in milliseconds; HANGUP_NO_LIMIT removes it.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for zero or another negative number; HANGUP_INVALID_ARGUMENT for another timeout.
 */
hangup_status hangup_request_set_timeout(hangup_request *request,
                                         hangup_timeout which,
                                         int64_t ms,
                                         hangup_error **error);

/**
 * Ends the exchange with HANGUP_TIMED_OUT (timeout HANGUP_TIMEOUT_MIN_RATE) when the body arrives more slowly than
 * `bytes_per_second` over `window_ms` milliseconds of waiting. Time outside of reads does not count. HANGUP_NO_LIMIT as rate,
 * the default, removes it.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for a rate of zero; HANGUP_INVALID_TIMEOUT for a window of zero or less.
 */
hangup_status hangup_request_set_min_rate(hangup_request *request,
                                          int64_t bytes_per_second,
                                          int64_t window_ms,
                                          hangup_error **error);

/**
 * How long the connection lives.
 *
 * Fails: HANGUP_INVALID_ARGUMENT.
 */
hangup_status hangup_request_set_connection_mode(hangup_request *request,
                                                 hangup_connection_mode mode,
                                                 hangup_error **error);

/**
 * Whether the request is sent again if a reused connection breaks before the response: 1 or 0. Overrides
 * hangup_client_set_retries.
 */
hangup_status hangup_request_set_retries(hangup_request *request, int32_t on, hangup_error **error);

/**
 * The largest number of redirects that are followed. Overrides hangup_client_set_redirects. With 0 a redirect is returned as
 * the response; HANGUP_NO_LIMIT follows any number.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for another negative number.
 */
hangup_status hangup_request_set_redirects(hangup_request *request,
                                           int64_t max,
                                           hangup_error **error);

/**
 * Waits for the whole body, of at most `at_most` bytes: the call returns after the last byte of the body instead of after
 * the head, and reading the body does not wait. HANGUP_NO_LIMIT, the default, returns after the head.
 *
 * A larger body fails the call with HANGUP_TOO_LARGE and closes the connection. 0 allows only an empty body; INT64_MAX is the
 * client's limit (hangup_client_set_max_body), 256 MiB by default.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for another negative number.
 */
hangup_status hangup_request_set_buffer_body(hangup_request *request,
                                             int64_t at_most,
                                             hangup_error **error);

/**
 * Buffers only bodies that are not known to be longer, where hangup_request_set_buffer_body asks for it: with a Content-Length of
 * more than `length` bytes, within the bound there, the call returns after the head, and hangup_response_left says how much is to be
 * read, for example into memory of the caller's by hangup_response_read_full or hangup_response_read_available. A body whose length is
 * not known is buffered. HANGUP_NO_LIMIT, the default: all are.
 *
 * Fails: HANGUP_INVALID_ARGUMENT for another negative number.
 */
hangup_status hangup_request_set_buffer_up_to(hangup_request *request,
                                              int64_t length,
                                              hangup_error **error);

/** Whether the request asks for content codings and its body is decoded: 1 or 0. Overrides hangup_client_set_decode. */
hangup_status hangup_request_set_decode(hangup_request *request,
                                        int32_t on,
                                        hangup_error **error);

/**
 * Sets the cancel token: firing it ends the exchange, its body included. The request keeps its own handle of the token. NULL
 * removes it.
 */
hangup_status hangup_request_set_cancel(hangup_request *request,
                                        hangup_cancel *cancel);

/* ---- Sending a request --------------------------------------------------------------------------------------- */

/**
 * Sends a GET request. `total_ms` bounds the whole exchange, until the last byte of the body; HANGUP_NO_LIMIT leaves the
 * client's timeouts. Blocks this thread until the response head is there.
 *
 * Fails: any status; HANGUP_INVALID_TIMEOUT for a total of zero or another negative number.
 */
hangup_status hangup_client_get(hangup_client *client,
                                const char *url,
                                int64_t total_ms,
                                hangup_response **response,
                                hangup_error **error);

/**
 * Sends a request and waits for the response head. Follows redirects (hangup_client_set_redirects) and retries when a reused
 * connection breaks before the response (hangup_client_set_retries); one total timeout bounds all of it. Blocks this thread;
 * hangup_cancel_fire and hangup_manager_close_* end it from another one. The request can be changed, sent again or freed
 * afterwards; a body from a reader can be sent only once.
 *
 * Fails: any status.
 */
hangup_status hangup_client_send(hangup_client *client,
                                 hangup_request *request,
                                 hangup_response **response,
                                 hangup_error **error);

/**
 * Opens connections in the background until `wanted` connections to the URL's origin are idle, with this client's settings
 * and within the manager's limits. `begun` may be NULL; it is set to the number of dials that were started. Their outcome is
 * visible in the manager's connection list and events.
 *
 * Fails: HANGUP_INVALID_URL; HANGUP_INVALID_ARGUMENT for an invalid proxy in the environment; HANGUP_SHUT_DOWN;
 * HANGUP_SYSTEM if no thread could be started for any of them.
 */
hangup_status hangup_client_preconnect(hangup_client *client,
                                       const char *url,
                                       size_t wanted,
                                       size_t *begun,
                                       hangup_error **error);

/* ---- Response: head ------------------------------------------------------------------------------------------ */

/** The HTTP status code, 100 to 999. 0 for NULL. */
int32_t hangup_response_status_code(const hangup_response *response);

/** The protocol version times ten: 10 or 11. 0 for NULL. */
int32_t hangup_response_version(const hangup_response *response);

/** The id of the connection that was used, also after that was closed. 0 for NULL. */
uint64_t hangup_response_connection_id(const hangup_response *response);

/** 1 if that connection had served a request before, else 0. */
int32_t hangup_response_reused(const hangup_response *response);

/**
 * The URL of the response after all redirects, without user information and fragment. Borrowed from the response. "" for
 * NULL.
 */
const char *hangup_response_url(const hangup_response *response);

/** How many times the last request of the call was tried: 1 without a retry (hangup_client_set_retries). 0 for NULL. */
uint32_t hangup_response_attempts(const hangup_response *response);

/** How many redirects were followed. 0 for NULL. */
size_t hangup_response_history_count(const hangup_response *response);

/**
 * The URL that returned redirect number `index`, beginning with 0, without user information and fragment. Borrowed from the
 * response; NULL if there is none. `status` may be NULL; it is set to 301, 302, 303, 307 or 308.
 */
const char *hangup_response_history_at(const hangup_response *response,
                                       size_t index,
                                       int32_t *status);

/**
 * The first header with that name, in any case; NULL if there is none. `size` may be NULL; it is set to the length without
 * the NUL. Borrowed from the response. The bytes are as received, UTF-8 or not.
 */
const char *hangup_response_header(const hangup_response *response,
                                   const char *name,
                                   size_t *size);

/** How many headers the response has. A name that occurs twice counts twice. 0 for NULL. */
size_t hangup_response_header_count(const hangup_response *response);

/**
 * The name (lower case) and value of header number `index`, borrowed from the response. `name`, `value` and `size` (of the
 * value) may be NULL.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is no such header.
 */
hangup_status hangup_response_header_at(const hangup_response *response,
                                        size_t index,
                                        const char **name,
                                        const char **value,
                                        size_t *size);

/**
 * The reason phrase of the status line as it came, often "". `size` may be NULL; it is set to the length without the NUL.
 * The bytes are any but control characters, UTF-8 or not; they have no meaning for a program (RFC 9112 section 4). Borrowed
 * from the response. "" for NULL.
 */
const char *hangup_response_reason(const hangup_response *response,
                                   size_t *size);

/**
 * How many bytes the body has on the wire, before content codings are undone: 0 if there is no body, -1 if that is not
 * known, as in a chunked body. In a response to HEAD it is what Content-Length says of the body that is not sent. -1 for
 * NULL.
 */
int64_t hangup_response_content_length(const hangup_response *response);

/**
 * Value number `index`, beginning with 0, of the headers with that name, in any case; NULL if there are not so many. A value
 * is not split at its commas. `size` may be NULL; it is set to the length without the NUL. Borrowed from the response. The
 * bytes are as received, UTF-8 or not.
 */
const char *hangup_response_header_value(const hangup_response *response,
                                         const char *name,
                                         size_t index,
                                         size_t *size);

/** Fills the durations. `timings->size` is sizeof(*timings) or 0. */
hangup_status hangup_response_timings(const hangup_response *response, hangup_timings *timings);

/* ---- Response: raw head, interim responses and trailers ------------------------------------------------------ */

/**
 * The bytes of the head as they came, from the status line to the empty line. They are not NUL-terminated. Borrowed from
 * the response.
 */
hangup_status hangup_response_raw_head(const hangup_response *response,
                                       const uint8_t **data,
                                       size_t *size);

/**
 * As hangup_response_header_at, with the name in the case in which it came. The value has no white space around it, and
 * each line fold is one space (RFC 9112 section 5.2); hangup_response_raw_head has it without any change.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is no such header.
 */
hangup_status hangup_response_raw_header_at(const hangup_response *response,
                                            size_t index,
                                            const char **name,
                                            const char **value,
                                            size_t *size);

/**
 * How many interim responses (1xx, RFC 9110 section 15.2) came before this response, 100 Continue included; at most 100 are
 * kept, the first ones. All of them together are no larger than a head may be (hangup_client_set_max_head). 0 for NULL.
 */
size_t hangup_response_interim_count(const hangup_response *response);

/**
 * The status code of interim response number `index`, beginning with 0: 100, or 102 to 199. 0 if there is none, and for
 * NULL.
 */
int32_t hangup_response_interim_status_code(const hangup_response *response,
                                            size_t index);

/** How many headers interim response number `index` has. 0 if there is none, and for NULL. */
size_t hangup_response_interim_header_count(const hangup_response *response, size_t index);

/**
 * The name (lower case) and value of header number `header` of interim response number `index`, borrowed from the response.
 * `name`, `value` and `size` (of the value) may be NULL.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is no such interim response or header.
 */
hangup_status hangup_response_interim_header_at(const hangup_response *response,
                                                size_t index,
                                                size_t header,
                                                const char **name,
                                                const char **value,
                                                size_t *size);

/**
 * How many trailer fields came behind the body. 0 before the body was read to its end, and for NULL.
 *
 * Trailers are never merged into the headers (RFC 9110 section 6.5.2). Fields that have to be known before the content are
 * left out: those about framing, routing, authentication, caching, conditions and the format of the content, and cookies
 * (section 6.5.1). The whole section is bounded as a head is (hangup_client_set_max_head).
 */
size_t hangup_response_trailer_count(const hangup_response *response);

/**
 * The name (lower case) and value of trailer field number `index`, borrowed from the response. `name`, `value` and `size` (of
 * the value) may be NULL.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is no such trailer field, as before the end of the body.
 */
hangup_status hangup_response_trailer_at(const hangup_response *response,
                                         size_t index,
                                         const char **name,
                                         const char **value,
                                         size_t *size);

/* ---- Response: its connection -------------------------------------------------------------------------------- */

/** Fills what is known of the connection of the response; also after it was closed. `facts->size` is sizeof(*facts) or 0. */
hangup_status hangup_response_connection_facts(const hangup_response *response,
                                               hangup_connection_facts *facts);

/**
 * Certificate number `index` of those that the peer sent, in DER, the peer's own one first. Borrowed from the response. How
 * many there are is in hangup_connection_facts.
 *
 * Fails: HANGUP_INVALID_ARGUMENT if there is none.
 */
hangup_status hangup_response_certificate_at(const hangup_response *response,
                                             size_t index,
                                             const uint8_t **data,
                                             size_t *size);

/* ---- Response: body ------------------------------------------------------------------------------------------ */

/**
 * From here on the body is read as it arrives, and its content codings are not undone.
 *
 * Fails: HANGUP_INVALID_STATE after the first read of a body that is decoded, and while a read is in progress.
 */
hangup_status hangup_response_set_raw(hangup_response *response,
                                      hangup_error **error);

/**
 * Reads a piece of the body into `into`, which has `room` bytes: at least one byte, or none (`*got` is 0) at the end. Blocks
 * this thread. At the end the connection is idle or closed before the call returns. A body that is truncated, cancelled or
 * closed is a failure, never an end.
 *
 * The call may write to all of `into`: the bytes behind the first `*got` are any, for example framing of the connection.
 *
 * Fails: any status; HANGUP_INVALID_ARGUMENT for a room of 0.
 */
hangup_status hangup_response_read(hangup_response *response,
                                   void *into,
                                   size_t room,
                                   size_t *got,
                                   hangup_error **error);

/**
 * Fills `into` with the next `room` bytes of the body, fewer only at its end: `*got` says how many. Blocks this thread. So a
 * body whose size is known (hangup_response_left) is read into memory of the caller's without a copy. `at_most` bounds the
 * body as a whole, that is the bytes of all these calls; SIZE_MAX is the client's limit (hangup_client_set_max_body).
 *
 * Fails: any status, also after a part of the buffer was filled, and `*got` is not set then; HANGUP_TOO_LARGE if the body is
 * larger than `at_most`, and the connection is closed; HANGUP_INVALID_ARGUMENT for a room of 0.
 */
hangup_status hangup_response_read_full(hangup_response *response,
                                        void *into,
                                        size_t room,
                                        size_t at_most,
                                        size_t *got,
                                        hangup_error **error);

/**
 * Reads what has arrived of the body, at most `room` bytes, and never waits. `*is_here` is 1 if that was possible: `*got` bytes were
 * read, and 0 bytes are the end of the body. It is 0 if nothing has arrived; then wait with hangup_response_submit_read, whose
 * completion comes with the next bytes, or in hangup_response_read. Of a body that is decoded, and with a trace
 * (hangup_client_set_trace) or a maximum rate, nothing counts as arrived before the end.
 *
 * Fails: as hangup_response_read; HANGUP_INVALID_STATE while a submitted read is in progress.
 */
hangup_status hangup_response_read_available(hangup_response *response,
                                             void *into,
                                             size_t room,
                                             size_t *got,
                                             int32_t *is_here,
                                             hangup_error **error);

/**
 * How many bytes of the body are left to read; -1 if that is not known: of a body that is chunked or decoded, while a read is
 * in progress, after a close, and for NULL. It is what the head says, and the peer may send less.
 */
int64_t hangup_response_left(const hangup_response *response);

/**
 * Reads the rest of the body, at most `at_most` bytes, and lends it until the response or its body (hangup_response_free_body)
 * is freed. A second call lends the same bytes. SIZE_MAX is the client's limit (hangup_client_set_max_body), 256 MiB by
 * default.
 *
 * Fails: any status. HANGUP_TOO_LARGE if the body is larger, and the connection is closed; but a body that was received
 * already (hangup_request_set_buffer_body) is kept, and can be read with a larger limit.
 */
hangup_status hangup_response_read_all(hangup_response *response,
                                       size_t at_most,
                                       const uint8_t **data,
                                       size_t *size,
                                       hangup_error **error);

/**
 * Frees the bytes that hangup_response_read_all lends, before the response is freed. Reading the body again is
 * HANGUP_INVALID_STATE then. Before hangup_response_read_all it does nothing.
 *
 * Fails: HANGUP_INVALID_STATE while another thread reads.
 */
hangup_status hangup_response_free_body(hangup_response *response);

/**
 * Closes the response early. HANGUP_CLOSE_MODE_GRACEFUL reads and drops the rest of the body, at most 256 KiB, so that the
 * connection can be reused; it is closed if that takes longer than 50 ms or three round trips, whichever is longer, and
 * one second at most. The call itself takes at most 2 ms; the rest happens in the background, where the connection counts
 * as in use. HANGUP_CLOSE_MODE_NOW closes the connection at once. After the end of the body, and the
 * second time, it does nothing.
 *
 * It may be called from any thread while another one is blocked in a read or a submitted read is in progress; it ends that
 * read with HANGUP_CLOSED.
 */
hangup_status hangup_response_close(hangup_response *response,
                                    hangup_close_mode mode);

/**
 * Frees a response and everything borrowed from it. Closes its connection, unless the body was read to its end or closed
 * gracefully. NULL does nothing. Never blocks.
 */
void hangup_response_free(hangup_response *response);

/* ---- Stream -------------------------------------------------------------------------------------------------- */

/**
 * Takes the connection of a response that hands it over: the response to an "Upgrade" header is 101, or the response to
 * hangup_request_new_connect is a success (2xx). Bytes that arrived together with the head are read first. The response keeps
 * its head, has an empty body, and can be freed. Until it is taken, the connection waits; hangup_response_close and
 * hangup_response_free close it.
 *
 * Fails: HANGUP_INVALID_STATE for any other response, the second time, and after the response was closed; what ended the
 * exchange in the meantime, such as HANGUP_CANCELLED.
 */
hangup_status hangup_response_take_stream(hangup_response *response,
                                          hangup_stream **stream,
                                          hangup_error **error);

/** Another handle for the same stream, for another owner. NULL for NULL. */
hangup_stream *hangup_stream_ref(const hangup_stream *stream);

/**
 * Reads into `into`, which has `room` bytes: at least one byte, or none (`*got` is 0) if the peer ended its direction. Blocks
 * this thread.
 *
 * Fails: any status. HANGUP_TIMED_OUT with HANGUP_TIMEOUT_READ: nothing arrived in that time, and the stream can be read
 * again. HANGUP_INVALID_STATE while another read is in progress; HANGUP_INVALID_ARGUMENT for a room of 0.
 */
hangup_status hangup_stream_read(hangup_stream *stream,
                                 void *into,
                                 size_t room,
                                 size_t *got,
                                 hangup_error **error);

/**
 * Sends all `size` bytes at `data`. Blocks this thread until the system or TLS has taken them. A failure closes the connection,
 * because a part may have been sent.
 *
 * Fails: any status. HANGUP_TIMED_OUT with HANGUP_TIMEOUT_WRITE if nothing could be sent in that time. HANGUP_INVALID_STATE
 * while another write is in progress and after hangup_stream_shutdown_write: then the stream stays open.
 */
hangup_status hangup_stream_write_all(hangup_stream *stream,
                                      const uint8_t *data,
                                      size_t size,
                                      hangup_error **error);

/**
 * Ends the direction of writing: the peer reads an end, and what it sends can still be read. In TLS this sends close_notify.
 * Does nothing the second time.
 *
 * Fails: as hangup_stream_write_all.
 */
hangup_status hangup_stream_shutdown_write(hangup_stream *stream,
                                           hangup_error **error);

/**
 * Closes the connection. Calls that are blocked and work in the background end with HANGUP_CLOSED, and so do later ones. From any
 * thread; never blocks. Can be called again. In TLS it sends close_notify if that is possible at once.
 */
hangup_status hangup_stream_close(hangup_stream *stream);

/**
 * Sets HANGUP_TIMEOUT_READ or HANGUP_TIMEOUT_WRITE for calls that begin later; HANGUP_NO_LIMIT removes it. At first they are
 * those of the request.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for zero and other negative numbers; HANGUP_INVALID_ARGUMENT for another timeout.
 */
hangup_status hangup_stream_set_timeout(hangup_stream *stream,
                                        hangup_timeout timeout,
                                        int64_t ms,
                                        hangup_error **error);

/**
 * How many bytes arrived together with the response head and were not read yet. They are not in the socket: before
 * hangup_stream_fd is polled, read until this is 0. 0 for NULL.
 */
size_t hangup_stream_buffered(const hangup_stream *stream);

/**
 * The socket of a stream without TLS, for poll(2), epoll(7) or any event loop: when it is readable, hangup_stream_read does not
 * wait. Only poll it: what is read or written past the library is not counted. It belongs to the stream and is closed when the
 * stream is closed, by whatever closes it; remove it from the event loop when a call fails. -1 for a stream in TLS (use
 * hangup_stream_submit_read), after the stream was closed, and for NULL.
 */
int32_t hangup_stream_fd(const hangup_stream *stream);

/** The id of the connection, also after it was closed. 0 for NULL. */
uint64_t hangup_stream_connection_id(const hangup_stream *stream);

/**
 * 1 if the owner of the stream is asked to end it, because a graceful close of its connection or hangup_manager_drain waits for
 * that; else 0.
 */
int32_t hangup_stream_is_closing(const hangup_stream *stream);

/** 1 if the stream was closed or has failed, else 0. */
int32_t hangup_stream_is_closed(const hangup_stream *stream);

/**
 * Frees a handle. The last one closes the connection, also if work in the background is in progress, which ends with
 * HANGUP_CLOSED. NULL does nothing. Never blocks.
 */
void hangup_stream_free(hangup_stream *stream);

/* ---- Download ------------------------------------------------------------------------------------------------ */

/** How a download is done. Initialise it with HANGUP_DOWNLOAD_OPTIONS_INIT, which has the defaults. */
typedef struct {
    /** sizeof the structure; 0 is its layout in version 0.1. */
    size_t size;
    /**
     * The most bytes that the file may have: a larger one fails with HANGUP_TOO_LARGE, and nothing of it is kept.
     * HANGUP_NO_LIMIT, the default, is any number.
     */
    int64_t max_bytes;
    /** How many times the call asks for the rest after its connection broke. Default: 0. */
    int64_t resumes;
    /**
     * 1, the default: what an earlier call received is continued, if the server still has the same version. 0: the file is
     * received from its beginning.
     */
    int32_t resume;
    /**
     * 1, the default: file and name are flushed to the disk (fsync(2)) before the call returns, and what came every 64 MiB and
     * before an error, so that a power failure loses little.
     */
    int32_t sync;
} hangup_download_options;

/** Initialises a hangup_download_options with the defaults. */
#define HANGUP_DOWNLOAD_OPTIONS_INIT {sizeof(hangup_download_options), HANGUP_NO_LIMIT, 0, 1, 1}

/**
 * Sends a request and writes the body of its response to a file, which is there under its name when it is complete. The
 * response has no body left; hangup_response_download says what was done. `options` may be NULL for the defaults. Blocks this
 * thread.
 *
 * The bytes go to "NAME.part" beside the file, which is renamed at the end. If the call fails, that file stays, and so does
 * "NAME.part.state", which has the validator of the response; the next call of the same URL asks for the rest with Range and
 * If-Range (RFC 9110 sections 14.2 and 13.1.5). It begins anew if the server has another version, gave no strong ETag nor a
 * Last-Modified that is older than its Date, or answers with another range; without a validator nothing is kept. Only GET is
 * continued. One download at a time writes to a file.
 *
 * The length must be the announced one, and so must the digests of Repr-Digest and Content-Digest (RFC 9530, sha-256 and
 * sha-512). The body is written as it arrives, without decoding, and the request asks for no coding, unless
 * hangup_request_set_decode is on for it; such a body can't be continued.
 *
 * A file that is replaced gives its permissions to the new one; a new one has those of any new file (the umask). A symbolic link
 * at the path is replaced, not followed. Timeouts are the request's; the total one is for all of it.
 *
 * Fails: any status. HANGUP_UNEXPECTED_STATUS for a response that is not 2xx, whose status code the error has;
 * HANGUP_DIGEST_MISMATCH, after which nothing is kept; HANGUP_SYSTEM with the system's error number if the file can't be written,
 * for example because the disk is full; HANGUP_INVALID_STATE if another download writes to the file, and for a body from a
 * reader; HANGUP_INVALID_ARGUMENT for a request with a Range, for a path that is a directory or a device, and for a negative
 * number in the options.
 */
hangup_status hangup_client_download(hangup_client *client,
                                     hangup_request *request,
                                     const char *path,
                                     const hangup_download_options *options,
                                     hangup_response **response,
                                     hangup_error **error);

/** What a download did. Initialise it with HANGUP_DOWNLOAD_INIT. */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** How many bytes the file has. */
    uint64_t bytes;
    /** How many bytes the call received. */
    uint64_t received;
    /** How many bytes of an earlier call were used; 0 if the file was received from its beginning. */
    uint64_t resumed_at;
    /** How many times the call asked for the rest after its connection broke. */
    uint32_t resumes;
    /** 1 if the server announced a digest (RFC 9530) of a known algorithm, which matched; else 0. */
    int32_t verified;
} hangup_download;

/** Initialises a hangup_download. */
#define HANGUP_DOWNLOAD_INIT {sizeof(hangup_download), 0, 0, 0, 0, 0}

/**
 * What a download did. `download->size` is sizeof(*download) or 0.
 *
 * Fails: HANGUP_INVALID_STATE for a response of another call.
 */
hangup_status hangup_response_download(const hangup_response *response, hangup_download *download);

/* ---- Cancel token -------------------------------------------------------------------------------------------- */

/** A new token. Free it with hangup_cancel_free. */
hangup_cancel *hangup_cancel_new(void);

/** A child of the token: it is fired together with its parent, and can be fired alone. The parent can be freed first. */
hangup_status hangup_cancel_child(hangup_cancel *parent,
                                  hangup_cancel **child);

/** Another handle for the same token, which must be freed as well. NULL for NULL. */
hangup_cancel *hangup_cancel_ref(const hangup_cancel *cancel);

/**
 * Sets a deadline, `ms` milliseconds from now, for everything that uses the token or a child of it. What it ends fails with
 * HANGUP_TIMED_OUT and the timeout HANGUP_TIMEOUT_TOKEN. The earliest of several deadlines counts.
 *
 * Fails: HANGUP_INVALID_TIMEOUT for zero or less.
 */
hangup_status hangup_cancel_fire_after(hangup_cancel *cancel,
                                       int64_t ms);

/**
 * Fires the token. Only the first call has an effect; hangup_error_reason returns its `reason`, which may be NULL. Never
 * blocks. NULL as token does nothing.
 */
void hangup_cancel_fire(hangup_cancel *cancel,
                        const char *reason);

/** 1 if the token or one of its parents was fired or its deadline has passed, else 0. */
int32_t hangup_cancel_is_fired(const hangup_cancel *cancel);

/** Frees a handle. NULL does nothing. Work that uses the token goes on. */
void hangup_cancel_free(hangup_cancel *cancel);

/* ---- Completion queue ---------------------------------------------------------------------------------------- */

/** What a completion is about. Later versions may add some: keep a default branch. */
typedef enum HANGUP_ENUM_TYPE {
    /** A request, submitted by hangup_client_submit. */
    HANGUP_COMPLETION_TYPE_RESPONSE = 1,
    /** A read, submitted by hangup_response_submit_read. */
    HANGUP_COMPLETION_TYPE_READ = 2,
    /** A read, submitted by hangup_stream_submit_read. */
    HANGUP_COMPLETION_TYPE_STREAM_READ = 3,
    /** A write, submitted by hangup_stream_submit_write or hangup_stream_submit_shutdown_write. */
    HANGUP_COMPLETION_TYPE_STREAM_WRITE = 4,
    /** A write, submitted by hangup_upload_submit_write. */
    HANGUP_COMPLETION_TYPE_UPLOAD_WRITE = 5,
} hangup_completion_type;

/** The name of a completion type, for example "read"; "unknown" for a number that this version does not have. Static. */
const char *hangup_completion_type_text(hangup_completion_type completion_type);

/** One completion. Initialise it with HANGUP_COMPLETION_INIT. */
typedef struct {
    /** In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled. */
    size_t size;
    /** The tag that was passed when it was submitted. */
    uint64_t tag;
    /** The response of a request that succeeded, which the caller must free; else NULL. */
    hangup_response *response;
    /** The error, which the caller must free; NULL if `status` is HANGUP_OK. */
    hangup_error *error;
    /**
     * The piece that was read, or the whole body if the request asked for it (hangup_request_set_buffer_body). Borrowed from the
     * response or the stream until the completion of its next read is taken, or until it is freed. NULL if there are no bytes.
     */
    const uint8_t *data;
    /** The number of bytes at `data`. 0 for a read that succeeded is the end of the body, or of what the peer sends. */
    size_t data_size;
    /** What the completion is about. */
    hangup_completion_type type;
    /** The outcome of the request or read. */
    hangup_status status;
} hangup_completion;

/** Initialises a hangup_completion. */
#define HANGUP_COMPLETION_INIT {sizeof(hangup_completion), 0, NULL, NULL, NULL, 0, (hangup_completion_type)0, HANGUP_OK}

/** A new queue. Free it with hangup_queue_free. NULL only if the process has no free descriptor. */
hangup_queue *hangup_queue_new(void);

/**
 * Sends a request in the background, as hangup_client_send does, with the client's settings as they are now. The outcome
 * arrives in the queue as HANGUP_COMPLETION_TYPE_RESPONSE with this tag: after the response head, or after the last byte of the
 * body if the request asked for that (hangup_request_set_buffer_body). HANGUP_OK means that there will be exactly one
 * completion, also after a cancel or a shutdown; any other status means that there will be none.
 *
 * Never blocks. Client, request and queue can be used and freed at once. The request can be changed and submitted again,
 * unless its body comes from a reader, which is sent once. Such a reader may block without delaying other requests: it runs
 * on a thread of its own. If that can't be started, the outcome is HANGUP_SYSTEM.
 *
 * Fails: HANGUP_INVALID_STATE for a body that was sent already, or while another thread uses the request; HANGUP_CLOSED for a
 * closed queue; HANGUP_FORKED for a queue of the parent process. All other failures arrive in the queue.
 */
hangup_status hangup_client_submit(hangup_client *client,
                                   hangup_request *request,
                                   hangup_queue *queue,
                                   uint64_t tag,
                                   hangup_error **error);

/**
 * Downloads a file in the background, as hangup_client_download does, with the client's settings as they are now. The outcome
 * arrives in the queue as HANGUP_COMPLETION_TYPE_RESPONSE with this tag, when the file is there. HANGUP_OK means that there will
 * be exactly one completion; any other status means that there will be none. Never blocks: threads of the library write the
 * file. A cancel during a write takes effect after that.
 *
 * Fails: as hangup_client_submit; HANGUP_INVALID_ARGUMENT for a negative number in the options. All other failures arrive in the
 * queue.
 */
hangup_status hangup_client_submit_download(hangup_client *client,
                                            hangup_request *request,
                                            const char *path,
                                            const hangup_download_options *options,
                                            hangup_queue *queue,
                                            uint64_t tag,
                                            hangup_error **error);

/**
 * Reads a piece of the body in the background. The outcome arrives in the queue as HANGUP_COMPLETION_TYPE_READ with this tag:
 * at least one byte, at most `at_most` and at most 262,144, in `data`; no bytes at the end of the body.
 *
 * The read is in progress until its completion was taken from the queue; until then other reads of the response return
 * HANGUP_INVALID_STATE. hangup_response_close and hangup_response_free end it; its completion is then HANGUP_CLOSED, unless
 * it had failed before. HANGUP_OK means that there will be exactly one completion; any other status means none.
 *
 * Never blocks. Taking the completion uses the response: another thread must not free that meanwhile.
 *
 * Fails: HANGUP_INVALID_STATE while another read is in progress, or after the response was closed; HANGUP_INVALID_ARGUMENT
 * for 0 bytes; HANGUP_CLOSED for a closed queue; HANGUP_FORKED for a queue or response of the parent process. All other
 * failures arrive in the queue.
 */
hangup_status hangup_response_submit_read(hangup_response *response,
                                          size_t at_most,
                                          hangup_queue *queue,
                                          uint64_t tag,
                                          hangup_error **error);

/**
 * Reads from a stream in the background. The outcome arrives in the queue as HANGUP_COMPLETION_TYPE_STREAM_READ with this
 * tag: at least one byte, at most `at_most` and at most 262,144, in `data`; no bytes if the peer ended its direction.
 *
 * Fails: HANGUP_INVALID_STATE while another read is in progress; what ended the stream; HANGUP_INVALID_ARGUMENT for 0 bytes;
 * HANGUP_CLOSED for a closed queue; HANGUP_FORKED. All other failures arrive in the queue. HANGUP_OK means that there will be
 * exactly one completion; any other status means none. Never blocks. Taking the completion uses the stream: another thread must
 * not free its last handle meanwhile. A completion that is dropped with its queue closes the stream.
 */
hangup_status hangup_stream_submit_read(hangup_stream *stream,
                                        size_t at_most,
                                        hangup_queue *queue,
                                        uint64_t tag,
                                        hangup_error **error);

/**
 * Sends a copy of `size` bytes at `data` to a stream in the background. The outcome arrives in the queue as
 * HANGUP_COMPLETION_TYPE_STREAM_WRITE with this tag, when all were sent. The stream holds at most one such write: submit the next
 * one when its completion was taken.
 *
 * Fails: HANGUP_INVALID_STATE while another write is in progress; what ended the stream; HANGUP_CLOSED for a closed queue;
 * HANGUP_FORKED. All other failures arrive in the queue. HANGUP_OK means that there will be exactly one completion; any other
 * status means none. Never blocks.
 */
hangup_status hangup_stream_submit_write(hangup_stream *stream,
                                         const uint8_t *data,
                                         size_t size,
                                         hangup_queue *queue,
                                         uint64_t tag,
                                         hangup_error **error);

/**
 * hangup_stream_shutdown_write in the background. The outcome arrives in the queue as HANGUP_COMPLETION_TYPE_STREAM_WRITE with
 * this tag. In TLS, the end may have to wait for room in the socket; without TLS it never waits.
 *
 * Fails: as hangup_stream_submit_write.
 */
hangup_status hangup_stream_submit_shutdown_write(hangup_stream *stream,
                                                  hangup_queue *queue,
                                                  uint64_t tag,
                                                  hangup_error **error);

/**
 * Writes all of these bytes, which are copied, in the background. The outcome arrives in the queue as
 * HANGUP_COMPLETION_TYPE_UPLOAD_WRITE with this tag, when the last byte is in the buffer, or when the exchange has failed. Until then
 * other writes return HANGUP_INVALID_STATE. HANGUP_OK means that there will be exactly one completion; any other status means
 * none.
 *
 * Never blocks. If no exchange begins to send the body, there is no outcome before the request and the upload are freed.
 *
 * Fails: as hangup_upload_try_write; HANGUP_CLOSED for a closed queue.
 */
hangup_status hangup_upload_submit_write(hangup_upload *upload,
                                         const uint8_t *data,
                                         size_t size,
                                         hangup_queue *queue,
                                         uint64_t tag,
                                         hangup_error **error);

/**
 * A descriptor that is readable while there is a completion to take, and after hangup_queue_close: for poll(2), epoll(7) or
 * any event loop. It is not readable without a reason. Several completions can make it readable once, a moment after the
 * first of them can be taken. When it is readable, call hangup_queue_next with a timeout of 0 until it returns
 * HANGUP_TIMED_OUT. Only poll it; it is closed with the queue. -1 for NULL.
 */
int32_t hangup_queue_fd(const hangup_queue *queue);

/**
 * Takes the oldest completion, or waits for one, at most `timeout_ms` milliseconds. 0 does not wait; HANGUP_NO_LIMIT waits
 * without limit. `completion->size` is sizeof(*completion) or 0. The caller must free its `response` and `error`.
 *
 * The status that this function returns says whether a completion was taken; `completion->status` is the outcome of what was
 * submitted.
 *
 * The thread waits in poll(2), and threads of the library do the work, unless hangup_queue_set_caller_runs changes that.
 *
 * Fails: HANGUP_TIMED_OUT if there was no completion in that time; HANGUP_CLOSED after hangup_queue_close, when all
 * completions were taken; HANGUP_CANCELLED if the thread's interrupt check ended the wait; HANGUP_INVALID_TIMEOUT for another
 * negative number; HANGUP_INVALID_ARGUMENT for a structure that is too small; HANGUP_FORKED in the child of a fork;
 * HANGUP_SYSTEM. No completion is lost by a failure.
 */
hangup_status hangup_queue_next(hangup_queue *queue,
                                int64_t timeout_ms,
                                hangup_completion *completion);

/**
 * With 1, a thread that waits in hangup_queue_next for this queue may do the work itself, which saves waking it for each
 * completion. 0 is the default.
 *
 * What is submitted to this queue from then on runs in an event loop of its own, which the thread runs if no other thread waits
 * for this queue and hangup_set_io_threads was not called: threads with a queue each do not wait for each other, and share the
 * connections. If the thread stays away for more than one to four milliseconds after taking a completion, a thread of the
 * library continues the work. The library has one such thread for each of these queues, which sleeps meanwhile.
 *
 * For a program with an event loop, which polls a descriptor, see hangup_queue_drive_fd. There, with 1, a submission also begins
 * its work in the call, on this thread, as far as that goes without waiting, if nothing else of this queue is under way: the
 * event loop need not turn for it. Functions of the program that the library calls for its work may then be called in the
 * submitting call.
 *
 * The work runs on separate stacks (256 KiB each), and signals are not blocked meanwhile. Leave it at 0 in a program with a
 * signal handler that inspects the stack of the interrupted thread, or needs much of it without SA_ONSTACK. Garbage
 * collectors that stop threads by a signal (D, Boehm's in Guile, SBCL) and some profilers do this.
 */
hangup_status hangup_queue_set_caller_runs(const hangup_queue *queue,
                                           int32_t on,
                                           hangup_error **error);

/**
 * A descriptor for the event loop of a program (epoll(7), libuv, GLib, asyncio) that does this queue's work itself: no other
 * thread has to be woken for it. It is readable while there is work that is ready or a completion to take, at the next timeout
 * of what was submitted, and after hangup_queue_close. When it is readable, call hangup_queue_drive, and then hangup_queue_next
 * with a timeout of 0 until it returns HANGUP_TIMED_OUT. Only poll it, level-triggered; it is closed with the queue.
 *
 * From the first call on, what is submitted to this queue runs in an event loop of its own, whatever hangup_set_io_threads says;
 * what was submitted before is not affected. So call it before the first submission. Queues that are driven by several threads
 * do not wait for each other. If the program does not call hangup_queue_drive although the descriptor is readable, because it
 * computes or blocks, a thread of the library does the work after 10 to 20 milliseconds, until hangup_queue_drive is called
 * again. A thread that waits in hangup_queue_next for this queue does the work as well. Once there is a driven queue, there is
 * one more thread of the library for it, which sleeps while the program drives.
 *
 * The work runs on separate stacks on the thread that calls: see hangup_queue_set_caller_runs, whose conditions apply. With the
 * environment variable HANGUP_ENGINE=threads, and where there are no such stacks, threads of the library do all of the work,
 * and the descriptor is that of hangup_queue_fd.
 *
 * -1 on failure, and for NULL: the process has no free descriptor or thread, or it is the child of a fork.
 */
int32_t hangup_queue_drive_fd(const hangup_queue *queue);

/**
 * Does the work of this queue that is ready, on this thread: receives, sends, decrypts, decodes. Never waits; returns after a
 * bounded amount of work, and if there is more, the descriptor of hangup_queue_drive_fd stays readable. Then take the
 * completions with hangup_queue_next and a timeout of 0 until it returns HANGUP_TIMED_OUT: the descriptor does not show again
 * those that came during this call.
 *
 * Threads: one at a time drives a queue; it does nothing while another thread does so. Functions of the program that the
 * library calls for its work (hangup_client_set_trace and others) may be called on this thread; called by one of them, it does
 * nothing.
 *
 * Fails: HANGUP_INVALID_STATE before hangup_queue_drive_fd; HANGUP_FORKED in the child of a fork; HANGUP_NULL.
 */
hangup_status hangup_queue_drive(hangup_queue *queue);

/**
 * Closes the queue: a wait in hangup_queue_next ends, nothing more can be submitted to it, and when all completions were
 * taken, that function returns HANGUP_CLOSED. Work in progress still arrives. From any thread; never blocks. Can be called
 * again.
 */
hangup_status hangup_queue_close(const hangup_queue *queue);

/**
 * Frees a queue. Work in progress is not cancelled; responses that can't be taken any more are closed. NULL does nothing.
 * Never blocks.
 */
void hangup_queue_free(hangup_queue *queue);

/**
 * The number of threads of the library that do submitted work, in the whole process: 1 to 64. Default: 1, which is enough for
 * thousands of requests unless their TLS or decoding keeps it busy. After this call, also with 1, waiting threads never do
 * the work (hangup_queue_set_caller_runs). The number applies to what is submitted later: surplus threads end when their
 * work has ended.
 *
 * Fails: HANGUP_INVALID_ARGUMENT.
 */
hangup_status hangup_set_io_threads(size_t count,
                                    hangup_error **error);

/* ---- Strings ------------------------------------------------------------------------------------------------- */

/** The string. `size` may be NULL; it is set to the length without the NUL. Borrowed from the handle. "" for NULL. */
const char *hangup_string_value(const hangup_string *text,
                                size_t *size);

/** Frees a string. NULL does nothing. */
void hangup_string_free(hangup_string *text);

/* ---- Interrupt checks ---------------------------------------------------------------------------------------- */

/**
 * Called on a blocked thread when a signal interrupted its wait. 0 continues the wait. Anything else ends the exchange with
 * HANGUP_CANCELLED and the reason "interrupted". It may run the signal handlers of a language. It must not call hangup for the
 * same request or response.
 */
typedef int32_t (*hangup_interrupt_check_fn)(void *user_data);

/**
 * Sets the interrupt check of the calling thread; NULL removes it. Every blocking call of this thread calls it when poll(2)
 * was interrupted (EINTR) and, if `tick_ms` is not HANGUP_NO_LIMIT, every `tick_ms` milliseconds, for signals that were
 * delivered to another thread.
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
