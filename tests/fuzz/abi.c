/**
 * @file abi.c
 *
 * Random calls of every function over random handles, from several threads at once: `threads=4 calls=2000 from=1`, and
 * servers. A handle may be used by all threads at the same time; only its end waits until no thread is inside a call on
 * it. Whatever the calls are, none may panic, a status and its error must agree, each submission is completed once,
 * each callback is ended once, and in the end no socket is left.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

/** The types of handles that are kept. */
enum {
    MANAGER, OPTIONS, TLS, CLIENT, REQUEST, FORM, UPLOAD, PROGRESS, RESPONSE, STREAM, CANCEL, QUEUE, EVENTS, LIST, TEXT,
    ERROR, TYPES
};

#define SLOTS 6

/** A handle that all threads may use: a use holds the lock for reading, a replacement for writing. */
typedef struct {
    pthread_rwlock_t lock;
    void *handle;
} slot;

static slot pool[TYPES][SLOTS];

/** The one queue that is not freed, so that completions can be counted. */
static hangup_queue *counted;
static atomic_ulong submitted, completed;

/** Callbacks that the library took, and those that it ended. */
static atomic_ulong readers, readers_ended, resolvers, resolvers_ended, connectors, connectors_ended, traces, traces_ended, records;

static atomic_ulong calls_made;
static __thread uint64_t dice;

/** xorshift64*. */
static uint32_t roll(uint32_t sides) {
    dice ^= dice >> 12;
    dice ^= dice << 25;
    dice ^= dice >> 27;
    return (uint32_t)((dice * 0x2545F4914F6CDD1DULL) >> 33) % sides;
}

#define ONE_OF(list) (list)[roll(sizeof(list) / sizeof(list)[0])]

static const int64_t NUMBERS[] = {-2, -1, 0, 1, 2, 3, 5, 20, 40, 1000, INT64_MAX, INT64_MIN};

static int64_t number(void) {
    return ONE_OF(NUMBERS);
}

/** A time that ends soon, or none that is legal. */
static int64_t short_ms(void) {
    static const int64_t times[] = {1, 2, 5, 10, 30, 30, 30, 0, -7};
    return ONE_OF(times);
}

static size_t size(void) {
    static const size_t sizes[] = {0, 1, 2, 10, 4096, 100000, SIZE_MAX};
    return ONE_OF(sizes);
}

static const char *text(void) {
    static const char *texts[] = {
        NULL, "", "a", "x-header", "value", "a b", "a\r\nb: c", "GET", "POST", "HEAD", "127.0.0.1", "::1", "*",
        "localhost", "10.0.0.0/8,.example.org", "id=1; Path=/", "id=2; Domain=com", "http://127.0.0.1:1",
        "socks5://u:p@127.0.0.1:1", "::bad::", "/dev/null", "/nowhere", "100-continue", "Expect", "Connection",
        "Content-Length", "Host", "\xff\xfe", "http://[::1", "https://user:secret@127.0.0.1:1/",
    };
    return ONE_OF(texts);
}

static const char *url(void) {
    static const char *servers[] = {"hello", "hello", "hello", "large", "half", "silent", "echo"};
    return roll(12) == 0 ? text() : given(ONE_OF(servers));
}

static const char *method(void) {
    static const char *methods[] = {"GET", "GET", "POST", "HEAD", "PUT"};
    return roll(12) == 0 ? text() : ONE_OF(methods);
}

/** What a call answered, and its error, which goes into the pool or to its end. */
static void judge(const char *call, hangup_status status, hangup_error *error);

/** Puts a handle into the pool, and ends the one that was there; ends the new one if all places are busy. */
static void keep(int type, void *handle);

static void end(int type, void *handle) {
    switch (type) {
    case MANAGER: hangup_manager_free(handle); break;
    case OPTIONS: hangup_options_free(handle); break;
    case TLS: hangup_tls_free(handle); break;
    case CLIENT: hangup_client_free(handle); break;
    case REQUEST: hangup_request_free(handle); break;
    case FORM: hangup_form_free(handle); break;
    case UPLOAD: hangup_upload_free(handle); break;
    case PROGRESS: hangup_progress_free(handle); break;
    case RESPONSE: hangup_response_free(handle); break;
    case STREAM: hangup_stream_free(handle); break;
    case CANCEL: hangup_cancel_free(handle); break;
    case QUEUE: hangup_queue_free(handle); break;
    case EVENTS: hangup_events_free(handle); break;
    case LIST: hangup_connections_free(handle); break;
    case TEXT: hangup_string_free(handle); break;
    default: hangup_error_free(handle); break;
    }
}

static void keep(int type, void *handle) {
    slot *place = &pool[type][roll(SLOTS)];
    if (handle != NULL && pthread_rwlock_trywrlock(&place->lock) == 0) {
        void *before = place->handle;
        place->handle = handle;
        pthread_rwlock_unlock(&place->lock);
        handle = before;
    }
    end(type, handle);
}

static slot *borrow(int type) {
    slot *place = &pool[type][roll(SLOTS)];
    pthread_rwlock_rdlock(&place->lock);
    return place;
}

static void judge(const char *call, hangup_status status, hangup_error *error) {
    atomic_fetch_add(&calls_made, 1);
    const char *name = hangup_status_text(status);
    if (status == HANGUP_PANIC || name == NULL || name[0] == '\0') {
        FAIL("%s answered %d: %s", call, status, hangup_error_message(error));
    }
    if (error != NULL && hangup_error_status(error) != status) {
        FAIL("%s answered %s, and its error says %d", call, name, hangup_error_status(error));
    }
    if (error != NULL) {
        keep(ERROR, error);
    }
}

/** A call whose last argument is its error: sometimes there is nowhere to write it to. */
#define CALL(function, ...)                                                           \
    do {                                                                              \
        hangup_error *error = NULL;                                                   \
        int wants = roll(4) != 0;                                                     \
        hangup_status status = function(__VA_ARGS__, wants ? &error : NULL);                \
        if (wants && (status != HANGUP_OK) != (error != NULL)) {                      \
            FAIL("%s answered %d, and there is %s error", #function, status,          \
                 error == NULL ? "no" : "an");                                        \
        }                                                                             \
        judge(#function, status, error);                                              \
    } while (0)

#define PLAIN_CALL(function, ...) judge(#function, function(__VA_ARGS__), NULL)

/** A question: its answer is used, so that it is a valid one. */
static atomic_size_t used;

static void use(const char *answer) {
    atomic_fetch_add(&used, answer == NULL ? 1 : strlen(answer));
}

#define ASK(question) atomic_fetch_add(&used, (size_t)(question))

static int64_t read_body(void *user_data, uint8_t *into, size_t room) {
    (void)user_data;
    static atomic_uint turn;
    unsigned now = atomic_fetch_add(&turn, 1) % 7;
    size_t count = room < 100 ? room : 100;
    memset(into, 'u', count);
    return now == 0 ? -1 : now < 4 ? (int64_t)count : 0;
}

/** A trace record, whose bytes are read. */
static void count_record(void *user_data, const hangup_trace_record *record) {
    (void)user_data;
    size_t sum = 0;
    for (size_t i = 0; i < record->data_size; i++) {
        sum += record->data[i];
    }
    atomic_fetch_add(&records, sum != 0);
}

static int32_t rewind_body(void *user_data) {
    (void)user_data;
    return roll(3) == 0;
}

static void count_end(void *user_data) {
    atomic_fetch_add((atomic_ulong *)user_data, 1);
}

static int32_t resolve(void *user_data, const char *host, hangup_addresses *addresses) {
    (void)user_data;
    use(host);
    PLAIN_CALL(hangup_addresses_add, addresses, "127.0.0.1");
    PLAIN_CALL(hangup_addresses_add, addresses, "no address");
    PLAIN_CALL(hangup_addresses_set_ttl, addresses, number());
    return 0;
}

/** A connection without a peer, a number that is no descriptor, or a failure. */
static int32_t no_connection(void *user_data, const char *origin, const char *host, int32_t port) {
    (void)user_data, (void)port;
    use(origin);
    use(host);
    static atomic_uint turn;
    int ends[2];
    switch (atomic_fetch_add(&turn, 1) % 4) {
    case 0: return 1 << 20;
    case 1: return -ECONNREFUSED;
    case 2: return pipe(ends) != 0 ? INT32_MIN : (close(ends[1]), ends[0]);
    default: return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 ? INT32_MIN : (close(ends[1]), ends[0]);
    }
}

static int32_t interrupted(void *user_data) {
    (void)user_data;
    return roll(4) == 0;
}

static void on_manager(hangup_manager *manager) {
    hangup_stats stats = {.size = sizeof stats};
    hangup_connections *list = NULL;
    hangup_events *events = NULL;
    hangup_manager *other = NULL;
    hangup_close_reason reason = 0;
    int64_t limit = 0;
    size_t count = 0;
    hangup_close_mode how = roll(5) == 0 ? (hangup_close_mode)number() : (hangup_close_mode)roll(2);
    switch (roll(21)) {
    case 0: PLAIN_CALL(hangup_manager_stats, manager, &stats); break;
    case 1: CALL(hangup_manager_preconnect, manager, url(), roll(3), &count); break;
    case 2: CALL(hangup_manager_close_connection, manager, roll(100), how); break;
    case 3: CALL(hangup_manager_close_origin, manager, url(), how, &count); break;
    case 4: PLAIN_CALL(hangup_manager_close_idle, manager, number(), &count); break;
    case 5: PLAIN_CALL(hangup_manager_close_all, manager, how, &count); break;
    case 6: PLAIN_CALL(hangup_manager_network_changed, manager, &count); break;
    case 7: PLAIN_CALL(hangup_manager_clear_addresses, manager); break;
    case 8: PLAIN_CALL(hangup_manager_close_reason, manager, roll(100), &reason); break;
    case 9: CALL(hangup_manager_drain, manager, short_ms()); break;
    case 10: PLAIN_CALL(hangup_manager_shutdown, manager); break;
    case 11: CALL(hangup_manager_set_limit, manager, (hangup_limit)roll(11), number()); break;
    case 12: PLAIN_CALL(hangup_manager_limit, manager, (hangup_limit)roll(11), &limit); break;
    case 13:
        CALL(hangup_manager_connections, manager, &list);
        keep(LIST, list);
        break;
    case 14:
        CALL(hangup_manager_events, manager, roll(3) * 16, &events);
        keep(EVENTS, events);
        break;
    case 15: CALL(hangup_manager_set_address, manager, text(), text()); break;
    case 16:
        atomic_fetch_add(&resolvers, 1);
        CALL(hangup_manager_set_resolver, manager, resolve, count_end, &resolvers_ended);
        break;
    case 17: keep(MANAGER, hangup_manager_ref(manager)); break;
    case 18:
        other = hangup_manager_shared();
        ASK(hangup_manager_id(other) + hangup_manager_id(manager));
        hangup_manager_free(other);
        break;
    case 19:
        PLAIN_CALL(hangup_manager_set_network_watch, manager, (int32_t)number());
        ASK(hangup_manager_network_watch(manager));
        break;
    default: keep(CLIENT, NULL); break;
    }
}

static void on_tls(hangup_tls *tls, hangup_client *client, hangup_request *request) {
    const uint8_t *pem = (const uint8_t *)"-----BEGIN CERTIFICATE-----";
    switch (roll(13)) {
    case 0: CALL(hangup_tls_set_roots, tls, pem, roll(28)); break;
    case 1: CALL(hangup_tls_add_roots, tls, pem, roll(28)); break;
    case 2: CALL(hangup_tls_set_roots_path, tls, text()); break;
    case 3: CALL(hangup_tls_add_roots_path, tls, text()); break;
    case 4: CALL(hangup_tls_set_certificate, tls, pem, roll(28), pem, roll(28), text()); break;
    case 5: CALL(hangup_tls_set_versions, tls, (hangup_tls_version)(11 + roll(4)), (hangup_tls_version)(11 + roll(4))); break;
    case 6:
        CALL(hangup_tls_add_pin, tls, roll(2) == 0 ? text() : "sha256//YhKJKSzoTt2b5FP18fvpHo7fJYqQCjAa3HWY3tvRMwE=");
        break;
    case 7: CALL(hangup_tls_set_server_name, tls, text()); break;
    case 8: CALL(hangup_tls_set_key_log, tls, roll(2) == 0 ? "/dev/null" : NULL); break;
    case 9: CALL(hangup_tls_set_key_log_from_env, tls); break;
    case 10: CALL(hangup_tls_set_dangerously_accept_any_certificate, tls, (int32_t)roll(3) - 1); break;
    case 11: CALL(hangup_client_set_tls, client, roll(4) == 0 ? NULL : tls); break;
    default: CALL(hangup_request_set_tls, request, roll(4) == 0 ? NULL : tls);
    }
}

static int32_t give_token(void *user_data, const char *origin, const char *refused, hangup_token *token) {
    (void)user_data, (void)origin;
    return refused == NULL ? (int32_t)hangup_token_set_value(token, "token") : 1;
}

static void on_client(hangup_client *client, hangup_request *request, hangup_queue *queue) {
    hangup_response *response = NULL;
    hangup_string *cookies = NULL;
    size_t count = 0;
    int32_t on = (int32_t)roll(3) - 1;
    switch (roll(52)) {
    case 31:
        CALL(hangup_client_ignored_no_proxy, client, &cookies);
        keep(TEXT, cookies);
        break;
    case 32: CALL(hangup_client_set_interface, client, roll(2) == 0 ? text() : NULL); break;
    case 33: CALL(hangup_client_set_address_family, client, (hangup_address_family)(2 * roll(4))); break;
    case 34: CALL(hangup_client_set_happy_eyeballs_delay, client, number()); break;
    case 35: CALL(hangup_client_add_connect_to, client, text(), text(), roll(2) == 0 ? text() : NULL); break;
    case 36: PLAIN_CALL(hangup_client_clear_connect_to, client); break;
    case 37:
        atomic_fetch_add(&connectors, 1);
        CALL(hangup_client_set_connector, client, roll(3) == 0 ? no_connection : NULL, count_end, &connectors_ended);
        break;
    case 40: CALL(hangup_client_set_auth_basic, client, text(), text()); break;
    case 41: CALL(hangup_client_set_auth_bearer, client, text()); break;
    case 42: CALL(hangup_client_set_auth_digest, client, text(), text()); break;
    case 43: CALL(hangup_client_set_auth_netrc, client, text()); break;
    case 44: CALL(hangup_client_set_auth_token, client, give_token, NULL, NULL); break;
    case 45: PLAIN_CALL(hangup_client_clear_auth, client); break;
    case 46: CALL(hangup_client_set_proxy_digest, client, on); break;
    case 47:
        {
            hangup_retry_policy policy = HANGUP_RETRY_POLICY_INIT;
            policy.first_delay_ms = policy.max_delay_ms = 1;
            policy.max_attempts = (int32_t)roll(4);
            policy.budget = number();
            CALL(hangup_client_set_retry_policy, client, roll(2) == 0 ? &policy : NULL);
        }
        break;
    case 48: CALL(hangup_client_set_secure_cookies_on_localhost, client, on); break;
    case 49:
        {
            hangup_cookies *jar = NULL;
            hangup_cookie_info cookie = HANGUP_COOKIE_INFO_INIT;
            CALL(hangup_client_cookies, client, &jar);
            ASK(hangup_cookies_count(jar));
            ASK(hangup_cookies_at(jar, roll(3), &cookie));
            hangup_cookies_free(jar);
        }
        break;
    case 50: CALL(hangup_client_save_cookies, client, "/no/such/folder/cookies", (hangup_cookie_format)roll(4)); break;
    case 51: CALL(hangup_client_load_cookies, client, "/no/such/file"); break;
    case 27: CALL(hangup_client_set_max_codings, client, number()); break;
    case 0: CALL(hangup_client_set_timeout, client, (hangup_timeout)(1 + roll(10)), short_ms()); break;
    case 1: CALL(hangup_client_set_header, client, text(), text()); break;
    case 2: CALL(hangup_client_set_connection_mode, client, (hangup_connection_mode)roll(4)); break;
    case 3: CALL(hangup_client_set_max_head, client, size()); break;
    case 4: CALL(hangup_client_preconnect, client, url(), roll(3), &count); break;
    case 5: CALL(hangup_client_set_redirects, client, number()); break;
    case 6:
        CALL(hangup_client_set_retries, client, on);
        CALL(hangup_client_set_detect_lost_connections, client, on);
        break;
    case 7: CALL(hangup_client_add_sensitive_header, client, text()); break;
    case 8:
        CALL(hangup_client_set_decode, client, on);
        CALL(hangup_client_set_max_body, client, number());
        CALL(hangup_client_download, client, request, roll(2) == 0 ? "/dev/null" : "/no/such/folder/file", NULL, &response);
        keep(RESPONSE, response);
        break;
    case 9: CALL(hangup_client_set_cookies, client, on); break;
    case 10: CALL(hangup_client_add_cookie, client, url(), text()); break;
    case 11:
        CALL(hangup_client_cookies_for, client, url(), &cookies);
        keep(TEXT, cookies);
        break;
    case 12: PLAIN_CALL(hangup_client_clear_cookies, client); break;
    case 13: CALL(hangup_client_set_tls_roots, client, (const uint8_t *)"-----BEGIN", roll(11)); break;
    case 14: CALL(hangup_client_set_tls_roots_file, client, text()); break;
    case 15:
        CALL(hangup_client_set_tls_certificate, client, (const uint8_t *)"pem", roll(4), (const uint8_t *)"key", roll(4));
        break;
    case 16: CALL(hangup_client_set_tls_dangerously_accept_any_certificate, client, on); break;
    case 17: CALL(hangup_client_set_proxy, client, roll(2) == 0 ? text() : NULL); break;
    case 18:
        CALL(hangup_client_set_proxy_from_env, client);
        CALL(hangup_client_set_trace, client, roll(2) == 0 ? count_record : NULL, count_end, &traces_ended, on);
        atomic_fetch_add(&traces, 1);
        CALL(hangup_client_set_trace_file, client, NULL, on);
        break;
    case 19: CALL(hangup_client_set_no_proxy, client, text()); break;
    case 20: CALL(hangup_client_set_local_address, client, roll(2) == 0 ? text() : NULL); break;
    case 21: keep(CLIENT, hangup_client_ref(client)); break;
    case 22: keep(MANAGER, hangup_client_manager(client)); break;
    case 23:
    case 24:
        CALL(hangup_client_get, client, url(), short_ms(), &response);
        keep(RESPONSE, response);
        break;
    case 25:
    case 26:
        CALL(hangup_client_send, client, request, &response);
        keep(RESPONSE, response);
        break;
    default: {
        int mine = queue != NULL && roll(2) == 0;
        hangup_error *error = NULL;
        /* A path that is no file's, so that nothing is written. */
        hangup_status status = roll(4) == 0 ? hangup_client_submit_download(client, request, "/dev/null", NULL,
                                                                            mine ? queue : counted, roll(9), &error)
                                            : hangup_client_submit(client, request, mine ? queue : counted, roll(9), &error);
        atomic_fetch_add(&submitted, status == HANGUP_OK && !mine);
        judge("hangup_client_submit", status, error);
    }
    }
}

static void on_request(hangup_request *request, hangup_cancel *cancel) {
    hangup_request *copy = NULL;
    switch (roll(23)) {
    case 12: CALL(hangup_request_remove_header, request, text()); break;
    case 13: CALL(hangup_request_set_target, request, roll(3) == 0 ? NULL : text()); break;
    case 17: CALL(hangup_request_set_auth_basic, request, text(), text()); break;
    case 18: CALL(hangup_request_set_auth_bearer, request, text()); break;
    case 19: CALL(hangup_request_set_auth_digest, request, text(), text()); break;
    case 20: CALL(hangup_request_set_auth_netrc, request, text()); break;
    case 21: CALL(hangup_request_set_auth_token, request, give_token, NULL, NULL); break;
    case 22: PLAIN_CALL(hangup_request_clear_auth, request); break;
    case 11:
        atomic_fetch_add(&readers, 1);
        CALL(hangup_request_set_body_borrowed, request, (const uint8_t *)"uuuuuuuuuu", roll(11), count_end, &readers_ended);
        break;
    case 0:
        CALL(hangup_request_copy, request, &copy);
        keep(REQUEST, copy);
        break;
    case 1: CALL(hangup_request_add_header, request, text(), text()); break;
    case 2: CALL(hangup_request_set_body, request, (const uint8_t *)"uuuuuuuuuu", roll(11)); break;
    case 3: CALL(hangup_request_set_body_file, request, roll(2) == 0 ? text() : "/proc/self/status"); break;
    case 4:
        atomic_fetch_add(&readers, 1);
        CALL(hangup_request_set_body_reader, request, read_body, count_end, &readers_ended,
             roll(2) == 0 ? -1 : number());
        break;
    case 5: CALL(hangup_request_set_timeout, request, (hangup_timeout)(1 + roll(10)), short_ms()); break;
    case 6: CALL(hangup_request_set_min_rate, request, number(), short_ms()); break;
    case 7: CALL(hangup_request_set_connection_mode, request, (hangup_connection_mode)roll(4)); break;
    case 8: CALL(hangup_request_set_retries, request, (int32_t)roll(3) - 1); break;
    case 9: CALL(hangup_request_set_redirects, request, number()); break;
    case 10:
        CALL(hangup_request_set_buffer_body, request, number());
        CALL(hangup_request_set_buffer_up_to, request, number());
        CALL(hangup_request_set_decode, request, (int32_t)roll(3) - 1);
        break;
    case 14:
        atomic_fetch_add(&readers, 1);
        CALL(hangup_request_set_body_rewindable, request, read_body, rewind_body, count_end, &readers_ended,
             roll(2) == 0 ? -1 : number());
        break;
    case 15: {
        int fd = roll(3) == 0 ? -1 : open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        CALL(hangup_request_set_body_fd, request, fd, roll(2) == 0 ? -1 : number());
        if (fd >= 0) {
            close(fd);
        }
        break;
    }
    default: PLAIN_CALL(hangup_request_set_cancel, request, cancel); use(hangup_request_method(request));
    }
}

static void on_response(hangup_response *response, hangup_queue *queue) {
    static __thread uint8_t room[5000];
    hangup_timings timings = {.size = sizeof timings};
    hangup_download download = {.size = sizeof download};
    hangup_connection_facts facts = {.size = sizeof facts};
    const uint8_t *data = NULL;
    const char *name = NULL, *value = NULL;
    size_t got = 0;
    int32_t hop = 0;
    switch (roll(12)) {
    case 10: {
        hangup_stream *stream = NULL;
        CALL(hangup_response_take_stream, response, &stream);
        /* Nothing here may wait for longer. */
        CALL(hangup_stream_set_timeout, stream, HANGUP_TIMEOUT_READ, 20);
        CALL(hangup_stream_set_timeout, stream, HANGUP_TIMEOUT_WRITE, 20);
        keep(STREAM, stream);
        break;
    }
    case 9: PLAIN_CALL(hangup_response_free_body, response); break;
    case 0: ASK(hangup_response_status_code(response) + hangup_response_version(response)); break;
    case 1: ASK(hangup_response_connection_id(response) + (size_t)hangup_response_reused(response)); break;
    case 2:
        use(hangup_response_url(response));
        ASK(hangup_response_attempts(response) + hangup_response_history_count(response));
        use(hangup_response_history_at(response, roll(3), &hop));
        break;
    case 3:
        use(hangup_response_header(response, text(), &got));
        ASK(hangup_response_header_count(response));
        PLAIN_CALL(hangup_response_header_at, response, roll(4), &name, &value, &got);
        use(hangup_response_header_value(response, text(), roll(3), &got));
        PLAIN_CALL(hangup_response_raw_header_at, response, roll(4), &name, &value, &got);
        PLAIN_CALL(hangup_response_raw_head, response, &data, &got);
        use(hangup_response_reason(response, &got));
        ASK(hangup_response_content_length(response));
        break;
    case 4:
        PLAIN_CALL(hangup_response_timings, response, &timings);
        PLAIN_CALL(hangup_response_connection_facts, response, &facts);
        PLAIN_CALL(hangup_response_certificate_at, response, roll(2), &data, &got);
        ASK(hangup_response_interim_count(response) + hangup_response_trailer_count(response));
        ASK(hangup_response_interim_status_code(response, roll(2)));
        ASK(hangup_response_interim_header_count(response, roll(2)));
        PLAIN_CALL(hangup_response_interim_header_at, response, roll(2), roll(2), &name, &value, &got);
        PLAIN_CALL(hangup_response_trailer_at, response, roll(2), &name, &value, &got);
        break;
    case 5:
        ASK(hangup_response_left(response));
        CALL(hangup_response_read_full, response, room, roll(sizeof room), size(), &got);
        CALL(hangup_response_read_available, response, room, roll(sizeof room), &got, &hop);
        break;
    case 6: CALL(hangup_response_read, response, room, roll(sizeof room), &got); break;
    case 7:
        CALL(hangup_response_set_raw, response);
        PLAIN_CALL(hangup_response_download, response, &download);
        CALL(hangup_response_read_all, response, size(), &data, &got);
        break;
    case 8: PLAIN_CALL(hangup_response_close, response, (hangup_close_mode)roll(3)); break;
    default: {
        int mine = queue != NULL && roll(2) == 0;
        hangup_error *error = NULL;
        hangup_status status = hangup_response_submit_read(response, size(), mine ? queue : counted, roll(9), &error);
        atomic_fetch_add(&submitted, status == HANGUP_OK && !mine);
        judge("hangup_response_submit_read", status, error);
    }
    }
}

static void on_stream(hangup_stream *stream, hangup_queue *queue) {
    static __thread uint8_t room[5000];
    size_t got = 0;
    int mine = queue != NULL && roll(2) == 0;
    hangup_error *error = NULL;
    hangup_status status;
    switch (roll(10)) {
    case 8:
        status = hangup_stream_submit_shutdown_write(stream, mine ? queue : counted, roll(9), &error);
        atomic_fetch_add(&submitted, status == HANGUP_OK && !mine);
        judge("hangup_stream_submit_shutdown_write", status, error);
        break;
    case 0: CALL(hangup_stream_read, stream, room, roll(sizeof room), &got); break;
    case 1: CALL(hangup_stream_write_all, stream, room, roll(sizeof room)); break;
    case 2: CALL(hangup_stream_shutdown_write, stream); break;
    case 3: PLAIN_CALL(hangup_stream_close, stream); break;
    case 4: CALL(hangup_stream_set_timeout, stream, (hangup_timeout)(1 + roll(10)), 1 + roll(30)); break;
    case 5: keep(STREAM, hangup_stream_ref(stream)); break;
    case 6:
        ASK(hangup_stream_buffered(stream) + (size_t)hangup_stream_fd(stream));
        ASK(hangup_stream_connection_id(stream) + (size_t)hangup_stream_is_closed(stream));
        ASK(hangup_stream_is_closing(stream));
        break;
    case 7:
        status = hangup_stream_submit_read(stream, size(), mine ? queue : counted, roll(9), &error);
        atomic_fetch_add(&submitted, status == HANGUP_OK && !mine);
        judge("hangup_stream_submit_read", status, error);
        break;
    default:
        status = hangup_stream_submit_write(stream, room, roll(sizeof room), mine ? queue : counted, roll(9), &error);
        atomic_fetch_add(&submitted, status == HANGUP_OK && !mine);
        judge("hangup_stream_submit_write", status, error);
    }
}

static void on_form(hangup_form *form, hangup_request *request) {
    switch (roll(7)) {
    case 0: CALL(hangup_form_set_boundary, form, text()); break;
    case 1: CALL(hangup_form_add_text, form, text(), text()); break;
    case 2: CALL(hangup_form_add_bytes, form, text(), (const uint8_t *)"uuuuuuuuuu", roll(11), text(), text()); break;
    case 3: CALL(hangup_form_add_file, form, text(), roll(2) == 0 ? text() : "/proc/self/status", text(), text()); break;
    case 4:
        atomic_fetch_add(&readers, 1);
        CALL(hangup_form_add_reader, form, text(), read_body, roll(2) == 0 ? rewind_body : NULL, count_end, &readers_ended,
             roll(2) == 0 ? -1 : number(), text(), text());
        break;
    case 5: CALL(hangup_request_set_body_urlencoded, request, form); break;
    default: CALL(hangup_request_set_body_form, request, form);
    }
}

/** The bytes are few, so that a write rarely finds a full buffer and waits for an exchange. */
static void on_upload(hangup_upload *upload, hangup_request *request, hangup_queue *queue) {
    const uint8_t *bytes = (const uint8_t *)"uuuuuuuuuu";
    hangup_upload *made = NULL;
    hangup_error *error = NULL;
    int mine = queue != NULL && roll(2) == 0;
    hangup_status status;
    size_t taken = 0;
    switch (roll(9)) {
    case 0:
    case 1:
        CALL(hangup_upload_new, roll(2) == 0 ? -1 : number(), &made);
        keep(UPLOAD, made);
        break;
    case 2: CALL(hangup_request_set_body_upload, request, upload); break;
    case 3: CALL(hangup_upload_write_all, upload, bytes, roll(11)); break;
    case 4: CALL(hangup_upload_try_write, upload, bytes, roll(11), &taken); break;
    case 5:
        status = hangup_upload_submit_write(upload, bytes, roll(11), mine ? queue : counted, roll(9), &error);
        atomic_fetch_add(&submitted, status == HANGUP_OK && !mine);
        judge("hangup_upload_submit_write", status, error);
        break;
    case 6: CALL(hangup_upload_finish, upload); break;
    case 7: CALL(hangup_upload_abort, upload, text()); break;
    default: ASK(hangup_upload_fd(upload));
    }
}

static void on_progress(hangup_progress *progress, hangup_request *request, hangup_client *client) {
    switch (roll(7)) {
    case 0: CALL(hangup_request_set_progress, request, roll(3) == 0 ? NULL : progress); break;
    case 1: CALL(hangup_request_set_max_rate, request, number(), number()); break;
    case 2: CALL(hangup_client_set_max_rate, client, number(), number()); break;
    case 3: CALL(hangup_request_set_expect_continue, request, short_ms()); break;
    case 4: CALL(hangup_client_set_expect_continue, client, short_ms()); break;
    default:
        ASK(hangup_progress_bytes_sent(progress) + (size_t)hangup_progress_bytes_to_send(progress));
        ASK(hangup_progress_bytes_received(progress) + (size_t)hangup_progress_bytes_to_receive(progress));
    }
}

static void take(hangup_queue *queue, int64_t patience) {
    hangup_completion completion = {.size = sizeof completion};
    hangup_status status = hangup_queue_next(queue, patience, &completion);
    judge("hangup_queue_next", status, NULL);
    if (status == HANGUP_OK) {
        atomic_fetch_add(&completed, queue == counted);
        judge("a completion", completion.status, completion.error);
        if (completion.response != NULL) {
            keep(RESPONSE, completion.response);
        }
    }
}

static void on_cancel(hangup_cancel *cancel) {
    hangup_cancel *child = NULL;
    switch (roll(6)) {
    case 0:
        PLAIN_CALL(hangup_cancel_child, cancel, &child);
        keep(CANCEL, child);
        break;
    case 1: keep(CANCEL, hangup_cancel_ref(cancel)); break;
    case 2: PLAIN_CALL(hangup_cancel_fire_after, cancel, short_ms()); break;
    case 3: hangup_cancel_fire(cancel, text()); break;
    default: ASK(hangup_cancel_is_fired(cancel));
    }
}

static void on_the_rest(slot *events, slot *list, slot *shown, slot *error, hangup_queue *queue) {
    hangup_timings timings = {.size = sizeof timings};
    hangup_tcp_facts tcp = {.size = sizeof tcp};
    hangup_event event = {.size = sizeof event};
    hangup_connection_info info = {.size = sizeof info};
    size_t got = 0;
    hangup_connection_facts facts = {.size = sizeof facts};
    const uint8_t *der = NULL;
    switch (roll(15)) {
    case 0: PLAIN_CALL(hangup_events_next, events->handle, short_ms(), &event); break;
    case 1: ASK(hangup_events_lost(events->handle) + (size_t)hangup_events_fd(events->handle)); break;
    case 2: PLAIN_CALL(hangup_events_close, events->handle); break;
    case 3:
        ASK(hangup_connections_count(list->handle));
        use(hangup_connections_json(list->handle));
        if (hangup_connections_at(list->handle, roll(4), &info) == HANGUP_OK) {
            use(info.origin);
            use(info.peer);
        }
        if (hangup_connections_facts_at(list->handle, roll(4), &facts) == HANGUP_OK) {
            use(facts.peer);
            use(facts.cipher);
        }
        PLAIN_CALL(hangup_connections_certificate_at, list->handle, roll(4), roll(2), &der, &got);
        break;
    case 4: use(hangup_string_value(shown->handle, &got)); break;
    case 5:
        use(hangup_error_message(error->handle));
        use(hangup_error_reason(error->handle));
        ASK((int)hangup_error_phase(error->handle) + (int)hangup_error_timeout(error->handle) + hangup_error_os_code(error->handle));
        ASK(hangup_error_retry_safe(error->handle) + hangup_error_reused(error->handle));
        ASK(hangup_error_connection_id(error->handle) + hangup_error_bytes_sent(error->handle));
        ASK((int)hangup_error_sent(error->handle) + hangup_error_response_started(error->handle));
        ASK(hangup_error_attempts(error->handle) + (size_t)hangup_error_status_code(error->handle));
        ASK(hangup_error_open_connections(error->handle));
        ASK(hangup_error_resolver_code(error->handle) + hangup_error_retry_may_help(error->handle));
        use(hangup_error_method(error->handle));
        use(hangup_error_url(error->handle));
        use(hangup_error_origin(error->handle));
        use(hangup_error_json(error->handle));
        PLAIN_CALL(hangup_error_timings, error->handle, &timings);
        ASK((int)hangup_error_acknowledged(error->handle));
        PLAIN_CALL(hangup_error_tcp_facts, error->handle, &tcp);
        break;
    case 6:
        use(hangup_version_text());
        ASK(hangup_version());
        use(hangup_phase_text((hangup_phase)number()));
        use(hangup_timeout_text((hangup_timeout)number()));
        use(hangup_connection_state_text((hangup_connection_state)number()));
        use(hangup_acknowledged_text((hangup_acknowledged)number()));
        use(hangup_close_reason_text((hangup_close_reason)number()));
        use(hangup_event_type_text((hangup_event_type)number()));
        use(hangup_retry_reason_text((hangup_retry_reason)number()));
        use(hangup_cookie_format_text((hangup_cookie_format)number()));
        use(hangup_address_family_text((hangup_address_family)number()));
        use(hangup_sent_text((hangup_sent)number()));
        use(hangup_limit_text((hangup_limit)number()));
        use(hangup_close_mode_text((hangup_close_mode)number()));
        use(hangup_connection_mode_text((hangup_connection_mode)number()));
        use(hangup_completion_type_text((hangup_completion_type)number()));
        use(hangup_trace_type_text((hangup_trace_type)number()));
        use(hangup_features());
        ASK(hangup_has_feature(text()));
        use(hangup_tls_version_text((hangup_tls_version)number()));
        break;
    case 7: CALL(hangup_set_io_threads, roll(4)); break;
    case 8: PLAIN_CALL(hangup_set_interrupt_check, roll(2) == 0 ? interrupted : NULL, NULL, short_ms()); break;
    case 9: PLAIN_CALL(hangup_queue_close, queue); break;
    case 10: CALL(hangup_queue_set_caller_runs, roll(2) == 0 ? queue : counted, (int32_t)roll(3) - 1); break;
    case 11: ASK(hangup_queue_drive_fd(queue)); break;
    case 12: PLAIN_CALL(hangup_queue_drive, queue); break;
    default: ASK(hangup_queue_fd(queue)); take(roll(2) == 0 ? queue : counted, short_ms());
    }
    /* The origin belongs to the last event: asked where no other thread asks for the next one. */
    hangup_events *alone = NULL;
    hangup_manager *shared = hangup_manager_shared();
    if (roll(50) == 0 && hangup_manager_events(shared, 16, &alone, NULL) == HANGUP_OK) {
        use(hangup_events_origin(alone));
        hangup_events_free(alone);
    }
    hangup_manager_free(shared);
}

static void begin_one(int type) {
    hangup_manager *manager = NULL;
    hangup_client *client = NULL;
    hangup_request *request = NULL;
    slot *of = borrow(type == MANAGER ? OPTIONS : MANAGER);
    switch (type) {
    case MANAGER:
        CALL(hangup_manager_new, of->handle, &manager);
        break;
    case OPTIONS: {
        hangup_options *options = hangup_options_new();
        CALL(hangup_options_set_limit, options, (hangup_limit)roll(11), number());
        pthread_rwlock_unlock(&of->lock);
        keep(OPTIONS, options);
        return;
    }
    case CLIENT:
        CALL(hangup_client_new, of->handle, &client);
        /* Nothing here may wait for longer. */
        CALL(hangup_client_set_timeout, client, HANGUP_TIMEOUT_TOTAL, 50);
        break;
    case REQUEST:
        switch (roll(7)) {
        case 0:
            CALL(hangup_request_new_connect, url(), roll(3) == 0 ? text() : "127.0.0.1:1", &request);
            break;
        case 1:
            CALL(hangup_request_new, "GET", given("switch"), &request);
            CALL(hangup_request_add_header, request, "Upgrade", "lines");
            break;
        case 2: CALL(hangup_request_new_as_given, method(), url(), &request); break;
        default: CALL(hangup_request_new, method(), url(), &request);
        }
        break;
    default: break;
    }
    pthread_rwlock_unlock(&of->lock);
    switch (type) {
    case MANAGER: keep(type, manager); break;
    case CLIENT: keep(type, client); break;
    case REQUEST: keep(type, request); break;
    case TLS: keep(type, hangup_tls_new()); break;
    case FORM: keep(type, hangup_form_new()); break;
    case PROGRESS: keep(type, hangup_progress_new()); break;
    case CANCEL: keep(type, hangup_cancel_new()); break;
    case QUEUE: keep(type, hangup_queue_new()); break;
    default: break;
    }
}

static void one_call(void) {
    slot *borrowed[TYPES];
    if (roll(4) == 0) {
        static const int begin_as[] = {
            MANAGER, OPTIONS, TLS, CLIENT, CLIENT, REQUEST, REQUEST, REQUEST, FORM, PROGRESS, CANCEL, QUEUE,
        };
        begin_one(ONE_OF(begin_as));
        return;
    }
    for (int type = 0; type < TYPES; type++) {
        borrowed[type] = borrow(type);
    }
    switch (roll(13)) {
    case 12: on_form(borrowed[FORM]->handle, borrowed[REQUEST]->handle); break;
    case 11: on_upload(borrowed[UPLOAD]->handle, borrowed[REQUEST]->handle, borrowed[QUEUE]->handle); break;
    case 10: on_progress(borrowed[PROGRESS]->handle, borrowed[REQUEST]->handle, borrowed[CLIENT]->handle); break;
    case 9: on_tls(borrowed[TLS]->handle, borrowed[CLIENT]->handle, borrowed[REQUEST]->handle); break;
    case 7: on_stream(borrowed[STREAM]->handle, borrowed[QUEUE]->handle); break;
    case 0: on_manager(borrowed[MANAGER]->handle); break;
    case 1:
    case 2: on_client(borrowed[CLIENT]->handle, borrowed[REQUEST]->handle, borrowed[QUEUE]->handle); break;
    case 3: on_request(borrowed[REQUEST]->handle, borrowed[CANCEL]->handle); break;
    case 4:
    case 5: on_response(borrowed[RESPONSE]->handle, borrowed[QUEUE]->handle); break;
    case 6: on_cancel(borrowed[CANCEL]->handle); break;
    default:
        on_the_rest(borrowed[EVENTS], borrowed[LIST], borrowed[TEXT], borrowed[ERROR], borrowed[QUEUE]->handle);
    }
    for (int type = 0; type < TYPES; type++) {
        pthread_rwlock_unlock(&borrowed[type]->lock);
    }
}

typedef struct {
    uint64_t seed;
    long calls;
    int64_t until;
} work;

static void *call_at_random(void *argument) {
    work *mine = argument;
    dice = mine->seed * 0x9E3779B97F4A7C15ULL | 1;
    for (long i = 0; mine->until == 0 ? i < mine->calls : now_us() < mine->until; i++) {
        one_call();
    }
    hangup_set_interrupt_check(NULL, NULL, -1);
    return NULL;
}

static long given_number(const char *name, long otherwise) {
    const char *value = given_or_null(name);
    return value == NULL ? otherwise : atol(value);
}

static void wait_for(const char *what, atomic_ulong *now, atomic_ulong *all) {
    int64_t end_at = now_us() + 20000000 * slowness();
    while (atomic_load(now) != atomic_load(all)) {
        if (now_us() > end_at) {
            FAIL("%lu of %lu %s", atomic_load(now), atomic_load(all), what);
        }
        take(counted, 1);
    }
}

int main(int argc, char **argv) {
    begin(argc, argv);
    enum { MOST_THREADS = 16 };
    pthread_t threads[MOST_THREADS];
    work all[MOST_THREADS];
    long count = given_number("threads", 4), seconds = given_number("seconds", 0);
    CHECK(count <= MOST_THREADS);
    counted = hangup_queue_new();
    dice = 1;
    for (int type = 0; type < TYPES; type++) {
        for (int i = 0; i < SLOTS; i++) {
            CHECK(pthread_rwlock_init(&pool[type][i].lock, NULL) == 0);
        }
    }
    for (long i = 0; i < count; i++) {
        all[i].seed = (uint64_t)(given_number("from", 1) * 1000 + i);
        all[i].calls = given_number("calls", 2000);
        all[i].until = seconds == 0 ? 0 : now_us() + seconds * 1000000;
        start(&threads[i], call_at_random, &all[i]);
    }
    for (long i = 0; i < count; i++) {
        join(threads[i]);
    }
    wait_for("submissions are completed", &completed, &submitted);
    for (int type = 0; type < TYPES; type++) {
        for (int i = 0; i < SLOTS; i++) {
            end(type, pool[type][i].handle);
        }
    }
    hangup_queue_free(counted);
    counted = NULL;
    hangup_manager *shared = hangup_manager_shared();
    CHECK_OK(hangup_manager_shutdown(shared), NULL);
    /* It never ends, and a client without a manager of its own may have given it a resolver. */
    CHECK_OK(hangup_manager_set_resolver(shared, NULL, NULL, NULL, NULL), NULL);
    hangup_manager_free(shared);
    wait_for("body readers are ended", &readers_ended, &readers);
    wait_for("traces are ended", &traces_ended, &traces);
    wait_for("resolvers are ended", &resolvers_ended, &resolvers);
    wait_for("connectors are ended", &connectors_ended, &connectors);
    int64_t end_at = now_us() + 20000000 * slowness();
    while (open_sockets() != 0) {
        if (now_us() > end_at) {
            FAIL("%d sockets are left", open_sockets());
        }
        sleep_ms(1);
    }
    printf("numbers: ABI: %lu calls, %lu completions, %lu callbacks\n", atomic_load(&calls_made),
           atomic_load(&completed), atomic_load(&readers_ended) + atomic_load(&resolvers_ended));
    return 0;
}
