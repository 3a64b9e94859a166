/**
 * @file hangup.hpp
 *
 * hangup for C++17 and later: hangup.h with destructors, exceptions and std::chrono. Header-only; link with -lhangup.
 *
 *     hangup::Client client;
 *     hangup::Response response = client.get("https://example.org/", std::chrono::seconds(5));
 *     std::cout << response.status() << ' ' << response.read_all() << '\n';
 *
 * THE CONTRACT, beside the one in hangup.h:
 *
 * - Every class owns one share of a C handle, can be moved and not copied. Those that any thread may use at any time
 *   (Manager, Client, CancelToken) have share(): one more share of the same thing, for another owner. A moved-from
 *   object may be destroyed or assigned to; anything else throws an Error with Status::null.
 * - A call that fails throws hangup::Error, which carries all that hangup_error does. Destructors never throw, never
 *   block, and may run in any order.
 * - Times are any std::chrono duration, rounded up to milliseconds. Zero, less than zero and NaN are refused; "no limit"
 *   is hangup::no_limit, or an empty std::optional.
 * - Text in is std::string_view and is copied. Text out is std::string_view and borrowed from the object that was
 *   asked: it lives as long as that object and is not valid after a move-assignment to it. Asked of a temporary, as in
 *   client.get(url).read_all(), it is a std::string of its own (OwnedText). Rows (ConnectionInfo, Event, Hop) are values with text of their own.
 * - Setters return the object: a reference to one that has a name, the object itself if it is a temporary. So
 *   `Request request = Request("GET", url).set_buffer_body(1 << 20);` is a request.
 * - C code, Python code and this share one manager: Manager::shared().
 *
 * handle() lends the C handle, for C code that wants one.
 */
#ifndef HANGUP_HPP
#define HANGUP_HPP

#if __cplusplus < 201703L && (!defined(_MSVC_LANG) || _MSVC_LANG < 201703L)
#error "hangup.hpp needs C++17 or later; hangup.h needs C++11"
#endif

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "hangup.h"

/** Not part of the interface: compilers that know it warn of a view that outlives its object. */
#if defined(__has_cpp_attribute) && __has_cpp_attribute(clang::lifetimebound)
#define HANGUP_LIFETIMEBOUND [[clang::lifetimebound]]
#else
#define HANGUP_LIFETIMEBOUND
#endif

namespace hangup {

/** The status of a call; see hangup_status. Later versions may add some: keep a default branch. */
enum class Status : std::int32_t {
    ok = HANGUP_OK,
    null = HANGUP_NULL,
    bad_handle = HANGUP_BAD_HANDLE,
    invalid_argument = HANGUP_INVALID_ARGUMENT,
    invalid_url = HANGUP_INVALID_URL,
    invalid_method = HANGUP_INVALID_METHOD,
    invalid_header = HANGUP_INVALID_HEADER,
    invalid_timeout = HANGUP_INVALID_TIMEOUT,
    invalid_state = HANGUP_INVALID_STATE,
    not_found = HANGUP_NOT_FOUND,
    cancelled = HANGUP_CANCELLED,
    timed_out = HANGUP_TIMED_OUT,
    closed = HANGUP_CLOSED,
    shut_down = HANGUP_SHUT_DOWN,
    forked = HANGUP_FORKED,
    queue_full = HANGUP_QUEUE_FULL,
    peer_closed = HANGUP_PEER_CLOSED,
    peer_reset = HANGUP_PEER_RESET,
    resolve_failed = HANGUP_RESOLVE_FAILED,
    connect_failed = HANGUP_CONNECT_FAILED,
    tls_failed = HANGUP_TLS_FAILED,
    protocol = HANGUP_PROTOCOL,
    too_large = HANGUP_TOO_LARGE,
    body_failed = HANGUP_BODY_FAILED,
    system = HANGUP_SYSTEM,
    proxy_failed = HANGUP_PROXY_FAILED,
    redirect_refused = HANGUP_REDIRECT_REFUSED,
    unexpected_status = HANGUP_UNEXPECTED_STATUS,
    digest_mismatch = HANGUP_DIGEST_MISMATCH,
    peer_silent = HANGUP_PEER_SILENT,
    auth_failed = HANGUP_AUTH_FAILED,
    panic = HANGUP_PANIC,
};

/** Where an exchange was when it ended. */
enum class Phase : std::int32_t {
    none = HANGUP_PHASE_NONE,
    pool = HANGUP_PHASE_POOL,
    resolve = HANGUP_PHASE_RESOLVE,
    connect = HANGUP_PHASE_CONNECT,
    proxy = HANGUP_PHASE_PROXY,
    tls = HANGUP_PHASE_TLS,
    write = HANGUP_PHASE_WRITE,
    head = HANGUP_PHASE_HEAD,
    read = HANGUP_PHASE_READ,
};

/** Which clock; total to read can be set, the others stand in errors only. */
enum class Timeout : std::int32_t {
    none = HANGUP_TIMEOUT_NONE,
    total = HANGUP_TIMEOUT_TOTAL,
    pool = HANGUP_TIMEOUT_POOL,
    resolve = HANGUP_TIMEOUT_RESOLVE,
    connect = HANGUP_TIMEOUT_CONNECT,
    tls = HANGUP_TIMEOUT_TLS,
    write = HANGUP_TIMEOUT_WRITE,
    head = HANGUP_TIMEOUT_HEAD,
    read = HANGUP_TIMEOUT_READ,
    min_rate = HANGUP_TIMEOUT_MIN_RATE,
    token = HANGUP_TIMEOUT_TOKEN,
};

/** The addresses that a client connects to. */
enum class AddressFamily : std::int32_t { any = HANGUP_ADDRESS_FAMILY_ANY, ipv4 = HANGUP_ADDRESS_FAMILY_IPV4, ipv6 = HANGUP_ADDRESS_FAMILY_IPV6 };

/** How long a connection shall live. */
enum class ConnectionMode : std::int32_t { keep = HANGUP_CONNECTION_MODE_KEEP, close_after = HANGUP_CONNECTION_MODE_CLOSE_AFTER, fresh = HANGUP_CONNECTION_MODE_FRESH };

/** A version of TLS. */
enum class TlsVersion : std::int32_t { tls12 = HANGUP_TLS_VERSION_TLS12, tls13 = HANGUP_TLS_VERSION_TLS13 };

/** How to close: letting an exchange in progress finish, or at once. */
enum class CloseMode : std::int32_t { graceful = HANGUP_CLOSE_MODE_GRACEFUL, now = HANGUP_CLOSE_MODE_NOW };

/** How much of a request went out. */
enum class Sent : std::int32_t { nothing = HANGUP_SENT_NOTHING, part = HANGUP_SENT_PART, all = HANGUP_SENT_ALL };

/** How much of a request the peer's TCP acknowledged. What is not acknowledged may have been received all the same. */
enum class Acknowledged : std::int32_t {
    nothing = HANGUP_ACKNOWLEDGED_NOTHING,
    part = HANGUP_ACKNOWLEDGED_PART,
    all = HANGUP_ACKNOWLEDGED_ALL,
};

/** What a connection is doing. */
enum class ConnectionState : std::int32_t {
    resolving = HANGUP_CONNECTION_STATE_RESOLVING,
    connecting = HANGUP_CONNECTION_STATE_CONNECTING,
    proxy = HANGUP_CONNECTION_STATE_PROXY,
    tls = HANGUP_CONNECTION_STATE_TLS,
    in_use = HANGUP_CONNECTION_STATE_IN_USE,
    idle = HANGUP_CONNECTION_STATE_IDLE,
    upgraded = HANGUP_CONNECTION_STATE_UPGRADED,
};

/** Why a connection was closed: exactly one of these. */
enum class CloseReason : std::int32_t {
    dial_failed = HANGUP_CLOSE_REASON_DIAL_FAILED,
    peer_closed = HANGUP_CLOSE_REASON_PEER_CLOSED,
    peer_reset = HANGUP_CLOSE_REASON_PEER_RESET,
    asked_by_request = HANGUP_CLOSE_REASON_ASKED_BY_REQUEST,
    asked_by_response = HANGUP_CLOSE_REASON_ASKED_BY_RESPONSE,
    protocol_error = HANGUP_CLOSE_REASON_PROTOCOL_ERROR,
    body_left_unread = HANGUP_CLOSE_REASON_BODY_LEFT_UNREAD,
    cancelled = HANGUP_CLOSE_REASON_CANCELLED,
    timed_out = HANGUP_CLOSE_REASON_TIMED_OUT,
    closed_by_id = HANGUP_CLOSE_REASON_CLOSED_BY_ID,
    closed_by_origin = HANGUP_CLOSE_REASON_CLOSED_BY_ORIGIN,
    closed_by_all = HANGUP_CLOSE_REASON_CLOSED_BY_ALL,
    idle_too_long = HANGUP_CLOSE_REASON_IDLE_TOO_LONG,
    too_old = HANGUP_CLOSE_REASON_TOO_OLD,
    served_enough = HANGUP_CLOSE_REASON_SERVED_ENOUGH,
    pool_full = HANGUP_CLOSE_REASON_POOL_FULL,
    stale_at_checkout = HANGUP_CLOSE_REASON_STALE_AT_CHECKOUT,
    manager_shut_down = HANGUP_CLOSE_REASON_MANAGER_SHUT_DOWN,
    forked_away = HANGUP_CLOSE_REASON_FORKED_AWAY,
    network_changed = HANGUP_CLOSE_REASON_NETWORK_CHANGED,
    stream_closed = HANGUP_CLOSE_REASON_STREAM_CLOSED,
    peer_silent = HANGUP_CLOSE_REASON_PEER_SILENT,
    peer_unreachable = HANGUP_CLOSE_REASON_PEER_UNREACHABLE,
};

/** What happened to a connection. Later versions may add some: keep a default branch. */
enum class EventType : std::int32_t {
    opened = HANGUP_EVENT_TYPE_OPENED,
    leased = HANGUP_EVENT_TYPE_LEASED,
    returned = HANGUP_EVENT_TYPE_RETURNED,
    closed = HANGUP_EVENT_TYPE_CLOSED,
    queued = HANGUP_EVENT_TYPE_QUEUED,
    retried = HANGUP_EVENT_TYPE_RETRIED,
    phase = HANGUP_EVENT_TYPE_PHASE,
    no_proxy_ignored = HANGUP_EVENT_TYPE_NO_PROXY_IGNORED,
    suspected = HANGUP_EVENT_TYPE_SUSPECTED,
    probed = HANGUP_EVENT_TYPE_PROBED,
    lost = HANGUP_EVENT_TYPE_LOST,
    recovered = HANGUP_EVENT_TYPE_RECOVERED,
    network_changed = HANGUP_EVENT_TYPE_NETWORK_CHANGED,
};

/** Why a request is sent again. Later versions may add some: keep a default branch. */
enum class RetryReason : std::int32_t {
    connection_lost = HANGUP_RETRY_REASON_CONNECTION_LOST,
    connect_failed = HANGUP_RETRY_REASON_CONNECT_FAILED,
    status_code = HANGUP_RETRY_REASON_STATUS_CODE,
    challenge = HANGUP_RETRY_REASON_CHALLENGE,
    expect_refused = HANGUP_RETRY_REASON_EXPECT_REFUSED,
};

/** A format in which cookies are saved. */
enum class CookieFormat : std::int32_t { netscape = HANGUP_COOKIE_FORMAT_NETSCAPE, json = HANGUP_COOKIE_FORMAT_JSON };

/** What a completion is about. Later versions may add some: keep a default branch. */
enum class CompletionType : std::int32_t {
    response = HANGUP_COMPLETION_TYPE_RESPONSE,
    read = HANGUP_COMPLETION_TYPE_READ,
    stream_read = HANGUP_COMPLETION_TYPE_STREAM_READ,
    stream_write = HANGUP_COMPLETION_TYPE_STREAM_WRITE,
    upload_write = HANGUP_COMPLETION_TYPE_UPLOAD_WRITE,
};

/** What a record of a trace is. Later versions may add some: keep a default branch. */
enum class TraceType : std::int32_t {
    info = HANGUP_TRACE_TYPE_INFO,
    request_head = HANGUP_TRACE_TYPE_REQUEST_HEAD,
    request_body = HANGUP_TRACE_TYPE_REQUEST_BODY,
    response_head = HANGUP_TRACE_TYPE_RESPONSE_HEAD,
    response_body = HANGUP_TRACE_TYPE_RESPONSE_BODY,
};

/** The names that hangup.h has: "TIMED_OUT", "connect", "total", "idle". */
inline std::string_view to_string(Status status) { return hangup_status_text(static_cast<hangup_status>(status)); }
inline std::string_view to_string(Phase phase) { return hangup_phase_text(static_cast<hangup_phase>(phase)); }
inline std::string_view to_string(Timeout which) { return hangup_timeout_text(static_cast<hangup_timeout>(which)); }
inline std::string_view to_string(Acknowledged how_much) { return hangup_acknowledged_text(static_cast<hangup_acknowledged>(how_much)); }
inline std::string_view to_string(ConnectionState state) { return hangup_connection_state_text(static_cast<hangup_connection_state>(state)); }
inline std::string_view to_string(CloseReason reason) { return hangup_close_reason_text(static_cast<hangup_close_reason>(reason)); }
inline std::string_view to_string(TraceType what) { return hangup_trace_type_text(static_cast<hangup_trace_type>(what)); }
inline std::string_view to_string(TlsVersion version) { return hangup_tls_version_text(static_cast<hangup_tls_version>(version)); }
inline std::string_view to_string(EventType what) { return hangup_event_type_text(static_cast<hangup_event_type>(what)); }
inline std::string_view to_string(RetryReason reason) { return hangup_retry_reason_text(static_cast<hangup_retry_reason>(reason)); }
inline std::string_view to_string(CookieFormat format) { return hangup_cookie_format_text(static_cast<hangup_cookie_format>(format)); }

/** The version of the library as text, for example "0.1.0"; HANGUP_VERSION_TEXT is that of the header. */
inline std::string_view version() noexcept { return hangup_version_text(); }

/** What the library was built with, as names separated by spaces, in alphabetical order. */
inline std::string_view features() noexcept { return hangup_features(); }

/** Whether the library was built with the feature of that name, for example "zstd". */
inline bool has_feature(std::string_view name) { return hangup_has_feature(std::string(name).c_str()) != 0; }

/** No limit, in place of a time. */
struct NoLimit {};
inline constexpr NoLimit no_limit{};

/**
 * A time, or no limit: what every function below takes that bounds something. Made from any std::chrono duration, from
 * no_limit, or from a std::optional of a duration.
 */
class Limit {
public:
    constexpr Limit(NoLimit) noexcept : ms_(HANGUP_NO_LIMIT) {}
    constexpr Limit(std::nullopt_t) noexcept : ms_(HANGUP_NO_LIMIT) {}

    template <class Rep, class Period>
    constexpr Limit(std::chrono::duration<Rep, Period> time) noexcept : ms_(round(time)) {}

    template <class Rep, class Period>
    constexpr Limit(std::optional<std::chrono::duration<Rep, Period>> time) noexcept
        : ms_(time ? round(*time) : HANGUP_NO_LIMIT) {}

    /** Milliseconds as hangup.h wants them. */
    constexpr std::int64_t ms() const noexcept { return ms_; }

private:
    template <class Rep, class Period>
    static constexpr std::int64_t round(std::chrono::duration<Rep, Period> time) noexcept {
        using exact = std::chrono::duration<long double, std::milli>;
        constexpr auto most = std::numeric_limits<std::int64_t>::max();
        const long double ms = exact(time).count();
        if (!(ms >= 0)) {
            // Negative, or NaN: refused. -1 ms as a number would be "no limit".
            return std::numeric_limits<std::int64_t>::min();
        }
        if (ms >= static_cast<long double>(most)) {
            return most;
        }
        const auto whole = static_cast<std::int64_t>(ms);
        // Up, so that a short time does not become none at all.
        return static_cast<long double>(whole) < ms ? whole + 1 : whole;
    }

    std::int64_t ms_;
};

/**
 * Text that was asked of a temporary: a std::string, because what it could be borrowed from ends with the expression. As
 * long as it is a temporary itself no std::string_view can be made of it, as that would outlive it: give it a name, or make
 * it a std::string.
 */
class OwnedText : public std::string {
public:
    explicit OwnedText(std::string_view text) : std::string(text) {}

    operator std::string_view() const & noexcept HANGUP_LIFETIMEBOUND { return {data(), size()}; }
    operator std::string_view() const && = delete;

    /** Comparing is safe. Only views: all else is compared as a std::string is. */
    template <class View, std::enable_if_t<std::is_same_v<View, std::string_view>, int> = 0>
    friend bool operator==(const OwnedText &text, View view) noexcept {
        return text.compare(view) == 0;
    }
    template <class View, std::enable_if_t<std::is_same_v<View, std::string_view>, int> = 0>
    friend bool operator==(View view, const OwnedText &text) noexcept {
        return text.compare(view) == 0;
    }
    template <class View, std::enable_if_t<std::is_same_v<View, std::string_view>, int> = 0>
    friend bool operator!=(const OwnedText &text, View view) noexcept {
        return text.compare(view) != 0;
    }
    template <class View, std::enable_if_t<std::is_same_v<View, std::string_view>, int> = 0>
    friend bool operator!=(View view, const OwnedText &text) noexcept {
        return text.compare(view) != 0;
    }
};

/** How long each part took; nothing for a part that did not take place. */
struct Timings {
    std::optional<std::chrono::microseconds> pool, resolve, connect, proxy, tls, write, head, read, total;
};

/**
 * What the operating system's TCP knows of a connection at one moment: TCP_INFO of Linux (tcp(7)); see hangup_tcp_facts. A value
 * of its own.
 */
struct TcpFacts {
    /** The smoothed round-trip time; nothing before it was measured. */
    std::optional<std::chrono::microseconds> rtt;
    /** How long ago the last byte or acknowledgement of the peer came: its last sign of life. */
    std::chrono::milliseconds silence;
    /** Bytes that were written and that the peer has not acknowledged; it may have received them all the same. */
    std::uint64_t unacked_bytes;
    /** Those of them that were not sent yet, because the peer or the network takes no more for now. */
    std::uint64_t unsent_bytes;
    /** Segments that were sent again since the connection was made. */
    std::uint64_t retransmissions;
    /** How often the oldest unacknowledged segment was sent again, without an acknowledgement in between. */
    std::uint32_t retransmissions_in_row;
    /** Keep-alive probes and probes of a full receive window that were sent in a row and not answered. */
    std::uint32_t unanswered_probes;
};

namespace detail {
/** From a hangup_tcp_facts, or from a hangup_connection_info, in which all of it may be -1. */
template <class Row>
std::optional<TcpFacts> tcp_facts(const Row &row) {
    if (row.silence_ms < 0) {
        return std::nullopt;
    }
    auto rtt = row.rtt_us < 0 ? std::nullopt : std::optional<std::chrono::microseconds>(row.rtt_us);
    return TcpFacts{rtt,
                    std::chrono::milliseconds(row.silence_ms),
                    static_cast<std::uint64_t>(row.unacked_bytes),
                    static_cast<std::uint64_t>(row.unsent_bytes),
                    static_cast<std::uint64_t>(row.retransmissions),
                    static_cast<std::uint32_t>(row.retransmissions_in_row),
                    static_cast<std::uint32_t>(row.unanswered_probes)};
}

inline Timings timings(const hangup_timings &t) {
    auto part = [](std::int64_t us) {
        return us < 0 ? std::nullopt : std::optional<std::chrono::microseconds>(us);
    };
    return {part(t.pool_us),  part(t.resolve_us), part(t.connect_us), part(t.proxy_us), part(t.tls_us),
            part(t.write_us), part(t.head_us),    part(t.read_us),    part(t.total_us)};
}
} // namespace detail

/**
 * A call that failed: what kind, in which phase, by which clock, and whether it is safe to send again. what() is the
 * message for people, with the reason given to CancelToken::fire if there is one.
 *
 * Threads: immutable, as hangup_error.
 */
class Error : public std::runtime_error {
public:
    /** A failure without details, or one that this header found. */
    explicit Error(Status status, const std::string &message = std::string())
        : std::runtime_error(message.empty() ? std::string(to_string(status)) : message), status_(status) {}

    /** Takes ownership of the C error. */
    Error(hangup_status status, hangup_error *error) : Error(status, Owned(error, hangup_error_free)) {}

    /** The status of the call. It never depends on the phase. */
    [[nodiscard]] Status status() const noexcept { return status_; }
    /** The phase that the exchange was in. */
    [[nodiscard]] Phase phase() const noexcept { return static_cast<Phase>(hangup_error_phase(error_.get())); }
    /** The timeout that expired; Timeout::none unless the status is Status::timed_out. */
    [[nodiscard]] Timeout timeout() const noexcept { return static_cast<Timeout>(hangup_error_timeout(error_.get())); }
    /** One sentence for people, without the reason. */
    [[nodiscard]] std::string_view message() const & noexcept HANGUP_LIFETIMEBOUND {
        return error_ ? hangup_error_message(error_.get()) : what();
    }
    [[nodiscard]] OwnedText message() const && { return OwnedText(message()); }
    /** The reason that was given to CancelToken::fire. */
    [[nodiscard]] std::optional<std::string_view> reason() const & noexcept HANGUP_LIFETIMEBOUND {
        const char *reason = hangup_error_reason(error_.get());
        return reason == nullptr ? std::nullopt : std::optional<std::string_view>(reason);
    }
    [[nodiscard]] std::optional<OwnedText> reason() const && { return std::optional<OwnedText>(reason()); }
    /** errno; 0 if none was involved. */
    [[nodiscard]] int os_code() const noexcept { return hangup_error_os_code(error_.get()); }
    /** Whether sending it again can't make the server perform it twice. */
    [[nodiscard]] bool retry_safe() const noexcept { return hangup_error_retry_safe(error_.get()) != 0; }
    /** The id of the connection that was used; 0 if there was none yet. */
    [[nodiscard]] std::uint64_t connection_id() const noexcept { return hangup_error_connection_id(error_.get()); }
    /** Whether that connection had served a request before. */
    [[nodiscard]] bool reused() const noexcept { return hangup_error_reused(error_.get()) != 0; }
    /** How much of the request was sent, */
    [[nodiscard]] Sent sent() const noexcept { return static_cast<Sent>(hangup_error_sent(error_.get())); }
    /** in bytes, before TLS. */
    [[nodiscard]] std::uint64_t bytes_sent() const noexcept { return hangup_error_bytes_sent(error_.get()); }
    /**
     * How much of the request the peer's TCP acknowledged when the wait for the peer ended; nothing if that was not looked at.
     * See hangup_error_acknowledged.
     */
    [[nodiscard]] std::optional<Acknowledged> acknowledged() const noexcept {
        const hangup_acknowledged known = hangup_error_acknowledged(error_.get());
        return known == 0 ? std::nullopt : std::optional<Acknowledged>(static_cast<Acknowledged>(known));
    }
    /** What TCP knew of the connection then; nothing if acknowledged() is nothing. */
    [[nodiscard]] std::optional<TcpFacts> tcp_facts() const noexcept {
        hangup_tcp_facts facts = HANGUP_TCP_FACTS_INIT;
        return hangup_error_tcp_facts(error_.get(), &facts) == HANGUP_OK ? detail::tcp_facts(facts) : std::nullopt;
    }
    /** Whether at least one byte of the response was received. */
    [[nodiscard]] bool response_started() const noexcept { return hangup_error_response_started(error_.get()) != 0; }
    /** How many times it was tried: 1 without a retry, 0 if it ended before the first attempt. */
    [[nodiscard]] std::uint32_t attempts() const noexcept { return hangup_error_attempts(error_.get()); }
    /** Whether the same request may succeed if it is sent again: the failure does not come from the request itself. */
    [[nodiscard]] bool retry_may_help() const noexcept { return hangup_error_retry_may_help(error_.get()) != 0; }
    /** The resolver's EAI_ code; 0 if it gave none. */
    [[nodiscard]] int resolver_code() const noexcept { return hangup_error_resolver_code(error_.get()); }
    /** The method of the request; empty if there was no exchange. */
    [[nodiscard]] std::string_view method() const & noexcept HANGUP_LIFETIMEBOUND {
        return hangup_error_method(error_.get());
    }
    [[nodiscard]] OwnedText method() const && { return OwnedText(method()); }
    /** The URL that was requested, after redirects the last one, without user information and fragment. */
    [[nodiscard]] std::string_view url() const & noexcept HANGUP_LIFETIMEBOUND { return hangup_error_url(error_.get()); }
    [[nodiscard]] OwnedText url() const && { return OwnedText(url()); }
    /** The origin of that URL. */
    [[nodiscard]] std::string_view origin() const & noexcept HANGUP_LIFETIMEBOUND {
        return hangup_error_origin(error_.get());
    }
    [[nodiscard]] OwnedText origin() const && { return OwnedText(origin()); }
    /** How long each part took until the failure. */
    [[nodiscard]] Timings timings() const {
        hangup_timings t = HANGUP_TIMINGS_INIT;
        if (hangup_error_timings(error_.get(), &t) != HANGUP_OK) {
            return {};
        }
        return detail::timings(t);
    }
    /** All of it as one JSON object: see hangup_error_json. "{}" for an error without details. */
    [[nodiscard]] std::string_view json() const & noexcept HANGUP_LIFETIMEBOUND { return hangup_error_json(error_.get()); }
    [[nodiscard]] OwnedText json() const && { return OwnedText(json()); }
    /** The HTTP status code that was received before the failure: of the response whose body failed, of the redirect that
     * is not allowed, or with which the proxy refused; 0 if there was none. */
    [[nodiscard]] int status_code() const noexcept { return hangup_error_status_code(error_.get()); }
    /** How many connections were open when Manager::drain timed out. */
    [[nodiscard]] std::uint64_t open_connections() const noexcept { return hangup_error_open_connections(error_.get()); }

private:
    using Owned = std::unique_ptr<hangup_error, void (*)(hangup_error *)>;

    // Two steps, so that the C error is freed if there is no memory for the text.
    Error(hangup_status status, Owned error)
        : std::runtime_error(sentence(status, error.get())), status_(static_cast<Status>(status)),
          error_(std::move(error)) {}

    static std::string sentence(hangup_status status, const hangup_error *error) {
        std::string text = hangup_error_message(error);
        if (text.empty()) {
            text = hangup_status_text(static_cast<hangup_status>(status));
        }
        if (const char *reason = hangup_error_reason(error)) {
            text.append(" (").append(reason).append(")");
        }
        return text;
    }

    Status status_;
    // Shared: a copy of an exception must not throw, and C can't copy an error.
    std::shared_ptr<hangup_error> error_;
};

/** Not part of the interface. */
namespace detail {

/** Makes the free function of a handle a deleter. */
template <auto Free>
struct Freer {
    template <class T>
    void operator()(T *handle) const noexcept {
        Free(handle);
    }
};

template <class T, auto Free>
using Handle = std::unique_ptr<T, Freer<Free>>;

/** Calls `call(&error)` and throws if it fails. */
template <class Call>
void check(Call &&call) {
    hangup_error *error = nullptr;
    const hangup_status status = std::forward<Call>(call)(&error);
    if (status != HANGUP_OK) {
        throw Error(status, error);
    }
}

/** The same for calls without an error. */
inline void check(hangup_status status) {
    if (status != HANGUP_OK) {
        throw Error(static_cast<Status>(status));
    }
}

/** A handle that C created; NULL for a moved-from object, or after a defect. */
template <class T>
T *made(T *handle) {
    if (handle == nullptr) {
        throw Error(Status::null, "a moved-from object, or hangup could not make a new handle");
    }
    return handle;
}

/** A NUL-terminated string for C. A NUL inside is refused, because it would truncate the string. */
class Text {
public:
    Text(std::string_view text, Status refusal, const char *what) : text_(text) {
        if (text.find('\0') != std::string_view::npos) {
            throw Error(refusal, std::string("a NUL character in the ") + what);
        }
    }
    operator const char *() const noexcept { return text_.c_str(); }

private:
    std::string text_;
};

/** The same, or NULL for nothing. */
class OptionalText {
public:
    OptionalText(std::optional<std::string_view> text, Status refusal, const char *what) {
        if (text) {
            text_.emplace(*text, refusal, what);
        }
    }
    operator const char *() const noexcept { return text_ ? static_cast<const char *>(*text_) : nullptr; }

private:
    std::optional<Text> text_;
};

inline const std::uint8_t *bytes(std::string_view data) noexcept {
    return reinterpret_cast<const std::uint8_t *>(data.data());
}

} // namespace detail

/** Counters of a manager; see hangup_stats. */
using Stats = hangup_stats;

/** One open connection. A value of its own. */
struct ConnectionInfo {
    /** Unique in the process, never reused. */
    std::uint64_t id;
    /** For example "https://example.org:443". */
    std::string origin;
    /** Addresses with ports; empty while it is not connected. */
    std::string peer, local;
    /** For example "TLSv1.3"; empty for plain text. */
    std::string tls;
    /** What it is doing. */
    ConnectionState state;
    /** Whether it will be closed when its exchange ends. */
    bool closing;
    /** Since its dial began. */
    std::chrono::milliseconds age;
    /** Since it became idle; nothing if it is not idle. */
    std::optional<std::chrono::milliseconds> idle;
    /** Requests that were begun on it. */
    std::uint64_t requests;
    /** On the wire. */
    std::uint64_t bytes_in, bytes_out;
    /**
     * What TCP knew of it when the list was made; nothing while it is not connected, for a Unix-domain socket, and on other
     * systems than Linux and Android.
     */
    std::optional<TcpFacts> tcp_facts;
};

/**
 * A list of the open connections at one moment: a range of ConnectionInfo. Made by Manager::connections().
 *
 * Threads: immutable; any thread at any time.
 */
/** The addresses of a connection, and what TLS with the origin agreed on; see hangup_connection_facts. */
struct ConnectionFacts {
    /** The id of the connection. */
    std::uint64_t id;
    /** Addresses with ports: of the origin, or of the proxy if there is one; empty for a Unix-domain socket. */
    std::string peer, local;
    /** "TLSv1.2" or "TLSv1.3"; empty without TLS. */
    std::string tls_version;
    /** By their names in the registries of IANA; empty without TLS. */
    std::string cipher, key_exchange;
    /** What ALPN selected; empty if nothing was. */
    std::string alpn;
    /** Whether the handshake resumed an earlier session. */
    bool resumed;
    /** What the peer sent, DER, its own one first. */
    std::vector<std::string> certificates;
};

namespace detail {
/** Facts with their certificates; `at` asks for one of these. */
template <class At>
ConnectionFacts facts_of(const hangup_connection_facts &row, At &&at) {
    ConnectionFacts facts{row.id,     row.peer,         row.local, row.tls_version,
                          row.cipher, row.key_exchange, row.alpn,  row.resumed != 0, {}};
    for (std::size_t i = 0; i < row.certificate_count; i++) {
        const std::uint8_t *data = nullptr;
        std::size_t size = 0;
        check(at(i, &data, &size));
        facts.certificates.emplace_back(reinterpret_cast<const char *>(data), size);
    }
    return facts;
}
} // namespace detail

class Connections {
public:
    explicit Connections(hangup_connections *owned) : handle_(detail::made(owned)) {}

    [[nodiscard]] std::size_t size() const noexcept { return hangup_connections_count(handle_.get()); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    /** The list as a JSON array: see hangup_connections_json. */
    [[nodiscard]] std::string_view json() const & noexcept HANGUP_LIFETIMEBOUND {
        return hangup_connections_json(handle_.get());
    }
    [[nodiscard]] OwnedText json() const && { return OwnedText(json()); }

    /** Row `index`; throws Status::invalid_argument if there is none. */
    [[nodiscard]] ConnectionInfo operator[](std::size_t index) const {
        hangup_connection_info row = HANGUP_CONNECTION_INFO_INIT;
        detail::check(hangup_connections_at(handle_.get(), index, &row));
        using std::chrono::milliseconds;
        auto idle = row.idle_ms < 0 ? std::nullopt : std::optional<milliseconds>(row.idle_ms);
        return {row.id, row.origin, row.peer, row.local, row.tls, static_cast<ConnectionState>(row.state), row.closing != 0,
                milliseconds(row.age_ms), idle, row.requests, row.bytes_in, row.bytes_out, detail::tcp_facts(row)};
    }

    /** What is known of row `index` since it was made; throws Status::not_found if it is still being dialled. */
    [[nodiscard]] ConnectionFacts facts(std::size_t index) const {
        hangup_connection_facts row = HANGUP_CONNECTION_FACTS_INIT;
        detail::check(hangup_connections_facts_at(handle_.get(), index, &row));
        return detail::facts_of(row, [&](std::size_t which, const std::uint8_t **data, std::size_t *size) {
            return hangup_connections_certificate_at(handle_.get(), index, which, data, size);
        });
    }

    /** Enough of an iterator for `for (const ConnectionInfo &c : manager.connections())`. */
    class iterator {
    public:
        iterator(const Connections *list, std::size_t index) noexcept : list_(list), index_(index) {}
        ConnectionInfo operator*() const { return (*list_)[index_]; }
        iterator &operator++() noexcept {
            ++index_;
            return *this;
        }
        bool operator==(const iterator &other) const noexcept { return index_ == other.index_; }
        bool operator!=(const iterator &other) const noexcept { return index_ != other.index_; }

    private:
        const Connections *list_;
        std::size_t index_;
    };
    iterator begin() const & noexcept HANGUP_LIFETIMEBOUND { return {this, 0}; }
    iterator end() const & noexcept HANGUP_LIFETIMEBOUND { return {this, size()}; }
    /** Deleted because the iterator would outlive the list. A range-based for loop keeps the list and is not affected. */
    iterator begin() const && = delete;
    iterator end() const && = delete;

private:
    detail::Handle<hangup_connections, hangup_connections_free> handle_;
};

/** One event. A value of its own. */
struct Event {
    /** Consecutive in a manager: a gap is the number of lost events. */
    std::uint64_t number;
    /** When, since the manager's first subscription. */
    std::chrono::nanoseconds at;
    /** What happened. */
    EventType type;
    /** The connection; 0 if there is none. */
    std::uint64_t connection;
    /** For example "https://example.org:443". */
    std::string origin;
    /** Why it was closed; nothing unless it was. */
    std::optional<CloseReason> reason;
    /** Which phase it was, reported when its exchange is over, */
    Phase phase;
    /** and how long it took; nothing unless it is a phase. */
    std::optional<std::chrono::nanoseconds> took;
    /** Why a request is sent again, */
    std::optional<RetryReason> retry_reason;
    /** and after which delay; nothing unless it is retried. */
    std::optional<std::chrono::nanoseconds> delay;
};

/**
 * A subscription to the events of a manager's connections. Created by Manager::events(). It keeps the manager
 * alive.
 *
 * Threads: one thread at a time, another one gets Status::invalid_state; lost(), fd() and close() any thread at any
 * time.
 */
class Events {
public:
    explicit Events(hangup_events *owned) : handle_(detail::made(owned)) {}

    /** The next event, or waits for one; zero does not wait. Nothing if there was none in that time. */
    [[nodiscard]] std::optional<Event> next(Limit wait = no_limit) {
        hangup_event row = HANGUP_EVENT_INIT;
        const hangup_status status = hangup_events_next(handle_.get(), wait.ms(), &row);
        if (status == HANGUP_TIMED_OUT) {
            return std::nullopt;
        }
        detail::check(status);
        using std::chrono::nanoseconds;
        auto reason = row.reason == 0 ? std::nullopt : std::optional<CloseReason>(static_cast<CloseReason>(row.reason));
        auto took = row.took_ns < 0 ? std::nullopt : std::optional<nanoseconds>(row.took_ns);
        auto why = row.retry_reason == 0 ? std::nullopt : std::optional<RetryReason>(static_cast<RetryReason>(row.retry_reason));
        auto delay = row.delay_ns < 0 ? std::nullopt : std::optional<nanoseconds>(row.delay_ns);
        return Event{row.number, nanoseconds(row.at_ns), static_cast<EventType>(row.type), row.connection,
                     hangup_events_origin(handle_.get()), reason, static_cast<Phase>(row.phase), took, why, delay};
    }
    /** How many were lost because they were not read in time. */
    [[nodiscard]] std::uint64_t lost() const noexcept { return hangup_events_lost(handle_.get()); }
    /** Readable while there is an event to read: for an event loop, which then calls next(zero) until it is empty. */
    [[nodiscard]] int fd() const noexcept { return hangup_events_fd(handle_.get()); }
    /** Ends a wait in next() from any thread: from now on it fails with Status::closed when there is no more to read. */
    void close() { detail::check(hangup_events_close(handle_.get())); }
    [[nodiscard]] hangup_events *handle() const noexcept { return handle_.get(); }

private:
    detail::Handle<hangup_events, hangup_events_free> handle_;
};

/** What a Resolver found: addresses such as "192.0.2.7", and how long they may be cached. */
struct Addresses {
    Addresses() = default;
    /** To be cached for a minute. */
    Addresses(std::vector<std::string> found) : addresses(std::move(found)) {}
    /** To be cached for that time: the TTL of the records. Zero does not cache them. */
    Addresses(std::vector<std::string> found, std::chrono::milliseconds time) : addresses(std::move(found)), ttl(time) {}

    std::vector<std::string> addresses;
    /** Nothing is a minute. */
    std::optional<std::chrono::milliseconds> ttl;
};

/**
 * Resolves a name: returns its Addresses, or only a std::vector<std::string> of them. Called on threads of the library, on
 * several at once; it may block. An exception or an invalid address is Status::resolve_failed.
 */
using Resolver = std::function<Addresses(std::string_view host)>;

/** What a Connector is asked for: the origin of the request, and the host and port to connect to. */
struct ConnectRequest {
    std::string_view origin, host;
    int port;
};

/**
 * Makes a connection: returns the descriptor of a connected stream socket, which belongs to the library from then on; see
 * hangup_connect_fn. Called on threads of the library, on several at once; it may block. A std::system_error is
 * Status::connect_failed with its number, any other exception is Status::connect_failed.
 */
using Connector = std::function<int(const ConnectRequest &request)>;

/** Settings for a new manager. `which` is one of HANGUP_LIMIT_*. Threads: any thread at any time. */
class Options {
public:
    Options() : handle_(detail::made(hangup_options_new())) {}

    Options &set_limit(hangup_limit which, std::int64_t value) & {
        detail::check([&](hangup_error **e) { return hangup_options_set_limit(handle_.get(), which, value, e); });
        return *this;
    }
    [[nodiscard]] Options set_limit(hangup_limit which, std::int64_t value) && { return std::move(set_limit(which, value)); }
    [[nodiscard]] hangup_options *handle() const noexcept { return handle_.get(); }

private:
    detail::Handle<hangup_options, hangup_options_free> handle_;
};

/**
 * The settings of TLS, for Client::set_tls and Request::set_tls, which take them as they are then. Make one and give it to all
 * requests that need it: they share its connections and sessions.
 *
 * Threads: any thread at any time.
 */
class Tls {
public:
    /** The system's root certificates are trusted; TLS 1.2 and 1.3; no client certificate. */
    Tls() : handle_(detail::made(hangup_tls_new())) {}

    /** Trusts these root certificates (PEM) and no others. */
    Tls &set_roots(std::string_view pem) & {
        detail::check([&](hangup_error **e) { return hangup_tls_set_roots(handle_.get(), detail::bytes(pem), pem.size(), e); });
        return *this;
    }
    [[nodiscard]] Tls set_roots(std::string_view pem) && { return std::move(set_roots(pem)); }
    /** Trusts these root certificates (PEM) in addition: to the system's, unless set_roots replaced them. */
    Tls &add_roots(std::string_view pem) & {
        detail::check([&](hangup_error **e) { return hangup_tls_add_roots(handle_.get(), detail::bytes(pem), pem.size(), e); });
        return *this;
    }
    [[nodiscard]] Tls add_roots(std::string_view pem) && { return std::move(add_roots(pem)); }
    /** set_roots from a file, or from all files of a directory. */
    Tls &set_roots_path(std::string_view path) & {
        const detail::Text p(path, Status::invalid_argument, "path");
        detail::check([&](hangup_error **e) { return hangup_tls_set_roots_path(handle_.get(), p, e); });
        return *this;
    }
    [[nodiscard]] Tls set_roots_path(std::string_view path) && { return std::move(set_roots_path(path)); }
    /** add_roots from a file, or from all files of a directory. */
    Tls &add_roots_path(std::string_view path) & {
        const detail::Text p(path, Status::invalid_argument, "path");
        detail::check([&](hangup_error **e) { return hangup_tls_add_roots_path(handle_.get(), p, e); });
        return *this;
    }
    [[nodiscard]] Tls add_roots_path(std::string_view path) && { return std::move(add_roots_path(path)); }
    /** Presents this certificate (PEM, with its chain) to servers that ask for one; a password decrypts its key. */
    Tls &set_certificate(std::string_view certificate_pem, std::string_view key_pem,
                         std::optional<std::string_view> password = std::nullopt) & {
        const detail::OptionalText p(password, Status::invalid_argument, "password");
        detail::check([&](hangup_error **e) {
            return hangup_tls_set_certificate(handle_.get(), detail::bytes(certificate_pem), certificate_pem.size(),
                                              detail::bytes(key_pem), key_pem.size(), p, e);
        });
        return *this;
    }
    [[nodiscard]] Tls set_certificate(std::string_view certificate_pem, std::string_view key_pem,
                                      std::optional<std::string_view> password = std::nullopt) && {
        return std::move(set_certificate(certificate_pem, key_pem, password));
    }
    /** The least and the greatest version. */
    Tls &set_versions(TlsVersion min, TlsVersion max) & {
        const auto from = static_cast<hangup_tls_version>(min), to = static_cast<hangup_tls_version>(max);
        detail::check([&](hangup_error **e) { return hangup_tls_set_versions(handle_.get(), from, to, e); });
        return *this;
    }
    [[nodiscard]] Tls set_versions(TlsVersion min, TlsVersion max) && { return std::move(set_versions(min, max)); }
    /** A public key that the server may have: "sha256//" and the SHA-256 of its SubjectPublicKeyInfo in base64. */
    Tls &add_pin(std::string_view pin) & {
        const detail::Text p(pin, Status::invalid_argument, "pin");
        detail::check([&](hangup_error **e) { return hangup_tls_add_pin(handle_.get(), p, e); });
        return *this;
    }
    [[nodiscard]] Tls add_pin(std::string_view pin) && { return std::move(add_pin(pin)); }
    /** The name that is sent (SNI) and that the certificate must be for, in place of the URL's; nothing is the URL's. */
    Tls &set_server_name(std::optional<std::string_view> name) & {
        const detail::OptionalText n(name, Status::invalid_argument, "server name");
        detail::check([&](hangup_error **e) { return hangup_tls_set_server_name(handle_.get(), n, e); });
        return *this;
    }
    [[nodiscard]] Tls set_server_name(std::optional<std::string_view> name) && { return std::move(set_server_name(name)); }
    /** Appends the secrets of each session to this file, which then decrypts all the traffic; nothing writes none. */
    Tls &set_key_log(std::optional<std::string_view> path) & {
        const detail::OptionalText p(path, Status::invalid_argument, "path");
        detail::check([&](hangup_error **e) { return hangup_tls_set_key_log(handle_.get(), p, e); });
        return *this;
    }
    [[nodiscard]] Tls set_key_log(std::optional<std::string_view> path) && { return std::move(set_key_log(path)); }
    /** The same with the file that SSLKEYLOGFILE names. */
    Tls &set_key_log_from_env() & {
        detail::check([&](hangup_error **e) { return hangup_tls_set_key_log_from_env(handle_.get(), e); });
        return *this;
    }
    [[nodiscard]] Tls set_key_log_from_env() && { return std::move(set_key_log_from_env()); }
    /** Accepts any certificate: for tests against local servers only. Pins still count. */
    Tls &set_dangerously_accept_any_certificate(bool on) & {
        detail::check([&](hangup_error **e) {
            return hangup_tls_set_dangerously_accept_any_certificate(handle_.get(), on ? 1 : 0, e);
        });
        return *this;
    }
    [[nodiscard]] Tls set_dangerously_accept_any_certificate(bool on) && {
        return std::move(set_dangerously_accept_any_certificate(on));
    }
    [[nodiscard]] hangup_tls *handle() const noexcept { return handle_.get(); }

private:
    detail::Handle<hangup_tls, hangup_tls_free> handle_;
};

/**
 * A connection manager: its open connections, their limits and their events.
 *
 * Create: shared(), the one of the process, or a constructor. Its idle connections are closed with its last share;
 * clients, requests in progress and responses hold shares.
 * Threads: any thread at any time.
 */
class Manager {
public:
    /** A new manager with the defaults. */
    Manager() : Manager(static_cast<const hangup_options *>(nullptr)) {}
    explicit Manager(const Options &options) : Manager(detail::made(options.handle())) {}
    /** Takes ownership of a handle that C created. */
    explicit Manager(hangup_manager *owned) : handle_(detail::made(owned)) {}
    /** The manager of the process, which C, C++ and Python code shares by default. */
    [[nodiscard]] static Manager shared() { return Manager(hangup_manager_shared()); }
    /** One more share of the same manager. */
    [[nodiscard]] Manager share() const { return Manager(hangup_manager_ref(handle_.get())); }

    /** Sets a limit (HANGUP_LIMIT_*), at any time; HANGUP_NO_LIMIT removes it. */
    Manager &set_limit(hangup_limit which, std::int64_t value) & {
        detail::check([&](hangup_error **e) { return hangup_manager_set_limit(handle_.get(), which, value, e); });
        return *this;
    }
    Manager set_limit(hangup_limit which, std::int64_t value) && { return std::move(set_limit(which, value)); }
    /** The value of a limit (HANGUP_LIMIT_*); nothing is no limit. */
    std::optional<std::int64_t> limit(hangup_limit which) const {
        std::int64_t value = 0;
        detail::check(hangup_manager_limit(handle_.get(), which, &value));
        return value == HANGUP_NO_LIMIT ? std::nullopt : std::optional<std::int64_t>(value);
    }
    /**
     * Opens connections until so many to the origin are idle, with the settings of a new client; returns how many
     * dials were started.
     */
    std::size_t preconnect(std::string_view origin, std::size_t wanted) {
        const detail::Text text(origin, Status::invalid_url, "origin");
        std::size_t begun = 0;
        detail::check([&](hangup_error **e) {
            return hangup_manager_preconnect(handle_.get(), text, wanted, &begun, e);
        });
        return begun;
    }
    /** Sets the addresses of a host, separated by commas, in place of resolving it; nothing removes them. */
    Manager &set_address(std::string_view host, std::optional<std::string_view> addresses) & {
        const detail::Text h(host, Status::invalid_argument, "host");
        const detail::OptionalText a(addresses, Status::invalid_argument, "list of addresses");
        detail::check([&](hangup_error **e) { return hangup_manager_set_address(handle_.get(), h, a, e); });
        return *this;
    }
    Manager set_address(std::string_view host, std::optional<std::string_view> addresses) && {
        return std::move(set_address(host, addresses));
    }
    /** Resolves names by this function instead of getaddrinfo(3); without one, getaddrinfo is used again. */
    Manager &set_resolver(Resolver resolve) & {
        const bool any = static_cast<bool>(resolve);
        auto user_data = std::make_unique<Resolver>(std::move(resolve));
        detail::check([&](hangup_error **e) {
            return hangup_manager_set_resolver(handle_.get(), any ? look_up : nullptr, end_resolver, user_data.release(), e);
        });
        return *this;
    }
    Manager set_resolver(Resolver resolve) && { return std::move(set_resolver(std::move(resolve))); }
    /** Closes one connection; throws Status::not_found if that id is not open. */
    void close(std::uint64_t id, CloseMode how = CloseMode::graceful) {
        const auto c = static_cast<hangup_close_mode>(how);
        detail::check([&](hangup_error **e) { return hangup_manager_close_connection(handle_.get(), id, c, e); });
    }
    /** Closes the connections of an origin such as "https://example.org"; returns how many. */
    std::size_t close_origin(std::string_view origin, CloseMode how = CloseMode::graceful) {
        const detail::Text text(origin, Status::invalid_url, "origin");
        const auto c = static_cast<hangup_close_mode>(how);
        std::size_t closed = 0;
        detail::check([&](hangup_error **e) {
            return hangup_manager_close_origin(handle_.get(), text, c, &closed, e);
        });
        return closed;
    }
    /** Closes the connections that have been idle for that long (zero: all idle ones); returns how many. */
    std::size_t close_idle(std::chrono::milliseconds idle_for = std::chrono::milliseconds(0)) {
        std::size_t closed = 0;
        detail::check(hangup_manager_close_idle(handle_.get(), idle_for.count(), &closed));
        return closed;
    }
    /** Closes every connection; the manager can still be used. Returns how many. */
    std::size_t close_all(CloseMode how = CloseMode::graceful) {
        std::size_t closed = 0;
        detail::check(hangup_manager_close_all(handle_.get(), static_cast<hangup_close_mode>(how), &closed));
        return closed;
    }
    /** The network changed: closes idle connections, those in use after their exchange, and resolves again. Returns how many. */
    std::size_t network_changed() {
        std::size_t closed = 0;
        detail::check(hangup_manager_network_changed(handle_.get(), &closed));
        return closed;
    }
    /**
     * Whether changes of the network that the system tells of (Linux) are acted on: idle connections from an address that is gone are
     * closed, those in use after their exchange, and names are resolved again. True by default; takes effect at once.
     */
    void set_network_watch(bool on) { detail::check(hangup_manager_set_network_watch(handle_.get(), on ? 1 : 0)); }
    /** The setting of set_network_watch. */
    bool network_watch() const { return hangup_manager_network_watch(handle_.get()) != 0; }
    /** Forgets all resolved addresses, and which of them connected last. */
    void clear_addresses() { detail::check(hangup_manager_clear_addresses(handle_.get())); }
    /**
     * Shuts the manager down after the exchanges in progress: waits until no connection is open. Throws Status::timed_out after that time,
     * and Error::open_connections() says how many are left; it can be called again.
     */
    void drain(Limit time) {
        detail::check([&](hangup_error **e) { return hangup_manager_drain(handle_.get(), time.ms(), e); });
    }
    /** Shuts the manager down at once, for good. */
    void shutdown() { detail::check(hangup_manager_shutdown(handle_.get())); }

    /** Equal numbers are the same manager, in any language of the process. */
    [[nodiscard]] std::uint64_t id() const noexcept { return hangup_manager_id(handle_.get()); }
    /** The open connections, now. */
    [[nodiscard]] Connections connections() const {
        hangup_connections *list = nullptr;
        detail::check([&](hangup_error **e) { return hangup_manager_connections(handle_.get(), &list, e); });
        return Connections(list);
    }
    /** Subscribes to its events; at most `capacity` unread ones are kept. */
    [[nodiscard]] Events events(std::size_t capacity = 1024) {
        hangup_events *events = nullptr;
        detail::check([&](hangup_error **e) {
            return hangup_manager_events(handle_.get(), capacity, &events, e);
        });
        return Events(events);
    }
    /** Why a connection was closed; nothing if it is open, never existed, or was closed too long ago. */
    [[nodiscard]] std::optional<CloseReason> close_reason(std::uint64_t id) const {
        hangup_close_reason reason{};
        const hangup_status status = hangup_manager_close_reason(handle_.get(), id, &reason);
        if (status == HANGUP_NOT_FOUND) {
            return std::nullopt;
        }
        detail::check(status);
        return static_cast<CloseReason>(reason);
    }
    /** The counters, now. */
    [[nodiscard]] Stats stats() const {
        Stats stats = HANGUP_STATS_INIT;
        detail::check(hangup_manager_stats(handle_.get(), &stats));
        return stats;
    }
    [[nodiscard]] hangup_manager *handle() const noexcept { return handle_.get(); }

private:
    explicit Manager(const hangup_options *options) {
        hangup_manager *manager = nullptr;
        detail::check([&](hangup_error **e) { return hangup_manager_new(options, &manager, e); });
        handle_.reset(manager);
    }

    static std::int32_t look_up(void *user_data, const char *host, hangup_addresses *addresses) noexcept {
        try {
            const Addresses found = (*static_cast<const Resolver *>(user_data))(host);
            for (const std::string &address : found.addresses) {
                if (hangup_addresses_add(addresses, address.c_str()) != HANGUP_OK) {
                    return HANGUP_INVALID_ARGUMENT;
                }
            }
            return found.ttl ? hangup_addresses_set_ttl(addresses, found.ttl->count()) : 0;
        } catch (...) {
            return -1;
        }
    }
    static void end_resolver(void *user_data) noexcept { delete static_cast<Resolver *>(user_data); }

    detail::Handle<hangup_manager, hangup_manager_free> handle_;
};

/**
 * A cancel token: it can be fired from any thread, any number of times. What was sent with it, or with a child of
 * it, throws Status::cancelled at once, in whatever phase it is.
 *
 * Create: the constructor, child(). Destroying it never fires it.
 * Threads: any thread at any time.
 */
class CancelToken {
public:
    CancelToken() : handle_(detail::made(hangup_cancel_new())) {}
    /** Takes ownership of a handle that C created. */
    explicit CancelToken(hangup_cancel *owned) : handle_(detail::made(owned)) {}
    /** One more share of the same token. */
    [[nodiscard]] CancelToken share() const { return CancelToken(hangup_cancel_ref(handle_.get())); }
    /** A token that is fired together with this one, and can be fired alone. */
    [[nodiscard]] CancelToken child() const {
        hangup_cancel *child = nullptr;
        detail::check(hangup_cancel_child(handle_.get(), &child));
        return CancelToken(child);
    }

    /** A deadline from now for everything that uses it; the earliest counts. What it ends throws Status::timed_out. */
    CancelToken &fire_after(Limit time) & {
        detail::check(hangup_cancel_fire_after(handle_.get(), time.ms()));
        return *this;
    }
    CancelToken fire_after(Limit time) && { return std::move(fire_after(time)); }
    /** Fires it. Error::reason() returns the first reason. Never blocks, and can be called again. */
    void fire() const noexcept { hangup_cancel_fire(handle_.get(), nullptr); }
    void fire(std::string_view reason) const {
        hangup_cancel_fire(handle_.get(), detail::Text(reason, Status::invalid_argument, "reason"));
    }

    /** Whether it, or a parent of it, was fired or has passed its deadline. */
    [[nodiscard]] bool is_fired() const noexcept { return hangup_cancel_is_fired(handle_.get()) != 0; }
    [[nodiscard]] hangup_cancel *handle() const noexcept { return handle_.get(); }

private:
    detail::Handle<hangup_cancel, hangup_cancel_free> handle_;
};

/**
 * Reads a piece of a request's body: writes at most `room` bytes to `into` and returns how many, 0 at the end. Called on
 * the thread that sends. An exception ends the exchange, and Client::send throws it.
 */
using BodyReader = std::function<std::size_t(char *into, std::size_t room)>;

/**
 * Goes back to where the first call of a BodyReader began, because the body is sent again after a redirect or a retry. An
 * exception ends the exchange, and Client::send throws it.
 */
using BodyRewind = std::function<void()>;

/** Not part of the interface. */
namespace detail {

/** A length as hangup.h wants it. */
inline std::int64_t body_length(std::optional<std::uint64_t> length) {
    if (length && *length > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        throw Error(Status::invalid_argument, "a body of more than 2^63 - 1 bytes");
    }
    return length ? static_cast<std::int64_t>(*length) : HANGUP_NO_LIMIT;
}

/** A reader of the program's, and what was thrown out of it. */
struct Reader {
    BodyReader read;
    BodyRewind rewind;
    std::exception_ptr thrown;

    static std::int64_t read_body(void *user_data, std::uint8_t *into, std::size_t room) noexcept {
        Reader &reader = **static_cast<std::shared_ptr<Reader> *>(user_data);
        try {
            return static_cast<std::int64_t>(reader.read(reinterpret_cast<char *>(into), room));
        } catch (...) {
            // An exception can't pass through C; Client::send throws it on.
            reader.thrown = std::current_exception();
            return -1;
        }
    }

    static std::int32_t rewind_body(void *user_data) noexcept {
        Reader &reader = **static_cast<std::shared_ptr<Reader> *>(user_data);
        try {
            reader.rewind();
            return 0;
        } catch (...) {
            reader.thrown = std::current_exception();
            return -1;
        }
    }

    static void end_body(void *user_data) noexcept { delete static_cast<std::shared_ptr<Reader> *>(user_data); }
};

} // namespace detail

class Request;
class Upload;

/**
 * A form: named fields of text, bytes, files and readers, in their order. Names are UTF-8. Request::set_body_form sends it.
 *
 * Threads: one thread at a time; another one gets Status::invalid_state.
 */
class Form {
public:
    Form() : handle_(detail::made(hangup_form_new())) {}

    /** The boundary of multipart/form-data, in place of a random one. */
    Form &set_boundary(std::string_view boundary) & {
        const detail::Text b(boundary, Status::invalid_argument, "boundary");
        detail::check([&](hangup_error **e) { return hangup_form_set_boundary(handle_.get(), b, e); });
        return *this;
    }
    [[nodiscard]] Form set_boundary(std::string_view boundary) && { return std::move(set_boundary(boundary)); }
    /** Adds a field of text. */
    Form &add_text(std::string_view name, std::string_view value) & {
        const detail::Text n(name, Status::invalid_argument, "field name"), v(value, Status::invalid_argument, "field value");
        detail::check([&](hangup_error **e) { return hangup_form_add_text(handle_.get(), n, v, e); });
        return *this;
    }
    [[nodiscard]] Form add_text(std::string_view name, std::string_view value) && { return std::move(add_text(name, value)); }
    /** Adds a field of bytes, copied; with a file name it is a file. */
    Form &add_bytes(std::string_view name, std::string_view data, std::optional<std::string_view> file_name = std::nullopt,
                    std::optional<std::string_view> content_type = std::nullopt) & {
        const detail::Text n(name, Status::invalid_argument, "field name");
        const detail::OptionalText f(file_name, Status::invalid_argument, "file name");
        const detail::OptionalText c(content_type, Status::invalid_header, "content type");
        detail::check([&](hangup_error **e) {
            return hangup_form_add_bytes(handle_.get(), n, detail::bytes(data), data.size(), f, c, e);
        });
        return *this;
    }
    [[nodiscard]] Form add_bytes(std::string_view name, std::string_view data,
                                 std::optional<std::string_view> file_name = std::nullopt,
                                 std::optional<std::string_view> content_type = std::nullopt) && {
        return std::move(add_bytes(name, data, file_name, content_type));
    }
    /** Adds a file, read while it is sent; its file name is the last part of the path unless one is given. */
    Form &add_file(std::string_view name, std::string_view path, std::optional<std::string_view> file_name = std::nullopt,
                   std::optional<std::string_view> content_type = std::nullopt) & {
        const detail::Text n(name, Status::invalid_argument, "field name"), p(path, Status::invalid_argument, "path");
        const detail::OptionalText f(file_name, Status::invalid_argument, "file name");
        const detail::OptionalText c(content_type, Status::invalid_header, "content type");
        detail::check([&](hangup_error **e) { return hangup_form_add_file(handle_.get(), n, p, f, c, e); });
        return *this;
    }
    [[nodiscard]] Form add_file(std::string_view name, std::string_view path,
                                std::optional<std::string_view> file_name = std::nullopt,
                                std::optional<std::string_view> content_type = std::nullopt) && {
        return std::move(add_file(name, path, file_name, content_type));
    }
    /** Adds what a function gives. Client::send rethrows an exception of it. */
    Form &add_reader(std::string_view name, BodyReader read, BodyRewind rewind = nullptr,
                     std::optional<std::uint64_t> length = std::nullopt,
                     std::optional<std::string_view> file_name = std::nullopt,
                     std::optional<std::string_view> content_type = std::nullopt) & {
        const detail::Text n(name, Status::invalid_argument, "field name");
        const detail::OptionalText f(file_name, Status::invalid_argument, "file name");
        const detail::OptionalText c(content_type, Status::invalid_header, "content type");
        const std::int64_t size = detail::body_length(length);
        const auto go_back = rewind ? detail::Reader::rewind_body : nullptr;
        auto reader = std::make_shared<detail::Reader>();
        reader->read = std::move(read);
        reader->rewind = std::move(rewind);
        auto user_data = std::make_unique<std::shared_ptr<detail::Reader>>(reader);
        readers_.reserve(readers_.size() + 1);
        detail::check([&](hangup_error **e) {
            return hangup_form_add_reader(handle_.get(), n, detail::Reader::read_body, go_back, detail::Reader::end_body,
                                          user_data.release(), size, f, c, e);
        });
        readers_.push_back(std::move(reader));
        return *this;
    }
    [[nodiscard]] hangup_form *handle() const noexcept { return handle_.get(); }

private:
    friend class Request;

    detail::Handle<hangup_form, hangup_form_free> handle_;
    std::vector<std::shared_ptr<detail::Reader>> readers_;
};

/**
 * How far the bodies of a request and of its response are: only bytes of bodies, before they are decoded. A retry and a
 * redirect begin again with 0.
 *
 * Threads: any thread at any time.
 */
class Progress {
public:
    Progress() : handle_(detail::made(hangup_progress_new())) {}

    /** Bytes of the request's body that were sent. */
    [[nodiscard]] std::uint64_t bytes_sent() const noexcept { return hangup_progress_bytes_sent(handle_.get()); }
    /** The length of the request's body; nothing while it is not known. */
    [[nodiscard]] std::optional<std::uint64_t> bytes_to_send() const noexcept {
        return known(hangup_progress_bytes_to_send(handle_.get()));
    }
    /** Bytes of the response's body that were read. */
    [[nodiscard]] std::uint64_t bytes_received() const noexcept { return hangup_progress_bytes_received(handle_.get()); }
    /** The length of the response's body; nothing while it is not known. */
    [[nodiscard]] std::optional<std::uint64_t> bytes_to_receive() const noexcept {
        return known(hangup_progress_bytes_to_receive(handle_.get()));
    }
    [[nodiscard]] hangup_progress *handle() const noexcept { return handle_.get(); }

private:
    static std::optional<std::uint64_t> known(std::int64_t length) noexcept {
        return length < 0 ? std::nullopt : std::optional<std::uint64_t>(static_cast<std::uint64_t>(length));
    }

    detail::Handle<hangup_progress, hangup_progress_free> handle_;
};

/**
 * Gives a bearer token for an origin such as "https://example.org:443". `refused` is the token that the server has just
 * refused; nothing before the request. Called on threads of the library, on several at once; it may block. An exception is
 * Status::auth_failed.
 */
using TokenProvider = std::function<std::string(std::string_view origin, std::optional<std::string_view> refused)>;

namespace detail {
inline std::int32_t give_token(void *user_data, const char *origin, const char *refused, hangup_token *token) noexcept {
    try {
        const auto old = refused == nullptr ? std::nullopt : std::optional<std::string_view>(refused);
        const std::string given = (*static_cast<const TokenProvider *>(user_data))(origin, old);
        return hangup_token_set_value(token, given.c_str());
    } catch (...) {
        return -1;
    }
}
inline void end_tokens(void *user_data) noexcept { delete static_cast<TokenProvider *>(user_data); }
}  // namespace detail

/**
 * One request. The setters return the request, so that they can be written in a row.
 *
 * Threads: one thread at a time; another one gets Status::invalid_state.
 */
class Request {
public:
    Request(std::string_view method, std::string_view url) {
        const detail::Text m(method, Status::invalid_method, "method"), u(url, Status::invalid_url, "URL");
        hangup_request *request = nullptr;
        detail::check([&](hangup_error **e) { return hangup_request_new(m, u, &request, e); });
        handle_.reset(request);
    }
    /** A request for a tunnel (CONNECT): `proxy` is the URL of a HTTP proxy, which shall connect to `target`, "host:port".
     *  After a success (2xx) Response::take_stream returns the stream to the target. */
    [[nodiscard]] static Request connect(std::string_view proxy, std::string_view target) {
        const detail::Text p(proxy, Status::invalid_url, "URL"), t(target, Status::invalid_url, "target");
        hangup_request *request = nullptr;
        detail::check([&](hangup_error **e) { return hangup_request_new_connect(p, t, &request, e); });
        return Request(request);
    }
    /**
     * A request whose URL is sent exactly as it is written between its host and its fragment: no space is encoded, no ".."
     * is followed, and a backslash is sent. A URL that was signed and holds such characters stays signed.
     */
    [[nodiscard]] static Request as_given(std::string_view method, std::string_view url) {
        const detail::Text m(method, Status::invalid_method, "method"), u(url, Status::invalid_url, "URL");
        hangup_request *request = nullptr;
        detail::check([&](hangup_error **e) { return hangup_request_new_as_given(m, u, &request, e); });
        return Request(request);
    }
    /** A copy that can be changed independently. Throws Status::invalid_state if the body comes from a reader. */
    [[nodiscard]] Request clone() const {
        hangup_request *copy = nullptr;
        detail::check([&](hangup_error **e) { return hangup_request_copy(handle_.get(), &copy, e); });
        return Request(copy);
    }

    /**
     * Adds a header; a name may be added several times. Names are sent with this case and in this order, and a value is any
     * bytes but control characters other than tab. Host has no influence on the connection; Content-Length announces the
     * length of a body from a function that was set without one. "Upgrade" asks for another protocol: if the response is
     * 101, Response::take_stream returns the connection.
     */
    Request &add_header(std::string_view name, std::string_view value) & {
        const detail::Text n(name, Status::invalid_header, "header name");
        const detail::Text v(value, Status::invalid_header, "header value");
        detail::check([&](hangup_error **e) { return hangup_request_add_header(handle_.get(), n, v, e); });
        return *this;
    }
    [[nodiscard]] Request add_header(std::string_view name, std::string_view value) && {
        return std::move(add_header(name, value));
    }
    /**
     * Removes a header from the request, and from what the client and the library would add to it: Accept, User-Agent,
     * Accept-Encoding, Cookie, Authorization.
     */
    Request &remove_header(std::string_view name) & {
        const detail::Text n(name, Status::invalid_header, "header name");
        detail::check([&](hangup_error **e) { return hangup_request_remove_header(handle_.get(), n, e); });
        return *this;
    }
    [[nodiscard]] Request remove_header(std::string_view name) && { return std::move(remove_header(name)); }
    /**
     * What is sent as the request target instead of the URL's path and query, byte for byte, such as "*" for OPTIONS;
     * nothing sends the URL's. Connection, Host and redirects follow the URL.
     */
    Request &set_target(std::optional<std::string_view> target) & {
        const detail::OptionalText t(target, Status::invalid_argument, "target");
        detail::check([&](hangup_error **e) { return hangup_request_set_target(handle_.get(), t, e); });
        return *this;
    }
    [[nodiscard]] Request set_target(std::optional<std::string_view> target) && { return std::move(set_target(target)); }
    /** The body, copied. */
    Request &set_body(std::string_view data) & {
        detail::check([&](hangup_error **e) {
            return hangup_request_set_body(handle_.get(), detail::bytes(data), data.size(), e);
        });
        readers_.clear();
        return *this;
    }
    [[nodiscard]] Request set_body(std::string_view data) && { return std::move(set_body(data)); }
    /** The body, moved in: it is not copied. Copies of the request share it. */
    Request &set_body_moved(std::string data) & {
        auto owner = std::make_unique<std::string>(std::move(data));
        const std::string_view held = *owner;
        detail::check([&](hangup_error **e) {
            return hangup_request_set_body_borrowed(handle_.get(), detail::bytes(held), held.size(), end_moved, owner.release(), e);
        });
        readers_.clear();
        return *this;
    }
    [[nodiscard]] Request set_body_moved(std::string data) && { return std::move(set_body_moved(std::move(data))); }
    /** The body from a file, read while it is sent. */
    Request &set_body_file(std::string_view path) & {
        const detail::Text p(path, Status::invalid_argument, "path");
        detail::check([&](hangup_error **e) { return hangup_request_set_body_file(handle_.get(), p, e); });
        readers_.clear();
        return *this;
    }
    [[nodiscard]] Request set_body_file(std::string_view path) && { return std::move(set_body_file(path)); }
    /** The body from a function, which is sent once. Without a length it is sent chunked. */
    Request &set_body(BodyReader read, std::optional<std::uint64_t> length = std::nullopt) & {
        const std::int64_t size = detail::body_length(length);
        auto reader = std::make_shared<Reader>();
        reader->read = std::move(read);
        // C holds a share of its own: its `end` may come after this request is gone.
        auto user_data = std::make_unique<std::shared_ptr<Reader>>(reader);
        detail::check([&](hangup_error **e) {
            return hangup_request_set_body_reader(handle_.get(), Reader::read_body, Reader::end_body, user_data.release(), size,
                                                  e);
        });
        readers_.assign(1, std::move(reader));
        return *this;
    }
    [[nodiscard]] Request set_body(BodyReader read, std::optional<std::uint64_t> length = std::nullopt) && {
        return std::move(set_body(std::move(read), length));
    }
    /** The body from a function that can go back: it is sent again after a redirect and a retry. */
    Request &set_body(BodyReader read, BodyRewind rewind, std::optional<std::uint64_t> length = std::nullopt) & {
        const std::int64_t size = detail::body_length(length);
        auto reader = std::make_shared<Reader>();
        reader->read = std::move(read);
        reader->rewind = std::move(rewind);
        auto user_data = std::make_unique<std::shared_ptr<Reader>>(reader);
        detail::check([&](hangup_error **e) {
            return hangup_request_set_body_rewindable(handle_.get(), Reader::read_body, Reader::rewind_body, Reader::end_body,
                                                      user_data.release(), size, e);
        });
        readers_.assign(1, std::move(reader));
        return *this;
    }
    [[nodiscard]] Request set_body(BodyReader read, BodyRewind rewind,
                                   std::optional<std::uint64_t> length = std::nullopt) && {
        return std::move(set_body(std::move(read), std::move(rewind), length));
    }
    /** The body from a pipe, a socket, a device or a file; the descriptor is duplicated. Without a length up to its end. */
    Request &set_body_fd(int fd, std::optional<std::uint64_t> length = std::nullopt) & {
        const std::int64_t size = detail::body_length(length);
        detail::check([&](hangup_error **e) { return hangup_request_set_body_fd(handle_.get(), fd, size, e); });
        readers_.clear();
        return *this;
    }
    [[nodiscard]] Request set_body_fd(int fd, std::optional<std::uint64_t> length = std::nullopt) && {
        return std::move(set_body_fd(fd, length));
    }
    /** The body and its Content-Type from a form: multipart/form-data. The form can be used again unless it has a reader. */
    Request &set_body_form(const Form &form) & {
        detail::check([&](hangup_error **e) {
            return hangup_request_set_body_form(handle_.get(), detail::made(form.handle()), e);
        });
        readers_ = form.readers_;
        return *this;
    }
    [[nodiscard]] Request set_body_form(const Form &form) && { return std::move(set_body_form(form)); }
    /** The same from a form of text: application/x-www-form-urlencoded. */
    Request &set_body_urlencoded(const Form &form) & {
        detail::check([&](hangup_error **e) {
            return hangup_request_set_body_urlencoded(handle_.get(), detail::made(form.handle()), e);
        });
        readers_.clear();
        return *this;
    }
    [[nodiscard]] Request set_body_urlencoded(const Form &form) && { return std::move(set_body_urlencoded(form)); }
    /** The body is what is written to the upload, and is sent once. */
    Request &set_body_upload(const Upload &upload) &;
    [[nodiscard]] Request set_body_upload(const Upload &upload) && { return std::move(set_body_upload(upload)); }
    /** What says how far the bodies are. The request keeps a share. */
    Request &set_progress(const Progress &progress) & {
        detail::check([&](hangup_error **e) {
            return hangup_request_set_progress(handle_.get(), detail::made(progress.handle()), e);
        });
        return *this;
    }
    [[nodiscard]] Request set_progress(const Progress &progress) && { return std::move(set_progress(progress)); }
    /** The maximum rates of both bodies in bytes per second; HANGUP_NO_LIMIT is none. Overrides the client's. */
    Request &set_max_rate(std::int64_t upload, std::int64_t download) & {
        detail::check([&](hangup_error **e) { return hangup_request_set_max_rate(handle_.get(), upload, download, e); });
        return *this;
    }
    [[nodiscard]] Request set_max_rate(std::int64_t upload, std::int64_t download) && {
        return std::move(set_max_rate(upload, download));
    }
    /** Sends "Expect: 100-continue", and the body after 100 or after that time; no_limit sends it at once. */
    Request &set_expect_continue(Limit wait) & {
        detail::check([&](hangup_error **e) { return hangup_request_set_expect_continue(handle_.get(), wait.ms(), e); });
        return *this;
    }
    [[nodiscard]] Request set_expect_continue(Limit wait) && { return std::move(set_expect_continue(wait)); }
    /** Sets a limit of this request. */
    Request &set_timeout(Timeout which, Limit time) & {
        const auto c = static_cast<hangup_timeout>(which);
        detail::check([&](hangup_error **e) { return hangup_request_set_timeout(handle_.get(), c, time.ms(), e); });
        return *this;
    }
    [[nodiscard]] Request set_timeout(Timeout which, Limit time) && { return std::move(set_timeout(which, time)); }
    /** Fails if the body arrives more slowly than that over a window of waiting. */
    Request &set_min_rate(std::int64_t bytes_per_second, Limit window) & {
        detail::check([&](hangup_error **e) {
            return hangup_request_set_min_rate(handle_.get(), bytes_per_second, window.ms(), e);
        });
        return *this;
    }
    [[nodiscard]] Request set_min_rate(std::int64_t bytes_per_second, Limit window) && {
        return std::move(set_min_rate(bytes_per_second, window));
    }
    /** How long the connection lives. */
    Request &set_connection_mode(ConnectionMode mode) & {
        const auto c = static_cast<hangup_connection_mode>(mode);
        detail::check([&](hangup_error **e) { return hangup_request_set_connection_mode(handle_.get(), c, e); });
        return *this;
    }
    [[nodiscard]] Request set_connection_mode(ConnectionMode mode) && { return std::move(set_connection_mode(mode)); }
    /** Whether it is sent again if a reused connection breaks before the response. Overrides the client's setting. */
    Request &set_retries(bool on) & {
        detail::check([&](hangup_error **e) { return hangup_request_set_retries(handle_.get(), on ? 1 : 0, e); });
        return *this;
    }
    [[nodiscard]] Request set_retries(bool on) && { return std::move(set_retries(on)); }
    /** How many redirects are followed. Overrides the client's setting; HANGUP_NO_LIMIT is any number. */
    Request &set_redirects(std::int64_t max) & {
        detail::check([&](hangup_error **e) { return hangup_request_set_redirects(handle_.get(), max, e); });
        return *this;
    }
    [[nodiscard]] Request set_redirects(std::int64_t max) && { return std::move(set_redirects(max)); }
    /** Sends this user and password as Basic credentials, in place of the client's. */
    Request &set_auth_basic(std::string_view user, std::string_view password) & {
        const detail::Text u(user, Status::invalid_argument, "user"), p(password, Status::invalid_argument, "password");
        detail::check([&](hangup_error **e) { return hangup_request_set_auth_basic(handle_.get(), u, p, e); });
        return *this;
    }
    [[nodiscard]] Request set_auth_basic(std::string_view user, std::string_view password) && { return std::move(set_auth_basic(user, password)); }
    /** Answers challenges with this user and password (digest authentication, RFC 7616), in place of the client's. */
    Request &set_auth_digest(std::string_view user, std::string_view password) & {
        const detail::Text u(user, Status::invalid_argument, "user"), p(password, Status::invalid_argument, "password");
        detail::check([&](hangup_error **e) { return hangup_request_set_auth_digest(handle_.get(), u, p, e); });
        return *this;
    }
    [[nodiscard]] Request set_auth_digest(std::string_view user, std::string_view password) && { return std::move(set_auth_digest(user, password)); }
    /** Sends this bearer token, in place of the client's. */
    Request &set_auth_bearer(std::string_view token) & {
        const detail::Text t(token, Status::invalid_argument, "token");
        detail::check([&](hangup_error **e) { return hangup_request_set_auth_bearer(handle_.get(), t, e); });
        return *this;
    }
    [[nodiscard]] Request set_auth_bearer(std::string_view token) && { return std::move(set_auth_bearer(token)); }
    /** Sends the users and passwords of a netrc file to the hosts that it names; nothing is $NETRC or ~/.netrc. */
    Request &set_auth_netrc(std::optional<std::string_view> path = std::nullopt) & {
        const detail::OptionalText f(path, Status::invalid_argument, "path");
        detail::check([&](hangup_error **e) { return hangup_request_set_auth_netrc(handle_.get(), f, e); });
        return *this;
    }
    [[nodiscard]] Request set_auth_netrc(std::optional<std::string_view> path = std::nullopt) && { return std::move(set_auth_netrc(path)); }
    /** Sends the bearer tokens that this function gives, and asks it once more after a 401. */
    Request &set_auth_token(TokenProvider provide) & {
        auto user_data = std::make_unique<TokenProvider>(std::move(provide));
        detail::check([&](hangup_error **e) {
            return hangup_request_set_auth_token(handle_.get(), detail::give_token, detail::end_tokens, user_data.release(), e);
        });
        return *this;
    }
    [[nodiscard]] Request set_auth_token(TokenProvider provide) && { return std::move(set_auth_token(std::move(provide))); }
    /** Sends none of the client's credentials. */
    Request &clear_auth() & {
        detail::check(hangup_request_clear_auth(handle_.get()));
        return *this;
    }
    [[nodiscard]] Request clear_auth() && { return std::move(clear_auth()); }
    /** The response comes with its whole body, of at most so many bytes; HANGUP_NO_LIMIT: it comes with its head. */
    Request &set_buffer_body(std::int64_t at_most) & {
        detail::check([&](hangup_error **e) { return hangup_request_set_buffer_body(handle_.get(), at_most, e); });
        return *this;
    }
    [[nodiscard]] Request set_buffer_body(std::int64_t at_most) && { return std::move(set_buffer_body(at_most)); }
    /** With set_buffer_body: a body that is longer than so many bytes, as its head says, is not waited for, and left() says how much
     *  is to be read; HANGUP_NO_LIMIT: all are. */
    Request &set_buffer_up_to(std::int64_t length) & {
        detail::check([&](hangup_error **e) { return hangup_request_set_buffer_up_to(handle_.get(), length, e); });
        return *this;
    }
    [[nodiscard]] Request set_buffer_up_to(std::int64_t length) && { return std::move(set_buffer_up_to(length)); }
    /** TLS settings of this request, as they are now, in place of the client's. */
    Request &set_tls(const Tls &tls) & {
        detail::check([&](hangup_error **e) { return hangup_request_set_tls(handle_.get(), detail::made(tls.handle()), e); });
        return *this;
    }
    [[nodiscard]] Request set_tls(const Tls &tls) && { return std::move(set_tls(tls)); }
    /** Whether it asks for content codings and its body is decoded. Overrides the client's setting. */
    Request &set_decode(bool on) & {
        detail::check([&](hangup_error **e) { return hangup_request_set_decode(handle_.get(), on ? 1 : 0, e); });
        return *this;
    }
    [[nodiscard]] Request set_decode(bool on) && { return std::move(set_decode(on)); }
    /** Firing the token ends the exchange, its body included. The request keeps a share. */
    Request &set_cancel(const CancelToken &token) & {
        detail::check(hangup_request_set_cancel(handle_.get(), detail::made(token.handle())));
        return *this;
    }
    [[nodiscard]] Request set_cancel(const CancelToken &token) && { return std::move(set_cancel(token)); }
    Request &without_cancel() & {
        detail::check(hangup_request_set_cancel(handle_.get(), nullptr));
        return *this;
    }
    [[nodiscard]] Request without_cancel() && { return std::move(without_cancel()); }

    [[nodiscard]] std::string_view method() const & noexcept HANGUP_LIFETIMEBOUND {
        return hangup_request_method(handle_.get());
    }
    [[nodiscard]] OwnedText method() const && { return OwnedText(method()); }
    [[nodiscard]] hangup_request *handle() const noexcept { return handle_.get(); }

private:
    static void end_moved(void *user_data) noexcept { delete static_cast<std::string *>(user_data); }

    friend class Client;

    using Reader = detail::Reader;

    explicit Request(hangup_request *owned) : handle_(owned) {}

    detail::Handle<hangup_request, hangup_request_free> handle_;
    std::vector<std::shared_ptr<Reader>> readers_;
};

struct Completion;

/**
 * Where the outcomes of submitted requests and reads arrive, each exactly once. For an event loop that polls fd(), or for
 * threads that wait in next(). hangup_async.hpp has std::future instead.
 *
 * After its destruction work in progress goes on, and its responses are closed.
 * Threads: any thread at any time; each completion goes to one of them.
 */
class Queue {
public:
    Queue() : handle_(detail::made(hangup_queue_new())) {}
    /** Takes ownership of a queue that C created. */
    explicit Queue(hangup_queue *owned) : handle_(detail::made(owned)) {}

    /** The oldest completion, or waits for one; zero does not wait. Nothing if there was none in that time. */
    [[nodiscard]] std::optional<Completion> next(Limit wait = no_limit) const;
    /** Readable while there is a completion to take: for an event loop, which then calls next(zero) until it is empty. */
    [[nodiscard]] int fd() const noexcept { return hangup_queue_fd(handle_.get()); }
    /**
     * For an event loop that does this queue's work on its own thread: readable while there is work or a completion. Then the
     * loop calls drive(), and next(zero) until it is empty. To be called before the first submission; see hangup_queue_drive_fd.
     */
    [[nodiscard]] int drive_fd() const {
        int fd = hangup_queue_drive_fd(handle_.get());
        if (fd < 0) {
            detail::check(HANGUP_SYSTEM);
        }
        return fd;
    }
    /** Does the work that is ready, on this thread. Never waits. */
    void drive() const { detail::check(hangup_queue_drive(handle_.get())); }
    /**
     * Whether a thread that waits in next() may do the work itself meanwhile, and one that submits to a queue that is driven
     * may begin it: not in a program with signal handlers that look at the stack of the thread that they interrupt. See
     * hangup_queue_set_caller_runs.
     */
    void set_caller_runs(bool allowed) const {
        detail::check([&](auto error) { return hangup_queue_set_caller_runs(handle_.get(), allowed, error); });
    }
    /** Ends a wait in next() from any thread: from now on it fails with Status::closed when there is no more to take. */
    void close() const { detail::check(hangup_queue_close(handle_.get())); }
    [[nodiscard]] hangup_queue *handle() const noexcept { return handle_.get(); }

private:
    detail::Handle<hangup_queue, hangup_queue_free> handle_;
};

/**
 * The body of a request that the program writes piece by piece, while the request is sent by another thread or was submitted.
 * Destroyed before finish(), it fails the exchange with Status::body_failed.
 *
 * Threads: one thread at a time, another one gets Status::invalid_state; but abort() any thread at any time.
 */
class Upload {
public:
    /** A body of so many bytes, or without a length of any number. Request::set_body_upload gives it to a request. */
    explicit Upload(std::optional<std::uint64_t> length = std::nullopt) {
        const std::int64_t size = detail::body_length(length);
        hangup_upload *upload = nullptr;
        detail::check([&](hangup_error **e) { return hangup_upload_new(size, &upload, e); });
        handle_.reset(upload);
    }

    /** Writes all of it; waits while the buffer is full. Throws the error of the exchange if that has failed. */
    void write_all(std::string_view data) {
        detail::check([&](hangup_error **e) {
            return hangup_upload_write_all(handle_.get(), detail::bytes(data), data.size(), e);
        });
    }
    /** Writes what there is room for, without a wait, and returns how much; 0: wait for fd(). */
    [[nodiscard]] std::size_t try_write(std::string_view data) {
        std::size_t taken = 0;
        detail::check([&](hangup_error **e) {
            return hangup_upload_try_write(handle_.get(), detail::bytes(data), data.size(), &taken, e);
        });
        return taken;
    }
    /** Writes all of it in the background, from a copy: the outcome arrives in the queue as CompletionType::upload_write. */
    void submit_write(std::string_view data, const Queue &queue, std::uint64_t tag) {
        detail::check([&](hangup_error **e) {
            return hangup_upload_submit_write(handle_.get(), detail::bytes(data), data.size(), queue.handle(), tag, e);
        });
    }
    /** Readable while there is room, and after the end of the exchange: for an event loop. */
    [[nodiscard]] int fd() const noexcept { return hangup_upload_fd(handle_.get()); }
    /** The body is complete. Never blocks. */
    void finish() {
        detail::check([&](hangup_error **e) { return hangup_upload_finish(handle_.get(), e); });
    }
    /** Gives the body up: the exchange fails with Status::body_failed and this reason. From any thread; never blocks. */
    void abort(std::string_view reason) {
        const detail::Text r(reason, Status::invalid_argument, "reason");
        detail::check([&](hangup_error **e) { return hangup_upload_abort(handle_.get(), r, e); });
    }
    [[nodiscard]] hangup_upload *handle() const noexcept { return handle_.get(); }

private:
    detail::Handle<hangup_upload, hangup_upload_free> handle_;
};

inline Request &Request::set_body_upload(const Upload &upload) & {
    detail::check([&](hangup_error **e) {
        return hangup_request_set_body_upload(handle_.get(), detail::made(upload.handle()), e);
    });
    readers_.clear();
    return *this;
}

/**
 * A connection that speaks another protocol than HTTP: after 101 Switching Protocols, or a tunnel; see hangup_stream. It
 * reads and writes, also both at the same time from two threads. The manager lists it as ConnectionState::upgraded and closes
 * it as any other; so does the token of its request.
 *
 * A read that timed out can be repeated; any other failure closes the connection. The last share closes it, too.
 * Threads: any thread at any time; one reads and one writes at a time.
 */
class Stream {
public:
    /** Takes ownership of a handle that C created. */
    explicit Stream(hangup_stream *owned) : handle_(detail::made(owned)) {}
    /** One more share of the same stream. */
    [[nodiscard]] Stream share() const { return Stream(hangup_stream_ref(handle_.get())); }

    /** Reads at least one byte; 0 if the peer ended its direction. */
    [[nodiscard]] std::size_t read(char *into, std::size_t room) const {
        std::size_t got = 0;
        detail::check([&](hangup_error **e) { return hangup_stream_read(handle_.get(), into, room, &got, e); });
        return got;
    }
    /** Sends all of it. */
    void write_all(std::string_view data) const {
        detail::check([&](hangup_error **e) {
            return hangup_stream_write_all(handle_.get(), detail::bytes(data), data.size(), e);
        });
    }
    /** Ends the direction of writing; what the peer sends can still be read. */
    void shutdown_write() const {
        detail::check([&](hangup_error **e) { return hangup_stream_shutdown_write(handle_.get(), e); });
    }
    /** Reads in the background: the outcome arrives in the queue as CompletionType::stream_read. */
    void submit_read(std::size_t at_most, const Queue &queue, std::uint64_t tag) const {
        detail::check([&](hangup_error **e) {
            return hangup_stream_submit_read(handle_.get(), at_most, queue.handle(), tag, e);
        });
    }
    /** Sends all of it in the background, from a copy: the outcome arrives in the queue as CompletionType::stream_write. */
    void submit_write(std::string_view data, const Queue &queue, std::uint64_t tag) const {
        detail::check([&](hangup_error **e) {
            return hangup_stream_submit_write(handle_.get(), detail::bytes(data), data.size(), queue.handle(), tag, e);
        });
    }
    /** Ends the direction of writing in the background: the outcome arrives as CompletionType::stream_write. */
    void submit_shutdown_write(const Queue &queue, std::uint64_t tag) const {
        detail::check([&](hangup_error **e) {
            return hangup_stream_submit_shutdown_write(handle_.get(), queue.handle(), tag, e);
        });
    }
    /** Closes the connection: what is blocked or in progress fails with Status::closed. From any thread; never blocks. */
    void close() const { detail::check(hangup_stream_close(handle_.get())); }
    /** Timeout::read or Timeout::write, for calls that begin later. */
    void set_timeout(Timeout which, Limit time) const {
        const auto c = static_cast<hangup_timeout>(which);
        detail::check([&](hangup_error **e) { return hangup_stream_set_timeout(handle_.get(), c, time.ms(), e); });
    }

    /** How many bytes came together with the head and were not read: they are not in the socket. */
    [[nodiscard]] std::size_t buffered() const noexcept { return hangup_stream_buffered(handle_.get()); }
    /** The socket, to be polled for input and nothing else; -1 for a stream in TLS and after the end. */
    [[nodiscard]] int fd() const noexcept { return hangup_stream_fd(handle_.get()); }
    [[nodiscard]] std::uint64_t connection_id() const noexcept { return hangup_stream_connection_id(handle_.get()); }
    /** Whether a graceful close or a drain waits for its owner to end it. */
    [[nodiscard]] bool is_closing() const noexcept { return hangup_stream_is_closing(handle_.get()) != 0; }
    /** Whether it was closed or has failed. */
    [[nodiscard]] bool is_closed() const noexcept { return hangup_stream_is_closed(handle_.get()) != 0; }
    [[nodiscard]] hangup_stream *handle() const noexcept { return handle_.get(); }

private:
    detail::Handle<hangup_stream, hangup_stream_free> handle_;
};

/** A response that redirected. A value of its own. */
/** An interim response (1xx). */
struct InterimResponse {
    /** 100, or 102 to 199. */
    int status;
    /** Its headers as they came, names in lower case. */
    std::vector<std::pair<std::string, std::string>> headers;
};

struct Hop {
    /** 301, 302, 303, 307 or 308. */
    int status;
    /** The URL that returned it. */
    std::string url;
};

/**
 * One response: its head, and its body as a stream. Destroying one that was not read to its end closes its connection.
 *
 * Threads: one thread at a time; but close() may be called from any thread while another is blocked in a read, which
 * then throws Status::closed.
 */
class Response {
public:
    /** Takes ownership of a response that C created. */
    explicit Response(hangup_response *owned) : handle_(detail::made(owned)) {}

    /** Reads a piece; 0 is the end, never a failure. */
    [[nodiscard]] std::size_t read(char *into, std::size_t room) {
        std::size_t got = 0;
        detail::check([&](hangup_error **e) { return hangup_response_read(handle_.get(), into, room, &got, e); });
        return got;
    }
    /**
     * Fills `into` with the next `room` bytes of the body, fewer only at its end, and returns how many: so a body whose size is
     * known (left()) is read into memory of the caller's without a copy. `at_most` bounds the body as a whole, that is the bytes
     * of all these calls; by default it is the client's limit. Throws Status::too_large if the body is larger.
     */
    [[nodiscard]] std::size_t read_full(char *into, std::size_t room,
                                        std::size_t at_most = std::numeric_limits<std::size_t>::max()) {
        std::size_t got = 0;
        detail::check([&](hangup_error **e) { return hangup_response_read_full(handle_.get(), into, room, at_most, &got, e); });
        return got;
    }
    /**
     * Reads what has arrived of the body, at most `room` bytes, and never waits. Empty if nothing has arrived: then submit_read
     * or read waits. 0 is the end. Of a body that is decoded, and with a trace or a maximum rate, nothing counts as arrived
     * before the end.
     */
    [[nodiscard]] std::optional<std::size_t> read_available(char *into, std::size_t room) {
        std::size_t got = 0;
        std::int32_t is_here = 0;
        detail::check([&](hangup_error **e) {
            return hangup_response_read_available(handle_.get(), into, room, &got, &is_here, e);
        });
        if (is_here == 0) {
            return std::nullopt;
        }
        return got;
    }
    /** How many bytes of the body are left to read; empty if that is not known: of a body that is chunked or decoded, while a
     *  read is in progress, and after a close. It is what the head says, and the peer may send less. */
    [[nodiscard]] std::optional<std::uint64_t> left() const {
        const auto left = hangup_response_left(handle_.get());
        if (left < 0) {
            return std::nullopt;
        }
        return static_cast<std::uint64_t>(left);
    }
    /** What was downloaded; throws Status::invalid_state for a response of another call than Client::download. */
    [[nodiscard]] hangup_download download() const {
        hangup_download done = HANGUP_DOWNLOAD_INIT;
        detail::check(hangup_response_download(handle_.get(), &done));
        return done;
    }
    /** From here on the body is read as it arrives, its content codings not undone. Throws Status::invalid_state after the
     *  first read. */
    void set_raw() const {
        detail::check([&](hangup_error **e) { return hangup_response_set_raw(handle_.get(), e); });
    }
    /** The rest of the body, borrowed from the response; throws Status::too_large if it is more than `at_most`, or more than
     *  the client allows (Client::set_max_body) where no number is given. */
    std::string_view read_all(std::size_t at_most = std::numeric_limits<std::size_t>::max()) & HANGUP_LIFETIMEBOUND {
        const std::uint8_t *data = nullptr;
        std::size_t size = 0;
        detail::check([&](hangup_error **e) {
            return hangup_response_read_all(handle_.get(), at_most, &data, &size, e);
        });
        return size == 0 ? std::string_view() : std::string_view(reinterpret_cast<const char *>(data), size);
    }
    /** The same of a temporary: copied, as the response ends here. */
    OwnedText read_all(std::size_t at_most = std::numeric_limits<std::size_t>::max()) && {
        return OwnedText(read_all(at_most));
    }
    /** Frees the bytes that read_all returned a view of; the body can't be read again. Throws Status::invalid_state while
     *  another thread reads. */
    void free_body() { detail::check(hangup_response_free_body(handle_.get())); }
    /** Reads a piece in the background: its outcome arrives in the queue as CompletionType::read. Until it was taken from there
     *  other reads fail. */
    void submit_read(std::size_t at_most, const Queue &queue, std::uint64_t tag) const {
        detail::check([&](hangup_error **e) {
            return hangup_response_submit_read(handle_.get(), at_most, queue.handle(), tag, e);
        });
    }
    /** Takes the connection, if the response hands it over: 101 after a request with an Upgrade header, or a success after
     *  Request::connect. Once. Throws Status::invalid_state for any other response. */
    [[nodiscard]] Stream take_stream() const {
        hangup_stream *stream = nullptr;
        detail::check([&](hangup_error **e) { return hangup_response_take_stream(handle_.get(), &stream, e); });
        return Stream(stream);
    }
    /** Closes it early: gracefully, so that the connection can be reused, or at once. */
    void close(CloseMode how = CloseMode::graceful) const {
        detail::check(hangup_response_close(handle_.get(), static_cast<hangup_close_mode>(how)));
    }

    /** 100 to 999. */
    [[nodiscard]] int status() const noexcept { return hangup_response_status_code(handle_.get()); }
    /** The protocol version times ten: 10 or 11. */
    [[nodiscard]] int version() const noexcept { return hangup_response_version(handle_.get()); }
    /** The id of the connection that served it. */
    [[nodiscard]] std::uint64_t connection_id() const noexcept { return hangup_response_connection_id(handle_.get()); }
    /** Whether that connection had served a request before. */
    [[nodiscard]] bool reused() const noexcept { return hangup_response_reused(handle_.get()) != 0; }
    /** The URL of the response, after all redirects. */
    [[nodiscard]] std::string_view url() const & noexcept HANGUP_LIFETIMEBOUND {
        return hangup_response_url(handle_.get());
    }
    [[nodiscard]] OwnedText url() const && { return OwnedText(url()); }
    /** The redirects that were followed, in order. */
    [[nodiscard]] std::vector<Hop> history() const {
        std::vector<Hop> all(hangup_response_history_count(handle_.get()));
        for (std::size_t i = 0; i < all.size(); i++) {
            std::int32_t status = 0;
            all[i].url = hangup_response_history_at(handle_.get(), i, &status);
            all[i].status = status;
        }
        return all;
    }
    /** How many times the last request of the call was tried: 1 without a retry. */
    [[nodiscard]] std::uint32_t attempts() const noexcept { return hangup_response_attempts(handle_.get()); }
    /** The first header of that name; case does not matter. */
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const & HANGUP_LIFETIMEBOUND {
        std::size_t size = 0;
        const detail::Text n(name, Status::invalid_header, "header name");
        const char *value = hangup_response_header(handle_.get(), n, &size);
        return value == nullptr ? std::nullopt : std::optional<std::string_view>(std::string_view(value, size));
    }
    [[nodiscard]] std::optional<OwnedText> header(std::string_view name) const && {
        return std::optional<OwnedText>(header(name));
    }
    /** All headers as they came, names in lower case. */
    [[nodiscard]] std::vector<std::pair<std::string_view, std::string_view>> headers() const & HANGUP_LIFETIMEBOUND {
        std::vector<std::pair<std::string_view, std::string_view>> all;
        const std::size_t count = hangup_response_header_count(handle_.get());
        all.reserve(count);
        for (std::size_t i = 0; i < count; i++) {
            const char *name = nullptr, *value = nullptr;
            std::size_t size = 0;
            detail::check(hangup_response_header_at(handle_.get(), i, &name, &value, &size));
            all.emplace_back(name, std::string_view(value, size));
        }
        return all;
    }
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> headers() const && {
        const auto all = headers();
        return {all.begin(), all.end()};
    }
    /** The reason phrase of the status line as it came. */
    [[nodiscard]] std::string_view reason() const & noexcept HANGUP_LIFETIMEBOUND {
        std::size_t size = 0;
        const char *reason = hangup_response_reason(handle_.get(), &size);
        return std::string_view(reason, size);
    }
    [[nodiscard]] OwnedText reason() const && { return OwnedText(reason()); }
    /** The bytes of the body on the wire, before content codings are undone; nothing if that is not known. In a response to
     *  HEAD what Content-Length says. */
    [[nodiscard]] std::optional<std::uint64_t> content_length() const noexcept {
        const std::int64_t length = hangup_response_content_length(handle_.get());
        return length < 0 ? std::nullopt : std::optional<std::uint64_t>(length);
    }
    /** Every value of the headers with that name; case does not matter. */
    [[nodiscard]] std::vector<std::string_view> header_values(std::string_view name) const & HANGUP_LIFETIMEBOUND {
        std::vector<std::string_view> all;
        const detail::Text n(name, Status::invalid_header, "header name");
        std::size_t size = 0;
        while (const char *value = hangup_response_header_value(handle_.get(), n, all.size(), &size)) {
            all.emplace_back(value, size);
        }
        return all;
    }
    [[nodiscard]] std::vector<std::string> header_values(std::string_view name) const && {
        const auto all = header_values(name);
        return {all.begin(), all.end()};
    }
    /** All headers, names in the case in which they came. */
    [[nodiscard]] std::vector<std::pair<std::string_view, std::string_view>> raw_headers() const & HANGUP_LIFETIMEBOUND {
        return fields(hangup_response_header_count(handle_.get()), [&](std::size_t i, const char **name, const char **value, std::size_t *size) {
            return hangup_response_raw_header_at(handle_.get(), i, name, value, size);
        });
    }
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> raw_headers() const && {
        const auto all = raw_headers();
        return {all.begin(), all.end()};
    }
    /** The bytes of the head as they came, from the status line to the empty line. */
    [[nodiscard]] std::string_view raw_head() const & HANGUP_LIFETIMEBOUND {
        const std::uint8_t *data = nullptr;
        std::size_t size = 0;
        detail::check(hangup_response_raw_head(handle_.get(), &data, &size));
        return std::string_view(reinterpret_cast<const char *>(data), size);
    }
    [[nodiscard]] OwnedText raw_head() const && { return OwnedText(raw_head()); }
    /** The interim responses (1xx) that came before this one; the first 100 are kept. */
    [[nodiscard]] std::vector<InterimResponse> interim_responses() const {
        std::vector<InterimResponse> all(hangup_response_interim_count(handle_.get()));
        for (std::size_t which = 0; which < all.size(); which++) {
            all[which].status = hangup_response_interim_status_code(handle_.get(), which);
            const auto found = fields(hangup_response_interim_header_count(handle_.get(), which), [&](std::size_t i, const char **name, const char **value, std::size_t *size) {
                return hangup_response_interim_header_at(handle_.get(), which, i, name, value, size);
            });
            all[which].headers.assign(found.begin(), found.end());
        }
        return all;
    }
    /** The trailer fields behind the body, names in lower case; none before the body was read to its end. */
    [[nodiscard]] std::vector<std::pair<std::string_view, std::string_view>> trailers() const & HANGUP_LIFETIMEBOUND {
        return fields(hangup_response_trailer_count(handle_.get()), [&](std::size_t i, const char **name, const char **value, std::size_t *size) {
            return hangup_response_trailer_at(handle_.get(), i, name, value, size);
        });
    }
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> trailers() const && {
        const auto all = trailers();
        return {all.begin(), all.end()};
    }
    /** The addresses and TLS of its connection; also after that was closed. */
    [[nodiscard]] ConnectionFacts connection_facts() const {
        hangup_connection_facts row = HANGUP_CONNECTION_FACTS_INIT;
        detail::check(hangup_response_connection_facts(handle_.get(), &row));
        return detail::facts_of(row, [&](std::size_t which, const std::uint8_t **data, std::size_t *size) {
            return hangup_response_certificate_at(handle_.get(), which, data, size);
        });
    }
    /** How long each part took. */
    [[nodiscard]] Timings timings() const {
        hangup_timings t = HANGUP_TIMINGS_INIT;
        detail::check(hangup_response_timings(handle_.get(), &t));
        return detail::timings(t);
    }
    [[nodiscard]] hangup_response *handle() const noexcept { return handle_.get(); }

private:
    template <class At>
    static std::vector<std::pair<std::string_view, std::string_view>> fields(std::size_t count, At &&at) {
        std::vector<std::pair<std::string_view, std::string_view>> all;
        all.reserve(count);
        for (std::size_t i = 0; i < count; i++) {
            const char *name = nullptr, *value = nullptr;
            std::size_t size = 0;
            detail::check(at(i, &name, &value, &size));
            all.emplace_back(name, std::string_view(value, size));
        }
        return all;
    }

    detail::Handle<hangup_response, hangup_response_free> handle_;
};

/** The outcome of something that was submitted. */
struct Completion {
    /** The tag that was passed when it was submitted. */
    std::uint64_t tag;
    /** What it was: a request, a read, or a write. */
    CompletionType type;
    /** The response of a request that succeeded. */
    std::optional<Response> response;
    /** The error; empty after success. */
    std::optional<Error> error;
    /** The piece that was read, empty at the end; or the whole body if the request asked for it. Borrowed from the
     *  response or the stream until its next read. */
    std::string_view data;

    /** The response; throws what went wrong. Once. */
    [[nodiscard]] Response take() {
        if (error) {
            throw *error;
        }
        return std::move(response).value();
    }
};

inline std::optional<Completion> Queue::next(Limit wait) const {
    hangup_completion row = HANGUP_COMPLETION_INIT;
    const hangup_status status = hangup_queue_next(handle_.get(), wait.ms(), &row);
    if (status == HANGUP_TIMED_OUT) {
        return std::nullopt;
    }
    detail::check(status);
    Completion done{row.tag, static_cast<CompletionType>(row.type), std::nullopt, std::nullopt, {}};
    if (row.response != nullptr) {
        done.response.emplace(row.response);
    }
    if (row.status != HANGUP_OK) {
        done.error.emplace(static_cast<hangup_status>(row.status), row.error);
    }
    if (row.data_size > 0) {
        done.data = std::string_view(reinterpret_cast<const char *>(row.data), row.data_size);
    }
    return done;
}

/** When a client sends a request again that was not served; see Client::set_retry_policy. Threads: a value. */
struct RetryPolicy {
    /** How often a request is sent at most, the first time included. */
    std::int32_t max_attempts = 3;
    /** The delay before the second attempt; each is twice the one before it, less a random part of up to a half. */
    std::chrono::milliseconds first_delay{500};
    /** The longest delay. A response whose Retry-After names a longer one is returned. */
    std::chrono::milliseconds max_delay{30000};
    /** The time from the call in which the last attempt must begin. */
    Limit max_total = std::chrono::seconds(60);
    /** The status codes after which a request is sent again. */
    std::vector<std::int32_t> status_codes{429, 503};
    /** Whether a request is sent again if no connection could be made for it. */
    bool connect_errors = true;
    /** How many retries all requests of the client save together at most; HANGUP_NO_LIMIT is no budget. */
    std::int64_t budget = 10;
    /** By how much of a retry each request that is served lets the budget grow, in percent. */
    std::int32_t budget_percent = 10;
};

/** A cookie that a client keeps. A value of its own. */
struct Cookie {
    std::string name;
    std::string value;
    /** The host that it is sent to, without a dot at its beginning. */
    std::string domain;
    std::string path;
    /** Nothing: it is forgotten with the client. */
    std::optional<std::chrono::system_clock::time_point> expires;
    /** It is sent to that host only, and not to names below it. */
    bool host_only;
    bool secure;
    bool http_only;
};

/** One record of a trace; its bytes are valid until the function returns. */
struct TraceRecord {
    /** What was recorded. */
    TraceType type;
    /** When. */
    std::chrono::system_clock::time_point time;
    /** The id of the connection; 0 while there is none. */
    std::uint64_t connection_id;
    /** For a piece of a body its size in bytes; otherwise the size of `data`. */
    std::uint64_t size;
    /** Text, the bytes of a head with secrets replaced by their length, or the bytes of a body if they are wanted. */
    std::string_view data;
};

/**
 * Defaults over a manager: timeouts, headers, redirects, cookies, TLS, proxy. A setting applies to requests sent after it.
 *
 * Threads: any thread at any time; many may send at once.
 */
class Client {
public:
    /** Over the shared manager. */
    Client() : Client(static_cast<hangup_manager *>(nullptr), 0) {}
    explicit Client(const Manager &manager) : Client(detail::made(manager.handle()), 0) {}
    /** Takes ownership of a handle that C created. */
    explicit Client(hangup_client *owned) : handle_(detail::made(owned)) {}
    /** One more share of the same client. */
    [[nodiscard]] Client share() const { return Client(hangup_client_ref(handle_.get())); }

    /** A default limit. */
    Client &set_timeout(Timeout which, Limit time) & {
        const auto c = static_cast<hangup_timeout>(which);
        detail::check([&](hangup_error **e) { return hangup_client_set_timeout(handle_.get(), c, time.ms(), e); });
        return *this;
    }
    Client set_timeout(Timeout which, Limit time) && { return std::move(set_timeout(which, time)); }
    /**
     * A header for every request that has none of that name; no value removes it, and what the library would add under that
     * name: Accept-Encoding, Cookie, Authorization.
     */
    Client &set_header(std::string_view name, std::optional<std::string_view> value) & {
        const detail::Text n(name, Status::invalid_header, "header name");
        const detail::OptionalText v(value, Status::invalid_header, "header value");
        detail::check([&](hangup_error **e) { return hangup_client_set_header(handle_.get(), n, v, e); });
        return *this;
    }
    Client set_header(std::string_view name, std::optional<std::string_view> value) && {
        return std::move(set_header(name, value));
    }
    /** How long connections live by default. */
    Client &set_connection_mode(ConnectionMode mode) & {
        const auto c = static_cast<hangup_connection_mode>(mode);
        detail::check([&](hangup_error **e) { return hangup_client_set_connection_mode(handle_.get(), c, e); });
        return *this;
    }
    Client set_connection_mode(ConnectionMode mode) && { return std::move(set_connection_mode(mode)); }
    /** The most bytes that a response head may have. */
    Client &set_max_head(std::size_t bytes) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_max_head(handle_.get(), bytes, e); });
        return *this;
    }
    Client set_max_head(std::size_t bytes) && { return std::move(set_max_head(bytes)); }
    /** How many redirects a call follows; with 0 a redirect is returned as the response, HANGUP_NO_LIMIT is any number. */
    Client &set_redirects(std::int64_t max) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_redirects(handle_.get(), max, e); });
        return *this;
    }
    Client set_redirects(std::int64_t max) && { return std::move(set_redirects(max)); }
    /** Names a header that is dropped when a redirect leads to another origin. */
    Client &add_sensitive_header(std::string_view name) & {
        const detail::Text n(name, Status::invalid_header, "header name");
        detail::check([&](hangup_error **e) { return hangup_client_add_sensitive_header(handle_.get(), n, e); });
        return *this;
    }
    Client add_sensitive_header(std::string_view name) && { return std::move(add_sensitive_header(name)); }
    /** Whether a request is sent again if a reused connection breaks before the response, where that is safe. */
    Client &set_retries(bool on) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_retries(handle_.get(), on ? 1 : 0, e); });
        return *this;
    }
    Client set_retries(bool on) && { return std::move(set_retries(on)); }
    /** Whether a request that waits long on a reused connection finds out whether that connection is lost, and on a new one
     * whether large packets vanish on the way (an MTU black hole). */
    Client &set_detect_lost_connections(bool on) & {
        detail::check([&](hangup_error **e) {
            return hangup_client_set_detect_lost_connections(handle_.get(), on ? 1 : 0, e);
        });
        return *this;
    }
    Client set_detect_lost_connections(bool on) && { return std::move(set_detect_lost_connections(on)); }
    /** The maximum rates of both bodies of each request in bytes per second; HANGUP_NO_LIMIT is none. */
    Client &set_max_rate(std::int64_t upload, std::int64_t download) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_max_rate(handle_.get(), upload, download, e); });
        return *this;
    }
    Client set_max_rate(std::int64_t upload, std::int64_t download) && { return std::move(set_max_rate(upload, download)); }
    /** Whether requests with a body wait for 100 Continue, and how long; no_limit is not at all. */
    Client &set_expect_continue(Limit wait) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_expect_continue(handle_.get(), wait.ms(), e); });
        return *this;
    }
    Client set_expect_continue(Limit wait) && { return std::move(set_expect_continue(wait)); }
    /** Writes the body of the response to a file, which is there when it is complete; see hangup_client_download. A structure
     *  for `options` begins as HANGUP_DOWNLOAD_OPTIONS_INIT. */
    [[nodiscard]] Response download(const Request &request, std::string_view path,
                                    const hangup_download_options &options = HANGUP_DOWNLOAD_OPTIONS_INIT) const {
        const detail::Text p(path, Status::invalid_argument, "path");
        hangup_response *response = nullptr;
        detail::check([&](hangup_error **e) {
            return hangup_client_download(handle_.get(), detail::made(request.handle()), p, &options, &response, e);
        });
        return Response(response);
    }
    /** The same in the background: its outcome arrives in the queue as CompletionType::response. */
    void submit_download(const Request &request, std::string_view path, const Queue &queue, std::uint64_t tag,
                         const hangup_download_options &options = HANGUP_DOWNLOAD_OPTIONS_INIT) const {
        const detail::Text p(path, Status::invalid_argument, "path");
        detail::check([&](hangup_error **e) {
            return hangup_client_submit_download(handle_.get(), detail::made(request.handle()), p, &options, queue.handle(), tag, e);
        });
    }
    /** Sends a request again that was not served, by this policy; nothing never does. */
    Client &set_retry_policy(const std::optional<RetryPolicy> &policy) & {
        hangup_retry_policy row = HANGUP_RETRY_POLICY_INIT;
        if (policy) {
            // In C a 0 is the default.
            static constexpr std::int32_t none = 0;
            const auto given = [](std::int64_t value) { return value == 0 ? std::numeric_limits<std::int64_t>::min() : value; };
            row.first_delay_ms = policy->first_delay.count() == 0 ? 1 : policy->first_delay.count();
            row.max_delay_ms = policy->max_delay.count() == 0 ? 1 : policy->max_delay.count();
            row.max_total_ms = given(policy->max_total.ms());
            row.budget = given(policy->budget);
            row.status_codes = policy->status_codes.empty() ? &none : policy->status_codes.data();
            row.status_code_count = policy->status_codes.size();
            row.max_attempts = policy->max_attempts == 0 ? -1 : policy->max_attempts;
            row.connect_errors = policy->connect_errors ? 1 : -1;
            row.budget_percent = policy->budget_percent == 0 ? -1 : policy->budget_percent;
        }
        detail::check([&](hangup_error **e) {
            return hangup_client_set_retry_policy(handle_.get(), policy ? &row : nullptr, e);
        });
        return *this;
    }
    Client set_retry_policy(const std::optional<RetryPolicy> &policy) && { return std::move(set_retry_policy(policy)); }
    /** Whether a HTTP proxy gets the user and the password of its URL as answers to its challenges, not as Basic. */
    Client &set_proxy_digest(bool on) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_proxy_digest(handle_.get(), on ? 1 : 0, e); });
        return *this;
    }
    Client set_proxy_digest(bool on) && { return std::move(set_proxy_digest(on)); }
    /** Sends this user and password as Basic credentials, to the origin of each request and never to another one. */
    Client &set_auth_basic(std::string_view user, std::string_view password) & {
        const detail::Text u(user, Status::invalid_argument, "user"), p(password, Status::invalid_argument, "password");
        detail::check([&](hangup_error **e) { return hangup_client_set_auth_basic(handle_.get(), u, p, e); });
        return *this;
    }
    Client set_auth_basic(std::string_view user, std::string_view password) && { return std::move(set_auth_basic(user, password)); }
    /** Answers challenges with this user and password (digest authentication, RFC 7616), to the origin of each request and never to another one. */
    Client &set_auth_digest(std::string_view user, std::string_view password) & {
        const detail::Text u(user, Status::invalid_argument, "user"), p(password, Status::invalid_argument, "password");
        detail::check([&](hangup_error **e) { return hangup_client_set_auth_digest(handle_.get(), u, p, e); });
        return *this;
    }
    Client set_auth_digest(std::string_view user, std::string_view password) && { return std::move(set_auth_digest(user, password)); }
    /** Sends this bearer token, to the origin of each request and never to another one. */
    Client &set_auth_bearer(std::string_view token) & {
        const detail::Text t(token, Status::invalid_argument, "token");
        detail::check([&](hangup_error **e) { return hangup_client_set_auth_bearer(handle_.get(), t, e); });
        return *this;
    }
    Client set_auth_bearer(std::string_view token) && { return std::move(set_auth_bearer(token)); }
    /** Sends the users and passwords of a netrc file to the hosts that it names; nothing is $NETRC or ~/.netrc. */
    Client &set_auth_netrc(std::optional<std::string_view> path = std::nullopt) & {
        const detail::OptionalText f(path, Status::invalid_argument, "path");
        detail::check([&](hangup_error **e) { return hangup_client_set_auth_netrc(handle_.get(), f, e); });
        return *this;
    }
    Client set_auth_netrc(std::optional<std::string_view> path = std::nullopt) && { return std::move(set_auth_netrc(path)); }
    /** Sends the bearer tokens that this function gives, and asks it once more after a 401. */
    Client &set_auth_token(TokenProvider provide) & {
        auto user_data = std::make_unique<TokenProvider>(std::move(provide));
        detail::check([&](hangup_error **e) {
            return hangup_client_set_auth_token(handle_.get(), detail::give_token, detail::end_tokens, user_data.release(), e);
        });
        return *this;
    }
    Client set_auth_token(TokenProvider provide) && { return std::move(set_auth_token(std::move(provide))); }
    /** Sends no credentials of the client any more. */
    Client &clear_auth() & {
        detail::check(hangup_client_clear_auth(handle_.get()));
        return *this;
    }
    Client clear_auth() && { return std::move(clear_auth()); }
    /** Asks for gzip, deflate, br and zstd, and decodes them. */
    Client &set_decode(bool on) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_decode(handle_.get(), on ? 1 : 0, e); });
        return *this;
    }
    Client set_decode(bool on) && { return std::move(set_decode(on)); }
    /** How many content codings, one over the other, are decoded; HANGUP_NO_LIMIT: any number. Default: 2. */
    Client &set_max_codings(std::int64_t max) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_max_codings(handle_.get(), max, e); });
        return *this;
    }
    Client set_max_codings(std::int64_t max) && { return std::move(set_max_codings(max)); }
    /** The largest body that is read as a whole without a bound of its own; HANGUP_NO_LIMIT: any size. Default: 256 MiB. */
    Client &set_max_body(std::int64_t bytes) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_max_body(handle_.get(), bytes, e); });
        return *this;
    }
    Client set_max_body(std::int64_t bytes) && { return std::move(set_max_body(bytes)); }
    /** Keeps cookies, or stops and forgets them. */
    Client &set_cookies(bool on) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_cookies(handle_.get(), on ? 1 : 0, e); });
        return *this;
    }
    Client set_cookies(bool on) && { return std::move(set_cookies(on)); }
    /** Adds a cookie, "name=value; attributes", as if a response from that URL had set it. */
    Client &add_cookie(std::string_view url, std::string_view cookie) & {
        const detail::Text u(url, Status::invalid_url, "URL"), c(cookie, Status::invalid_argument, "cookie");
        detail::check([&](hangup_error **e) { return hangup_client_add_cookie(handle_.get(), u, c, e); });
        return *this;
    }
    Client add_cookie(std::string_view url, std::string_view cookie) && { return std::move(add_cookie(url, cookie)); }
    /** The Cookie header that a request for that URL would have; empty if none. */
    [[nodiscard]] std::string cookies_for(std::string_view url) const {
        const detail::Text u(url, Status::invalid_url, "URL");
        hangup_string *text = nullptr;
        detail::check([&](hangup_error **e) { return hangup_client_cookies_for(handle_.get(), u, &text, e); });
        const detail::Handle<hangup_string, hangup_string_free> owned(text);
        return hangup_string_value(owned.get(), nullptr);
    }
    /** Whether Secure cookies are set by and sent to localhost without TLS, too. */
    Client &set_secure_cookies_on_localhost(bool on) & {
        detail::check([&](hangup_error **e) {
            return hangup_client_set_secure_cookies_on_localhost(handle_.get(), on ? 1 : 0, e);
        });
        return *this;
    }
    Client set_secure_cookies_on_localhost(bool on) && { return std::move(set_secure_cookies_on_localhost(on)); }
    /** The cookies that are kept and have not expired, by domain, path and name. */
    [[nodiscard]] std::vector<Cookie> cookies() const {
        hangup_cookies *list = nullptr;
        detail::check([&](hangup_error **e) { return hangup_client_cookies(handle_.get(), &list, e); });
        const detail::Handle<hangup_cookies, hangup_cookies_free> owned(list);
        std::vector<Cookie> found;
        for (std::size_t i = 0; i < hangup_cookies_count(owned.get()); i++) {
            hangup_cookie_info row = HANGUP_COOKIE_INFO_INIT;
            detail::check(hangup_cookies_at(owned.get(), i, &row));
            std::optional<std::chrono::system_clock::time_point> expires;
            if (row.expires >= 0) {
                // A later time than the clock can show is its last one.
                using clock = std::chrono::system_clock;
                const auto most = std::chrono::duration_cast<std::chrono::seconds>(clock::time_point::max().time_since_epoch());
                const std::chrono::seconds since(row.expires);
                expires = since < most ? clock::time_point(std::chrono::duration_cast<clock::duration>(since)) : clock::time_point::max();
            }
            found.push_back(Cookie{row.name, std::string(row.value, row.value_size), row.domain, row.path, expires,
                                   row.host_only != 0, row.secure != 0, row.http_only != 0});
        }
        return found;
    }
    /** Writes the cookies into a file that only its owner can read. */
    void save_cookies(std::string_view path, CookieFormat format = CookieFormat::netscape) const {
        const detail::Text p(path, Status::invalid_argument, "path");
        const auto c = static_cast<hangup_cookie_format>(format);
        detail::check([&](hangup_error **e) { return hangup_client_save_cookies(handle_.get(), p, c, e); });
    }
    /** Adds the cookies of a file in either format. */
    Client &load_cookies(std::string_view path) & {
        const detail::Text p(path, Status::invalid_argument, "path");
        detail::check([&](hangup_error **e) { return hangup_client_load_cookies(handle_.get(), p, e); });
        return *this;
    }
    Client load_cookies(std::string_view path) && { return std::move(load_cookies(path)); }
    Client &clear_cookies() & {
        detail::check(hangup_client_clear_cookies(handle_.get()));
        return *this;
    }
    Client clear_cookies() && { return std::move(clear_cookies()); }
    /** Calls this function with a record of every head, every piece of a body and what happens to the connections of this
     * client's requests; without one nothing is recorded. See hangup_client_set_trace. An exception of it is dropped. */
    Client &set_trace(std::function<void(const TraceRecord &)> record, bool bodies = false) & {
        const bool any = static_cast<bool>(record);
        auto user_data = std::make_unique<std::function<void(const TraceRecord &)>>(std::move(record));
        detail::check([&](hangup_error **e) {
            return hangup_client_set_trace(handle_.get(), any ? traced : nullptr, end_trace, user_data.release(), bodies, e);
        });
        return *this;
    }
    Client set_trace(std::function<void(const TraceRecord &)> record, bool bodies = false) && {
        return std::move(set_trace(std::move(record), bodies));
    }
    /** Appends each record as text to this file; nothing records nothing. See hangup_client_set_trace_file. */
    Client &set_trace_file(std::optional<std::string_view> path, bool bodies = false) & {
        const detail::OptionalText p(path, Status::invalid_argument, "path");
        detail::check([&](hangup_error **e) { return hangup_client_set_trace_file(handle_.get(), p, bodies, e); });
        return *this;
    }
    Client set_trace_file(std::optional<std::string_view> path, bool bodies = false) && {
        return std::move(set_trace_file(path, bodies));
    }
    /** Sends every request through this proxy, "[scheme://][user:password@]host[:port]"; nothing uses none. */
    Client &set_proxy(std::optional<std::string_view> proxy) & {
        const detail::OptionalText p(proxy, Status::invalid_argument, "proxy");
        detail::check([&](hangup_error **e) { return hangup_client_set_proxy(handle_.get(), p, e); });
        return *this;
    }
    Client set_proxy(std::optional<std::string_view> proxy) && { return std::move(set_proxy(proxy)); }
    /** Takes the proxies from the environment as it is now, as a new client does. */
    Client &set_proxy_from_env() & {
        detail::check([&](hangup_error **e) { return hangup_client_set_proxy_from_env(handle_.get(), e); });
        return *this;
    }
    Client set_proxy_from_env() && { return std::move(set_proxy_from_env()); }
    /** The hosts that are reached without a proxy, separated by commas. */
    Client &set_no_proxy(std::string_view list) & {
        const detail::Text l(list, Status::invalid_argument, "list");
        detail::check([&](hangup_error **e) { return hangup_client_set_no_proxy(handle_.get(), l, e); });
        return *this;
    }
    Client set_no_proxy(std::string_view list) && { return std::move(set_no_proxy(list)); }
    /** Connects from this address of the machine; nothing lets the system choose. */
    Client &set_local_address(std::optional<std::string_view> address) & {
        const detail::OptionalText a(address, Status::invalid_argument, "address");
        detail::check([&](hangup_error **e) { return hangup_client_set_local_address(handle_.get(), a, e); });
        return *this;
    }
    Client set_local_address(std::optional<std::string_view> address) && { return std::move(set_local_address(address)); }
    /** The entries of the environment's no_proxy that were passed over, separated by commas. */
    [[nodiscard]] std::string ignored_no_proxy() const {
        hangup_string *entries = nullptr;
        detail::check([&](hangup_error **e) { return hangup_client_ignored_no_proxy(handle_.get(), &entries, e); });
        const detail::Handle<hangup_string, hangup_string_free> owned(entries);
        return hangup_string_value(owned.get(), nullptr);
    }
    /** Connects through this network interface, such as "eth0"; nothing lets the system choose. */
    Client &set_interface(std::optional<std::string_view> name) & {
        const detail::OptionalText n(name, Status::invalid_argument, "interface");
        detail::check([&](hangup_error **e) { return hangup_client_set_interface(handle_.get(), n, e); });
        return *this;
    }
    Client set_interface(std::optional<std::string_view> name) && { return std::move(set_interface(name)); }
    /** Connects to addresses of one family only. */
    Client &set_address_family(AddressFamily family) & {
        const auto c = static_cast<hangup_address_family>(family);
        detail::check([&](hangup_error **e) { return hangup_client_set_address_family(handle_.get(), c, e); });
        return *this;
    }
    Client set_address_family(AddressFamily family) && { return std::move(set_address_family(family)); }
    /** How long an attempt at one address has before the next one is tried beside it; no_limit: until it failed. The last
     * address gets a second attempt after 300 ms, or after this delay if it is longer; with no_limit it gets none. */
    Client &set_happy_eyeballs_delay(Limit delay) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_happy_eyeballs_delay(handle_.get(), delay.ms(), e); });
        return *this;
    }
    Client set_happy_eyeballs_delay(Limit delay) && { return std::move(set_happy_eyeballs_delay(delay)); }
    /** Connects an origin ("host:port", "host", "*:port", "*") to another place ("host:port", "host", ":port", "unix:/path"). */
    Client &add_connect_to(std::string_view origin, std::string_view place,
                           std::optional<std::string_view> server_name = std::nullopt) & {
        const detail::Text o(origin, Status::invalid_argument, "origin"), p(place, Status::invalid_argument, "place");
        const detail::OptionalText n(server_name, Status::invalid_argument, "server name");
        detail::check([&](hangup_error **e) { return hangup_client_add_connect_to(handle_.get(), o, p, n, e); });
        return *this;
    }
    Client add_connect_to(std::string_view origin, std::string_view place,
                          std::optional<std::string_view> server_name = std::nullopt) && {
        return std::move(add_connect_to(origin, place, server_name));
    }
    /** Removes what add_connect_to added. */
    Client &clear_connect_to() & {
        detail::check(hangup_client_clear_connect_to(handle_.get()));
        return *this;
    }
    Client clear_connect_to() && { return std::move(clear_connect_to()); }
    /** Makes connections by this function; without one, the library connects again. */
    Client &set_connector(Connector connect) & {
        const bool any = static_cast<bool>(connect);
        auto user_data = std::make_unique<Connector>(std::move(connect));
        detail::check([&](hangup_error **e) {
            return hangup_client_set_connector(handle_.get(), any ? call_connector : nullptr, end_connector, user_data.release(), e);
        });
        return *this;
    }
    Client set_connector(Connector connect) && { return std::move(set_connector(std::move(connect))); }
    /** Opens connections until so many connections to the URL's origin are idle; returns how many dials were started. */
    std::size_t preconnect(std::string_view url, std::size_t wanted) const {
        const detail::Text u(url, Status::invalid_url, "URL");
        std::size_t begun = 0;
        detail::check([&](hangup_error **e) {
            return hangup_client_preconnect(handle_.get(), u, wanted, &begun, e);
        });
        return begun;
    }
    /** The TLS settings of requests that have none of their own, as they are now. */
    Client &set_tls(const Tls &tls) & {
        detail::check([&](hangup_error **e) { return hangup_client_set_tls(handle_.get(), detail::made(tls.handle()), e); });
        return *this;
    }
    Client set_tls(const Tls &tls) && { return std::move(set_tls(tls)); }
    /** Trusts these certificates (PEM) and no others: Tls::set_roots for this client's settings. */
    Client &set_tls_roots(std::string_view pem) & {
        detail::check([&](hangup_error **e) {
            return hangup_client_set_tls_roots(handle_.get(), detail::bytes(pem), pem.size(), e);
        });
        return *this;
    }
    Client set_tls_roots(std::string_view pem) && { return std::move(set_tls_roots(pem)); }
    Client &set_tls_roots_file(std::string_view path) & {
        const detail::Text p(path, Status::invalid_argument, "path");
        detail::check([&](hangup_error **e) { return hangup_client_set_tls_roots_file(handle_.get(), p, e); });
        return *this;
    }
    Client set_tls_roots_file(std::string_view path) && { return std::move(set_tls_roots_file(path)); }
    /** Presents this certificate (PEM, with its chain) to servers that ask for one. */
    Client &set_tls_certificate(std::string_view certificate_pem, std::string_view key_pem) & {
        detail::check([&](hangup_error **e) {
            return hangup_client_set_tls_certificate(handle_.get(), detail::bytes(certificate_pem), certificate_pem.size(),
                                                 detail::bytes(key_pem), key_pem.size(), e);
        });
        return *this;
    }
    Client set_tls_certificate(std::string_view certificate_pem, std::string_view key_pem) && {
        return std::move(set_tls_certificate(certificate_pem, key_pem));
    }
    /** Accepts any certificate: for tests against local servers only. */
    Client &set_tls_dangerously_accept_any_certificate(bool on) & {
        detail::check([&](hangup_error **e) {
            return hangup_client_set_tls_dangerously_accept_any_certificate(handle_.get(), on ? 1 : 0, e);
        });
        return *this;
    }
    Client set_tls_dangerously_accept_any_certificate(bool on) && { return std::move(set_tls_dangerously_accept_any_certificate(on)); }

    /** GET; `total` bounds everything, the body's last byte included. Blocks until the head is there. */
    [[nodiscard]] Response get(std::string_view url, Limit total = no_limit) const {
        const detail::Text u(url, Status::invalid_url, "URL");
        hangup_response *response = nullptr;
        detail::check([&](hangup_error **e) {
            return hangup_client_get(handle_.get(), u, total.ms(), &response, e);
        });
        return Response(response);
    }
    /** Sends a request and waits for the response head. Rethrows an exception of a reader of the body. */
    [[nodiscard]] Response send(Request &request) const {
        hangup_response *response = nullptr;
        hangup_error *error = nullptr;
        const hangup_status status = hangup_client_send(handle_.get(), request.handle(), &response, &error);
        const auto readers = std::exchange(request.readers_, {});
        if (status != HANGUP_OK) {
            const Error failure(status, error);
            for (const auto &reader : readers) {
                if (reader->thrown) {
                    std::rethrow_exception(reader->thrown);
                }
            }
            throw failure;
        }
        return Response(response);
    }
    [[nodiscard]] Response send(Request &&request) const { return send(request); }

    /** Sends a request in the background: its outcome arrives in the queue as CompletionType::response, with this tag. Never
     *  blocks. An exception of a reader of the body is reported as Status::body_failed. */
    void submit(Request &request, const Queue &queue, std::uint64_t tag) const {
        detail::check([&](hangup_error **e) {
            return hangup_client_submit(handle_.get(), request.handle(), queue.handle(), tag, e);
        });
        // The library's thread has it now.
        request.readers_.clear();
    }
    void submit(Request &&request, const Queue &queue, std::uint64_t tag) const { submit(request, queue, tag); }

    /** Another owner of its manager. */
    [[nodiscard]] Manager manager() const { return Manager(hangup_client_manager(handle_.get())); }
    [[nodiscard]] hangup_client *handle() const noexcept { return handle_.get(); }

private:
    static void traced(void *user_data, const hangup_trace_record *row) noexcept {
        try {
            using std::chrono::system_clock;
            const auto since = std::chrono::duration_cast<system_clock::duration>(std::chrono::nanoseconds(row->time_ns));
            const std::string_view data(reinterpret_cast<const char *>(row->data), row->data_size);
            (*static_cast<std::function<void(const TraceRecord &)> *>(user_data))(
                {static_cast<TraceType>(row->type), system_clock::time_point(since), row->connection_id, row->length, data});
        } catch (...) {
            return;
        }
    }
    static void end_trace(void *user_data) noexcept {
        delete static_cast<std::function<void(const TraceRecord &)> *>(user_data);
    }
    static std::int32_t call_connector(void *user_data, const char *origin, const char *host, std::int32_t port) noexcept {
        try {
            return (*static_cast<const Connector *>(user_data))(ConnectRequest{origin, host, port});
        } catch (const std::system_error &error) {
            const bool is_errno = error.code().category() == std::generic_category() || error.code().category() == std::system_category();
            return is_errno && error.code().value() > 0 ? -error.code().value() : std::numeric_limits<std::int32_t>::min();
        } catch (...) {
            return std::numeric_limits<std::int32_t>::min();
        }
    }
    static void end_connector(void *user_data) noexcept { delete static_cast<Connector *>(user_data); }

    Client(hangup_manager *manager, int) {
        hangup_client *client = nullptr;
        detail::check([&](hangup_error **e) { return hangup_client_new(manager, &client, e); });
        handle_.reset(client);
    }

    detail::Handle<hangup_client, hangup_client_free> handle_;
};

/**
 * How many I/O threads of the library run submitted requests, for the whole process; see hangup_set_io_threads.
 * Throws Status::invalid_argument.
 */
inline void set_io_threads(std::size_t count) {
    detail::check([&](hangup_error **e) { return hangup_set_io_threads(count, e); });
}

/**
 * A check that blocking calls of its thread run when a signal interrupted the wait, and every `tick`.
 * Returning true ends the call, which throws Status::cancelled with the reason "interrupted"; so does throwing, as an
 * exception can't pass through C.
 *
 * A thread has one: a second one replaces the first, and the destruction of either removes it.
 * Threads: begins and ends on the thread that it is for.
 */
class [[nodiscard]] InterruptCheck {
public:
    explicit InterruptCheck(std::function<bool()> ask, Limit tick = no_limit) : ask_(std::move(ask)) {
        detail::check(hangup_set_interrupt_check(call, this, tick.ms()));
    }
    InterruptCheck(const InterruptCheck &) = delete;
    InterruptCheck &operator=(const InterruptCheck &) = delete;
    ~InterruptCheck() { hangup_set_interrupt_check(nullptr, nullptr, HANGUP_NO_LIMIT); }

private:
    static std::int32_t call(void *user_data) noexcept {
        try {
            return static_cast<InterruptCheck *>(user_data)->ask_() ? 1 : 0;
        } catch (...) {
            return 1;
        }
    }

    std::function<bool()> ask_;
};

} // namespace hangup

#undef HANGUP_LIFETIMEBOUND

#endif // HANGUP_HPP
