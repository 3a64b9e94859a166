/**
 * bindings/cpp/hangup.hpp at work: what it adds to the C ABI (ownership, exceptions, durations, readers that throw), and
 * that each function of it calls the right one of C. Servers: `hello` answers 200 "hello" for ever, `echo` answers with
 * the request's head, `body` with its body, `silent` never answers, `half` sends a head and ten bytes and then nothing;
 * `moves` and `gzip` as in policy.c, `breaks` closes at the second request.
 */
#include "check.hpp"
#include <unistd.h>

#include <hangup.hpp>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

// Owners move and do not copy; an error copies without throwing, as an exception must.
static_assert(!std::is_copy_constructible_v<hangup::Manager> && std::is_nothrow_move_constructible_v<hangup::Manager>);
static_assert(!std::is_copy_constructible_v<hangup::Client> && std::is_nothrow_move_assignable_v<hangup::Client>);
static_assert(!std::is_copy_constructible_v<hangup::Request> && std::is_nothrow_move_constructible_v<hangup::Request>);
static_assert(!std::is_copy_constructible_v<hangup::Response> && std::is_nothrow_move_assignable_v<hangup::Response>);
static_assert(!std::is_copy_constructible_v<hangup::CancelToken>);
static_assert(!std::is_copy_constructible_v<hangup::Events> && std::is_nothrow_move_constructible_v<hangup::Events>);
static_assert(!std::is_move_constructible_v<hangup::InterruptCheck>);
static_assert(std::is_nothrow_copy_constructible_v<hangup::Error>);

// Times: rounded up, never by accident "no limit".
static_assert(hangup::Limit(2s).ms() == 2000 && hangup::Limit(1us).ms() == 1 && hangup::Limit(0s).ms() == 0);
static_assert(hangup::Limit(1500us).ms() == 2 && hangup::Limit(hangup::no_limit).ms() == HANGUP_NO_LIMIT);
static_assert(hangup::Limit(std::nullopt).ms() == HANGUP_NO_LIMIT && hangup::Limit(std::optional(3s)).ms() == 3000);
static_assert(hangup::Limit(-1ms).ms() < -1 && hangup::Limit(std::chrono::hours::max()).ms() == INT64_MAX);
template <class Rep>
constexpr std::int64_t ms_of(Rep seconds) {
    return hangup::Limit(std::chrono::duration<Rep>(seconds)).ms();
}
static_assert(ms_of(std::numeric_limits<double>::quiet_NaN()) == INT64_MIN);
static_assert(ms_of(-std::numeric_limits<float>::quiet_NaN()) == INT64_MIN && ms_of(-1e300) == INT64_MIN);
static_assert(ms_of(std::numeric_limits<double>::infinity()) == INT64_MAX && ms_of(1e300) == INT64_MAX);
static_assert(hangup::Limit(std::optional(std::chrono::duration<double>(std::nan("")))).ms() == INT64_MIN);

// Text is a view of an object that stays, and a string of one that does not, const or not.
using hangup::Client;
using hangup::Request;
using hangup::Response;
template <class Of, class View, class Text, class Ask>
constexpr bool is_safe(Ask) {
    return std::is_same_v<std::invoke_result_t<Ask, Of &>, View> && std::is_same_v<std::invoke_result_t<Ask, Of>, Text>;
}
#define ASK(call) [](auto &&of) -> decltype(auto) { return std::forward<decltype(of)>(of).call; }
using View = std::string_view;
using Text = hangup::OwnedText;
static_assert(is_safe<Response, View, Text>(ASK(read_all(1))));
static_assert(is_safe<Response, View, Text>(ASK(url())) && is_safe<const Response, View, Text>(ASK(url())));
static_assert(is_safe<Response, std::optional<View>, std::optional<Text>>(ASK(header("a"))));
static_assert(is_safe<const Response, std::optional<View>, std::optional<Text>>(ASK(header("a"))));
static_assert(is_safe<Response, std::vector<std::pair<View, View>>, std::vector<std::pair<std::string, std::string>>>(ASK(headers())));
static_assert(is_safe<Response, std::vector<std::pair<View, View>>, std::vector<std::pair<std::string, std::string>>>(ASK(raw_headers())));
static_assert(is_safe<Response, std::vector<std::pair<View, View>>, std::vector<std::pair<std::string, std::string>>>(ASK(trailers())));
static_assert(is_safe<Response, std::vector<View>, std::vector<std::string>>(ASK(header_values("a"))));
static_assert(is_safe<Response, View, Text>(ASK(reason())) && is_safe<Response, View, Text>(ASK(raw_head())));
static_assert(is_safe<Request, View, Text>(ASK(method())));
static_assert(is_safe<hangup::Error, View, Text>(ASK(message())));
static_assert(is_safe<const hangup::Error, std::optional<View>, std::optional<Text>>(ASK(reason())));
// That string is one, and does not become a view before it has a name.
static_assert(std::is_convertible_v<Text, std::string> && std::is_convertible_v<Text &, View>);
static_assert(!std::is_constructible_v<View, Text> && !std::is_constructible_v<View, const Text>);
static_assert(std::is_convertible_v<std::optional<Text>, std::optional<std::string>>);

// A setter returns the object that it was called on: a reference to one that stays, and a temporary as a value.
template <class Of, class Ask>
constexpr bool is_chain(Ask ask) {
    return is_safe<Of, Of &, Of>(ask);
}
static_assert(is_chain<Request>(ASK(add_header("a", "b"))) && is_chain<Request>(ASK(set_body("a"))));
static_assert(is_chain<Request>(ASK(set_body_moved("a"))));
static_assert(is_chain<Request>(ASK(remove_header("a"))) && is_chain<Request>(ASK(set_target("*"))));
static_assert(is_chain<Request>(ASK(set_body([](char *, std::size_t) { return std::size_t(0); }))));
static_assert(is_chain<Request>(ASK(set_body_file("a"))) && is_chain<Request>(ASK(set_timeout(hangup::Timeout::total, 1s))));
static_assert(is_chain<Request>(ASK(set_min_rate(1, 1s))) && is_chain<Request>(ASK(set_connection_mode(hangup::ConnectionMode::keep))));
static_assert(is_chain<Request>(ASK(set_retries(true))) && is_chain<Request>(ASK(set_redirects(1))));
static_assert(is_chain<Request>(ASK(set_buffer_up_to(1))));
static_assert(is_chain<Request>(ASK(set_buffer_body(1))) && is_chain<Request>(ASK(without_cancel())));
static_assert(is_chain<Request>(ASK(set_cancel(hangup::CancelToken()))));
static_assert(is_chain<Client>(ASK(set_timeout(hangup::Timeout::total, 1s))) && is_chain<Client>(ASK(set_header("a", "b"))));
static_assert(is_chain<Client>(ASK(set_connection_mode(hangup::ConnectionMode::keep))) && is_chain<Client>(ASK(set_max_head(1))));
static_assert(is_chain<Client>(ASK(set_redirects(1))) && is_chain<Client>(ASK(add_sensitive_header("a"))));
static_assert(is_chain<Client>(ASK(set_retries(true))) && is_chain<Client>(ASK(set_detect_lost_connections(true))) && is_chain<Client>(ASK(set_decode(true))));
static_assert(is_chain<Client>(ASK(set_max_codings(1))) && is_chain<Client>(ASK(set_max_body(1))));
static_assert(is_chain<Request>(ASK(set_decode(true))));
static_assert(is_chain<Client>(ASK(set_cookies(true))) && is_chain<Client>(ASK(add_cookie("a", "b"))));
static_assert(is_chain<Client>(ASK(set_auth_basic("a", "b"))) && is_chain<Client>(ASK(set_auth_bearer("a"))));
static_assert(is_chain<Client>(ASK(set_auth_digest("a", "b"))) && is_chain<Client>(ASK(set_auth_netrc("a"))));
static_assert(is_chain<Client>(ASK(set_auth_token(nullptr))) && is_chain<Client>(ASK(clear_auth())));
static_assert(is_chain<Client>(ASK(set_proxy_digest(true))) && is_chain<Client>(ASK(set_retry_policy(std::nullopt))));
static_assert(is_chain<Client>(ASK(set_secure_cookies_on_localhost(true))) && is_chain<Client>(ASK(load_cookies("a"))));
static_assert(is_chain<Client>(ASK(clear_cookies())) && is_chain<Client>(ASK(set_proxy("a"))));
static_assert(is_chain<Client>(ASK(set_proxy_from_env())) && is_chain<Client>(ASK(set_no_proxy("a"))));
static_assert(is_chain<Client>(ASK(set_local_address("a"))) && is_chain<Client>(ASK(set_tls_roots("a"))));
static_assert(is_chain<Client>(ASK(set_tls_roots_file("a"))) && is_chain<Client>(ASK(set_tls_certificate("a", "b"))));
static_assert(is_chain<Client>(ASK(set_tls_dangerously_accept_any_certificate(true))));
static_assert(is_chain<Client>(ASK(set_tls(hangup::Tls()))) && is_chain<Request>(ASK(set_tls(hangup::Tls()))));
static_assert(is_chain<hangup::Tls>(ASK(set_roots("a"))) && is_chain<hangup::Tls>(ASK(add_roots("a"))));
static_assert(is_chain<hangup::Tls>(ASK(set_roots_path("a"))) && is_chain<hangup::Tls>(ASK(add_roots_path("a"))));
static_assert(is_chain<hangup::Tls>(ASK(set_certificate("a", "b"))) && is_chain<hangup::Tls>(ASK(add_pin("a"))));
static_assert(is_chain<hangup::Tls>(ASK(set_versions(hangup::TlsVersion::tls12, hangup::TlsVersion::tls13))));
static_assert(is_chain<hangup::Tls>(ASK(set_server_name("a"))) && is_chain<hangup::Tls>(ASK(set_key_log("a"))));
static_assert(is_chain<hangup::Tls>(ASK(set_key_log_from_env())));
static_assert(is_chain<hangup::Tls>(ASK(set_dangerously_accept_any_certificate(true))));
static_assert(is_chain<hangup::Manager>(ASK(set_limit(HANGUP_LIMIT_TOTAL, 1))) && is_chain<hangup::Manager>(ASK(set_address("a", "b"))));
static_assert(is_chain<Client>(ASK(set_interface("lo"))) && is_chain<Client>(ASK(set_address_family(hangup::AddressFamily::any))));
static_assert(is_chain<Client>(ASK(set_happy_eyeballs_delay(1s))) && is_chain<Client>(ASK(add_connect_to("a", "b"))));
static_assert(is_chain<Client>(ASK(clear_connect_to())) && is_chain<Client>(ASK(set_connector(hangup::Connector()))));
static_assert(is_chain<hangup::Manager>(ASK(set_resolver(hangup::Resolver()))));
static_assert(is_chain<hangup::Options>(ASK(set_limit(HANGUP_LIMIT_TOTAL, 1))) && is_chain<hangup::CancelToken>(ASK(fire_after(1s))));

// Nothing that is borrowed from a list can be had of a temporary one.
template <class Of, class = void>
constexpr bool has_begin = false;
template <class Of>
constexpr bool has_begin<Of, std::void_t<decltype(std::declval<Of>().begin())>> = true;
static_assert(has_begin<hangup::Connections &> && !has_begin<hangup::Connections>);

namespace {

/// What a call throws; the end of the program if it does not.
template <class Call>
hangup::Error failure_of(Call &&call) {
    try {
        call();
    } catch (const hangup::Error &error) {
        CHECK(std::strlen(error.what()) > 0);
        return error;
    }
    std::cerr << "a call that should fail did not\n";
    std::exit(1);
}

void a_connection_is_used_again_and_seen() {
    hangup::Manager manager;
    hangup::Client client(manager);
    std::uint64_t connection = 0;
    for (int i = 0; i < 2; i++) {
        hangup::Response response = client.get(given("hello"), 5s);
        CHECK(response.status() == 200 && response.version() == 11 && response.reused() == (i == 1));
        CHECK(response.read_all() == "hello" && response.read_all() == "hello");
        CHECK(response.header("Content-LENGTH") == "5" && !response.header("absent"));
        CHECK(!response.headers().empty() && response.url() == given("hello"));
        CHECK(response.reason() == "OK" && response.content_length() == 5);
        CHECK(response.header_values("content-length").size() == 1 && response.header_values("absent").empty());
        CHECK(response.raw_headers().size() == response.headers().size());
        CHECK(response.raw_head().substr(0, 17) == "HTTP/1.1 200 OK\r\n");
        CHECK(response.interim_responses().empty() && response.trailers().empty());
        const hangup::ConnectionFacts facts = response.connection_facts();
        CHECK(facts.id == response.connection_id() && given("hello").find(facts.peer) != std::string::npos);
        CHECK(facts.tls_version.empty() && facts.certificates.empty() && !facts.resumed);
        CHECK(manager.connections().facts(0).local == facts.local);
        CHECK(i == 0 || response.connection_id() == connection);
        connection = response.connection_id();
        const hangup::Timings timings = response.timings();
        CHECK(timings.connect.has_value() == (i == 0) && !timings.tls && timings.total >= timings.head);
    }
    const hangup::Connections list = manager.connections();
    CHECK(list.size() == 1 && !list.empty());
    for (const hangup::ConnectionInfo &info : list) {
        CHECK(info.id == connection && info.state == hangup::ConnectionState::idle && info.idle && info.requests == 2);
        CHECK(given("hello").compare(0, info.origin.size(), info.origin) == 0 && !info.closing && info.tls.empty());
        CHECK(hangup::to_string(info.state) == "idle");
    }
    CHECK(manager.stats().reused == 1);
    CHECK(!manager.close_reason(connection));
    manager.close(connection);
    CHECK(manager.close_reason(connection) == hangup::CloseReason::closed_by_id);
    CHECK(hangup::to_string(hangup::CloseReason::peer_reset) == "peer reset");
    CHECK(failure_of([&] { manager.close(connection); }).status() == hangup::Status::not_found);
    CHECK(manager.connections().empty());
}

void text_of_a_temporary_is_a_string() {
    hangup::Manager manager;
    hangup::Client client(manager);
    auto body = client.get(given("hello")).read_all();
    auto length = client.get(given("hello")).header("content-length");
    auto headers = client.get(given("hello")).headers();
    auto url = client.get(given("hello")).url();
    auto hops = client.get(given("moves")).history();
    auto method = hangup::Request("OPTIONS", given("hello")).method();
    client.get(given("hello")).read_all();
    auto info = manager.connections()[0];
    CHECK(info.tcp_facts && info.tcp_facts->rtt && info.tcp_facts->unanswered_probes == 0);
    auto event = [] {
        hangup::Manager other;
        hangup::Events events = other.events();
        hangup::Client(other).get(given("hello")).read_all();
        return events.next();
    }();
    auto message = failure_of([&] { (void)client.get("http://host:none/"); }).message();
    auto reason = failure_of([&] {
                      hangup::CancelToken token;
                      token.fire("a reason that is longer than a short string");
                      (void)client.send(hangup::Request("GET", given("hello")).set_cancel(token));
                  }).reason();
    const std::string as_string = client.get(given("hello")).read_all();
    CHECK(as_string == "hello" && client.get(given("hello")).read_all() == std::string_view("hello"));
    CHECK(std::string_view("hello") == client.get(given("hello")).read_all() && body != std::string_view("other"));
    CHECK(client.get(given("hello")).read_all() == as_string && "hello" == client.get(given("hello")).read_all());
    CHECK(client.get(given("hello")).read_all() != "other" && std::string_view(body) == "hello");
    // What was borrowed from would be gone by now.
    CHECK(body == "hello" && length == "5" && !headers.empty() && !headers[0].first.empty());
    CHECK(url == given("hello") && hops.size() == 1 && hops[0].url == given("moves") && method == "OPTIONS");
    CHECK(given("hello").compare(0, info.origin.size(), info.origin) == 0 && info.peer.substr(0, 10) == "127.0.0.1:");
    CHECK(event && event->origin.substr(0, 7) == "http://" && !message.empty());
    CHECK(reason == "a reason that is longer than a short string");
    for (const auto &one : manager.connections()) {
        CHECK(one.id != 0);
    }
}

hangup::Request made_in_a_row() {
    return hangup::Request("PUT", given("body")).add_header("X-A", "1").set_body("in a row").set_buffer_body(100);
}

void a_row_of_setters_makes_an_object() {
    hangup::Client client = hangup::Client(hangup::Manager()).set_timeout(hangup::Timeout::total, 10s).set_header("X-B", "2");
    hangup::Request request = made_in_a_row();
    std::vector<hangup::Request> all;
    all.push_back(made_in_a_row());
    CHECK(client.send(request).read_all() == "in a row" && client.send(all[0]).read_all() == "in a row");
    hangup::Request read = hangup::Request("PUT", given("body")).set_body([left = 3](char *into, std::size_t) mutable {
        *into = 'r';
        return left-- > 0 ? std::size_t(1) : std::size_t(0);
    });
    CHECK(client.send(read).read_all() == "rrr");
    hangup::Request moved = hangup::Request("PUT", given("body")).set_body_moved(std::string(100000, 'm'));
    hangup::Response echo = client.send(moved);
    CHECK(echo.read_all() == std::string(100000, 'm'));
    echo.free_body();
    CHECK(failure_of([&] { (void)echo.read_all(); }).status() == hangup::Status::invalid_state);
    CHECK(client.send(moved).read_all().size() == 100000);
    hangup::Response filled = client.send(moved);
    std::string into(*filled.left(), '\0');
    CHECK(filled.read_full(into.data(), into.size()) == 100000 && into == std::string(100000, 'm') && filled.left() == 0U);
    hangup::Response arriving = client.send(moved.set_buffer_body(HANGUP_NO_LIMIT).set_buffer_up_to(9));
    std::string arrived;
    for (std::optional<std::size_t> got = 1; got != std::optional<std::size_t>(0);) {
        got = arriving.read_available(into.data(), into.size());
        arrived.append(into, 0, got.value_or(0));
    }
    CHECK(arrived == std::string(100000, 'm'));
    CHECK(failure_of([&] { (void)client.send(moved).read_full(into.data(), 9, 9); }).status() == hangup::Status::too_large);
    CHECK(hangup::version() == HANGUP_VERSION_TEXT && hangup::has_feature("http1") && !hangup::has_feature("http9"));
    CHECK(hangup::features().find("http1") != std::string_view::npos);
    CHECK(failure_of([&] { hangup::set_io_threads(0); }).status() == hangup::Status::invalid_argument);
    hangup::CancelToken token = hangup::CancelToken().fire_after(1h);
    CHECK(!token.is_fired());
    hangup::Manager limited = hangup::Manager(hangup::Options().set_limit(HANGUP_LIMIT_TOTAL, 3)).set_limit(HANGUP_LIMIT_QUEUE, 4);
    CHECK(limited.limit(HANGUP_LIMIT_TOTAL) == 3 && limited.limit(HANGUP_LIMIT_QUEUE) == 4);
}

void a_time_that_is_none_is_refused() {
    hangup::Client client{hangup::Manager()};
    hangup::CancelToken token;
    hangup::Queue queue;
    const auto none = std::chrono::duration<double>(std::nan(""));
    const auto refused = [](auto &&call) { return failure_of(call).status() == hangup::Status::invalid_timeout; };
    for (const hangup::Limit limit : {hangup::Limit(none), hangup::Limit(-1ms), hangup::Limit(-1h)}) {
        CHECK(refused([&] { (void)client.get(given("hello"), limit); }));
        CHECK(refused([&] { client.set_timeout(hangup::Timeout::read, limit); }));
        CHECK(refused([&] { (void)hangup::Request("GET", given("hello")).set_timeout(hangup::Timeout::total, limit); }));
        CHECK(refused([&] { (void)hangup::Request("GET", given("hello")).set_min_rate(1, limit); }));
        CHECK(refused([&] { token.fire_after(limit); }));
        CHECK(refused([&] { (void)queue.next(limit); }));
        CHECK(refused([&] { (void)client.manager().events().next(limit); }));
        CHECK(refused([&] { client.manager().drain(limit); }));
        CHECK(refused([&] { const hangup::InterruptCheck check([] { return false; }, limit); }));
    }
    CHECK(!token.is_fired());
    const auto told = std::string(failure_of([&] { (void)client.get(given("hello"), none); }).what());
    CHECK(told.find("not a number") != std::string::npos && told.find("9223372036854775808") == std::string::npos);
}

void handles_are_shared_and_moved() {
    hangup::Manager manager, same = manager.share();
    CHECK(manager.id() == same.id() && manager.id() != hangup::Manager::shared().id());
    CHECK(hangup::Client().manager().id() == hangup::Manager::shared().id());
    hangup::Client client(manager);
    CHECK(client.share().manager().id() == manager.id());
    hangup::Manager moved = std::move(manager);
    CHECK(moved.id() == same.id());
    // NOLINTNEXTLINE: that a moved-from object fails well is what is looked at.
    CHECK(failure_of([&] { (void)manager.connections(); }).status() == hangup::Status::null);
    CHECK(failure_of([&] { hangup::Client of_nothing(manager); }).status() == hangup::Status::null);
    manager = moved.share();
    CHECK(manager.id() == same.id());
    hangup::Manager limited(hangup::Options().set_limit(HANGUP_LIMIT_IDLE_TOTAL, 0));
    hangup::Client(limited).get(given("hello")).read_all();
    CHECK(limited.stats().idle == 0 && limited.stats().opened == 1);
    limited.set_limit(HANGUP_LIMIT_IDLE_TOTAL, HANGUP_NO_LIMIT);
    limited.shutdown();
    auto refused = failure_of([&] { (void)hangup::Client(limited).get(given("hello")); });
    CHECK(refused.status() == hangup::Status::shut_down);
}

void settings_reach_the_wire() {
    hangup::Client client{hangup::Manager()};
    client.set_header("X-Default", "1").set_header("X-Gone", "1").set_header("X-Gone", std::nullopt);
    client.set_timeout(hangup::Timeout::total, 10s).set_max_head(10000).set_tls_dangerously_accept_any_certificate(false);
    auto answer = client.send(hangup::Request("GET", given("echo"))
                                  .add_header("X-Own", "2")
                                  .set_timeout(hangup::Timeout::read, hangup::no_limit)
                                  .set_min_rate(1, 30s)
                                  .set_connection_mode(hangup::ConnectionMode::close_after));
    const std::string head(answer.read_all());
    CHECK(head.find("1\r\n") != std::string::npos && head.find("2\r\n") != std::string::npos);
    CHECK(head.find("lose") != std::string::npos && head.find("one") == std::string::npos);
    CHECK(client.manager().connections().empty());
}

void a_request_is_sent_as_it_was_given() {
    hangup::Client client{hangup::Manager()};
    const auto sent = [&](hangup::Request request) { return std::string(client.send(request).read_all()); };
    const std::string url = given("echo");
    hangup::Request bare("GET", url);
    bare.remove_header("accept").remove_header("User-Agent").add_header("hOST", "a.test").add_header("X-b", "1");
    CHECK(sent(bare.clone()) == "GET / HTTP/1.1\r\nhOST: a.test\r\nX-b: 1\r\n\r\n");
    CHECK(sent(bare.clone().set_target("/a/../b'\\")).rfind("GET /a/../b'\\ HTTP/1.1\r\n", 0) == 0);
    CHECK(sent(bare.set_target("*").set_target(std::nullopt).clone()).rfind("GET / HTTP/1.1\r\n", 0) == 0);
    CHECK(sent(hangup::Request::as_given("GET", url + "a\\b/../c")).rfind("GET /a\\b/../c HTTP/1.1\r\n", 0) == 0);
    for (const char *target : {"", "a b"}) {
        CHECK(failure_of([&] { bare.set_target(target); }).status() == hangup::Status::invalid_argument);
    }
    CHECK(failure_of([&] { bare.remove_header("Host"); }).status() == hangup::Status::invalid_header);
}

void bodies_of_every_kind() {
    hangup::Client client;
    hangup::Request request("PUT", given("body"));
    CHECK(request.method() == "PUT");
    CHECK(client.send(request.set_body("text")).read_all() == "text");
    CHECK(client.send(request.clone().set_body("")).read_all().empty());
    for (bool known : {false, true}) {
        std::string left(100000, 'r');
        auto read = [&left](char *into, std::size_t room) {
            const std::size_t now = left.copy(into, room);
            left.erase(0, now);
            return now;
        };
        request.set_body(read, known ? std::optional<std::uint64_t>(left.size()) : std::nullopt);
        CHECK(client.send(request).read_all() == std::string(100000, 'r'));
        CHECK(left.empty());
    }
    char path[] = "/tmp/hangup-cpp-XXXXXX";
    CHECK(mkstemp(path) >= 0);
    std::ofstream(path) << "from a file";
    CHECK(client.send(request.set_body_file(path)).read_all() == "from a file");
    std::remove(path);

    // Not an error of hangup, and not one that a C caller could know.
    struct Mine {
        int number;
    };
    request.set_body([](char *, std::size_t) -> std::size_t { throw Mine{42}; });
    int caught = 0;
    try {
        (void)client.send(request);
    } catch (const Mine &mine) {
        caught = mine.number;
    }
    CHECK(caught == 42);
    auto again = failure_of([&] { (void)client.send(request); });
    CHECK(again.status() == hangup::Status::invalid_state);
}

void errors_tell_all() {
    hangup::Client client{hangup::Manager()};
    auto late = failure_of([&] { (void)client.get(given("silent"), 400ms); });
    CHECK(late.status() == hangup::Status::timed_out && late.phase() == hangup::Phase::head);
    CHECK(late.timeout() == hangup::Timeout::total && hangup::to_string(late.timeout()) == "total");
    CHECK(late.retry_safe() && late.sent() == hangup::Sent::all && late.bytes_sent() > 0);
    CHECK(late.connection_id() != 0 && !late.reused() && !late.response_started() && !late.reason());
    CHECK(late.acknowledged() == hangup::Acknowledged::all && hangup::to_string(*late.acknowledged()) == "all");
    const auto tcp = late.tcp_facts();
    CHECK(tcp && tcp->rtt && tcp->rtt->count() > 0 && tcp->unacked_bytes == 0 && tcp->retransmissions_in_row == 0);
    CHECK(late.message().find("the request was acknowledged, and there is no answer yet") != std::string_view::npos);
    const hangup::Error copy = late;
    CHECK(copy.message() == late.message() && std::string(copy.what()) == late.what());

    auto zero = failure_of([&] { (void)client.get(given("hello"), 0s); });
    CHECK(zero.status() == hangup::Status::invalid_timeout);
    auto less = failure_of([&] { client.set_timeout(hangup::Timeout::head, -1ms); });
    CHECK(less.status() == hangup::Status::invalid_timeout);
    using namespace std::string_view_literals;
    auto nul = failure_of([] { hangup::Request("GET", "http://host/\0hidden"sv); });
    CHECK(nul.status() == hangup::Status::invalid_url && nul.message().find("NUL") != std::string_view::npos);
    CHECK(nul.phase() == hangup::Phase::none && nul.os_code() == 0);
    auto file = failure_of([&] { client.set_tls_roots_file("/no/such/file"); });
    CHECK(file.status() == hangup::Status::system && file.os_code() == ENOENT);
    hangup::Tls tls;
    tls.set_versions(hangup::TlsVersion::tls13, hangup::TlsVersion::tls13).set_server_name("a.test").set_key_log(std::nullopt);
    client.set_tls(tls);
    auto versions = failure_of([&] { tls.set_versions(hangup::TlsVersion::tls13, hangup::TlsVersion::tls12); });
    CHECK(versions.status() == hangup::Status::invalid_argument);
    CHECK(hangup::to_string(hangup::TlsVersion::tls13) == "TLSv1.3");
    auto pin = failure_of([&] { tls.add_pin("sha256//short"); });
    CHECK(pin.message().find("openssl") != std::string_view::npos);
    auto password = failure_of([&] { tls.set_certificate("a", "b", "c\0d"sv); });
    CHECK(password.message().find("NUL") != std::string_view::npos);
    auto roots = failure_of([&] { client.set_tls_roots("junk"); });
    CHECK(roots.status() == hangup::Status::invalid_argument);
}

void cancel_and_close_from_another_thread() {
    hangup::Manager manager;
    hangup::Client client(manager);
    hangup::CancelToken parent;
    auto request = hangup::Request("GET", given("silent")).set_cancel(parent.child()).clone();
    auto wait_for_use = [&manager] {
        for (;;) {
            for (const auto &info : manager.connections()) {
                if (info.state == hangup::ConnectionState::in_use && info.bytes_out > 0) {
                    return;
                }
            }
            std::this_thread::sleep_for(1ms);
        }
    };
    std::thread canceller([&, token = parent.share()] {
        wait_for_use();
        token.fire("user left");
        token.fire();
    });
    auto cancelled = failure_of([&] { (void)client.send(request); });
    canceller.join();
    CHECK(cancelled.status() == hangup::Status::cancelled && cancelled.reason() == "user left" && parent.is_fired());
    CHECK(cancelled.phase() == hangup::Phase::head);
    CHECK(std::string(cancelled.what()).find("user left") != std::string::npos);

    hangup::CancelToken deadline;
    auto token = failure_of([&] { (void)client.send(request.set_cancel(deadline.fire_after(50ms))); });
    CHECK(token.status() == hangup::Status::timed_out && token.timeout() == hangup::Timeout::token);
    request.without_cancel();

    hangup::Response response = client.get(given("half"));
    std::thread closer([&] {
        std::this_thread::sleep_for(50ms);
        response.close(hangup::CloseMode::now);
    });
    char piece[64];
    auto closed = failure_of([&] {
        while (response.read(piece, sizeof piece) > 0) {
        }
    });
    closer.join();
    CHECK(closed.status() == hangup::Status::closed && closed.phase() == hangup::Phase::read);
    CHECK(closed.response_started());

    client.get(given("hello")).read_all();
    const std::string origin(manager.connections()[0].origin);
    CHECK(manager.close_origin(origin, hangup::CloseMode::now) == 1 && manager.close_all() == 0);
    client.get(given("hello")).read_all();
    CHECK(manager.close_idle(1h) == 0 && manager.close_idle() == 1);
}

void limits_are_told_and_a_drain_says_what_is_left() {
    hangup::Manager manager(hangup::Options().set_limit(HANGUP_LIMIT_TOTAL, 1));
    CHECK(manager.limit(HANGUP_LIMIT_TOTAL) == 1 && !manager.limit(HANGUP_LIMIT_AGE_MS));
    manager.set_limit(HANGUP_LIMIT_QUEUE, 0).set_limit(HANGUP_LIMIT_REQUESTS, 1000);
    CHECK(manager.limit(HANGUP_LIMIT_QUEUE) == 0);
    auto zero = failure_of([&] { manager.set_limit(HANGUP_LIMIT_TOTAL, 0); });
    CHECK(zero.status() == hangup::Status::invalid_argument && zero.message().find("drain") != std::string_view::npos);
    CHECK(failure_of([&] { (void)manager.limit(static_cast<hangup_limit>(99)); }).status() == hangup::Status::invalid_argument);

    hangup::Client client(manager);
    hangup::Response open = client.get(given("hello"));
    auto full = failure_of([&] { (void)client.get(given("hello")); });
    CHECK(full.status() == hangup::Status::queue_full && full.phase() == hangup::Phase::pool);
    CHECK(hangup::to_string(full.status()) == "QUEUE_FULL" && full.open_connections() == 0 && full.status_code() == 0);
    CHECK(manager.stats().refused == 1 && manager.stats().queued == 0);
    manager.clear_addresses();
    CHECK(manager.network_watch());
    manager.set_network_watch(false);
    CHECK(!manager.network_watch() && manager.network_changed() == 1);
    auto left = failure_of([&] { manager.drain(20ms); });
    CHECK(left.status() == hangup::Status::timed_out && left.open_connections() == 1);
    open.read_all();
    CHECK(manager.close_reason(open.connection_id()) == hangup::CloseReason::network_changed);
    manager.drain(hangup::no_limit);
    CHECK(failure_of([&] { (void)client.get(given("hello")); }).status() == hangup::Status::shut_down);
}

void events_come_in_their_order() {
    hangup::Manager manager;
    hangup::Events events = manager.events();
    CHECK(events.fd() >= 0 && !events.next(0s) && !events.next(5ms) && events.lost() == 0);
    hangup::Client(manager).get(given("hello")).read_all();
    manager.close_idle();
    std::string told;
    std::uint64_t number = 0;
    for (auto event = events.next(); event; event = events.next(0s)) {
        CHECK(event->number == ++number && event->connection != 0 && event->at >= 0s);
        CHECK(given("hello").compare(0, event->origin.size(), event->origin) == 0);
        CHECK(event->took.has_value() == (event->type == hangup::EventType::phase));
        CHECK(event->took.has_value() == (event->phase != hangup::Phase::none));
        CHECK(event->reason.has_value() == (event->type == hangup::EventType::closed));
        if (event->type != hangup::EventType::phase) {
            told.append(to_string(event->type)).append(" ");
        }
    }
    CHECK(told == "opened leased returned closed ");
    CHECK(failure_of([&] { (void)manager.events(0); }).status() == hangup::Status::invalid_argument);
    CHECK(failure_of([&] { (void)events.next(-1ms); }).status() == hangup::Status::invalid_timeout);
}

void a_call_does_what_it_is_told_to() {
    hangup::Client client{hangup::Manager()};
    const std::string moves = given("moves");
    hangup::Response response = client.get(moves, 5s);
    CHECK(response.status() == 200 && response.attempts() == 1 && response.url() == moves + "there");
    const auto history = response.history();
    CHECK(history.size() == 1 && history[0].status == 302 && history[0].url == moves);
    auto loop = failure_of([&] { (void)client.send(hangup::Request("GET", moves + "loop").set_redirects(2)); });
    CHECK(loop.status() == hangup::Status::redirect_refused && loop.status_code() == 302 && loop.attempts() == 1);
    CHECK(loop.method() == "GET" && loop.url().substr(0, moves.size()) == moves && loop.timings().total.has_value());
    CHECK(!loop.retry_may_help() && loop.json().find("\"status\":\"REDIRECT_REFUSED\"") != std::string_view::npos);
    client.set_redirects(0).add_sensitive_header("X-Key").set_header("X-Key", "sesame");
    CHECK(client.get(moves).status() == 302);
    client.set_redirects(HANGUP_NO_LIMIT);
    CHECK(client.get(moves + "away").read_all().find("sesame") == std::string_view::npos);

    CHECK(client.cookies_for(moves).empty());
    auto not_kept = failure_of([&] { client.add_cookie(moves, "a=b"); });
    CHECK(not_kept.status() == hangup::Status::invalid_state);
    (void)client.set_cookies(true).add_cookie(moves, "a=b").get(moves);
    CHECK(client.cookies().size() == 2 && client.cookies()[0].name == "a" && !client.cookies()[0].expires);
    CHECK(client.cookies_for(moves) == "a=b; id=7" && client.clear_cookies().cookies_for(moves).empty());
    CHECK(client.set_cookies(false).set_decode(true).get(given("gzip")).read_all() == "hello");
    auto coded = client.send(hangup::Request("GET", given("gzip")).set_decode(false)).read_all();
    auto raw = client.set_max_codings(1).get(given("gzip"));
    raw.set_raw();
    CHECK(raw.read_all() == coded && std::string_view(coded).substr(0, 2) == "\x1f\x8b");
    auto large = failure_of([&] { client.set_max_body(4).get(given("gzip")).read_all(); });
    CHECK(large.status() == hangup::Status::too_large && large.message().find("max_body") != std::string::npos);
    CHECK(client.set_max_body(HANGUP_NO_LIMIT).get(given("gzip")).read_all() == "hello");
    const std::string path = "/tmp/hangup-cpp-download-" + std::to_string(getpid());
    hangup_download_options options = HANGUP_DOWNLOAD_OPTIONS_INIT;
    options.resumes = 1;
    CHECK(client.download(hangup::Request("GET", given("hello")), path, options).download().bytes == 5);
    hangup::Queue queue;
    client.submit_download(hangup::Request("GET", given("hello")), path, queue, 3);
    auto done = queue.next();
    CHECK(done && done->tag == 3 && done->take().download().received == 5 && std::remove(path.c_str()) == 0);
    CHECK(failure_of([&] { (void)client.get(given("hello")).download(); }).status() == hangup::Status::invalid_state);

    for (bool on : {true, false}) {
        client.get(given("breaks")).read_all();
        if (on) {
            hangup::Response again = client.get(given("breaks"));
            CHECK(again.attempts() == 2 && client.manager().stats().retried == 1);
            // Not read: its connection goes with it.
        } else {
            CHECK(failure_of([&] { (void)client.set_retries(false).get(given("breaks")); }).retry_safe());
            client.set_retries(true).get(given("breaks")).read_all();
            auto request = hangup::Request("GET", given("breaks")).set_retries(false).clone();
            CHECK(failure_of([&] { (void)client.send(request); }).status() == hangup::Status::peer_closed);
        }
    }
}

void names_proxies_and_dials_ahead() {
    hangup::Manager manager;
    hangup::Client client(manager);
    client.set_proxy(std::nullopt).set_no_proxy("example.org").set_local_address("127.0.0.2");
    const std::string hello = given("hello"), port = hello.substr(hello.rfind(':'));
    manager.set_address("name.test", "::1, 127.0.0.1");
    CHECK(client.get("http://name.test" + port, 5s).read_all() == "hello");
    CHECK(manager.connections()[0].local.substr(0, 10) == "127.0.0.2:");
    manager.set_address("name.test", std::nullopt).close_all();
    {
        auto seen = std::make_shared<std::string>();
        manager.set_resolver([seen](std::string_view host) -> std::vector<std::string> {
            *seen = host;
            if (host == "throws.test") {
                throw 42;
            }
            return {host == "wrong.test" ? "localhost" : "127.0.0.1"};
        });
        CHECK(client.get("http://name.test" + port, 5s).read_all() == "hello" && *seen == "name.test");
        for (const char *name : {"http://wrong.test/", "http://throws.test/"}) {
            CHECK(failure_of([&] { (void)client.get(name); }).status() == hangup::Status::resolve_failed);
        }
        manager.set_resolver([seen](std::string_view) { return hangup::Addresses({"127.0.0.1"}, 0ms); });
        manager.close_all();
        CHECK(client.get("http://name.test" + port, 5s).read_all() == "hello");
        manager.set_resolver(nullptr);
        while (seen.use_count() > 1) {
            std::this_thread::sleep_for(1ms);
        }
    }
    {
        auto seen = std::make_shared<std::string>();
        client.set_connector([seen, hello](const hangup::ConnectRequest &request) -> int {
            *seen = std::string(request.origin) + " " + std::string(request.host);
            if (request.port == 81) {
                throw std::system_error(EHOSTUNREACH, std::generic_category());
            }
            if (request.port == 82) {
                throw 42;
            }
            sockaddr_in to{};
            to.sin_family = AF_INET;
            to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(hello.substr(hello.rfind(':') + 1))));
            const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
            CHECK(::connect(descriptor, reinterpret_cast<const sockaddr *>(&to), sizeof to) == 0);
            return descriptor;
        });
        CHECK(client.get("http://a.invalid/", 5s).read_all() == "hello" && *seen == "http://a.invalid:80 a.invalid");
        const auto unreachable = failure_of([&] { (void)client.get("http://a.invalid:81/"); });
        CHECK(unreachable.status() == hangup::Status::connect_failed && unreachable.os_code() == EHOSTUNREACH);
        CHECK(failure_of([&] { (void)client.get("http://a.invalid:82/"); }).status() == hangup::Status::connect_failed);
        client.set_connector(nullptr);
        manager.close_all();
        while (seen.use_count() > 1) {
            std::this_thread::sleep_for(1ms);
        }
    }
    client.add_connect_to("b.invalid", hello.substr(7, hello.size() - 8)).set_address_family(hangup::AddressFamily::ipv4);
    client.set_happy_eyeballs_delay(hangup::no_limit).set_interface("lo");
    CHECK(client.get("http://b.invalid/", 5s).read_all() == "hello" && client.ignored_no_proxy().empty());
    client.clear_connect_to().set_interface(std::nullopt).set_address_family(hangup::AddressFamily::any);
    CHECK(failure_of([&] { client.set_proxy("gopher://x"); }).status() == hangup::Status::invalid_argument);
    CHECK(failure_of([&] { client.set_no_proxy("10.0.0.0/99"); }).status() == hangup::Status::invalid_argument);
    CHECK(failure_of([&] { client.set_local_address("here"); }).status() == hangup::Status::invalid_argument);
    client.set_proxy("http://127.0.0.1:1");
    CHECK(failure_of([&] { (void)client.get(hello); }).status() == hangup::Status::connect_failed);
    client.set_proxy_from_env().set_proxy(std::nullopt).set_local_address(std::nullopt);
    manager.close_all();
    CHECK(client.preconnect(hello, 1) == 1);
    while (manager.stats().idle < 1) {
        std::this_thread::sleep_for(1ms);
    }
    CHECK(client.preconnect(hello, 1) == 0 && manager.preconnect(hello, 0) == 0);
}

void bodies_are_pushed_and_forms_are_sent() {
    hangup::Client client{hangup::Manager()};
    hangup::Request request("PUT", given("body"));
    hangup::Progress progress;
    request.set_progress(progress).set_max_rate(HANGUP_NO_LIMIT, 100000000).set_expect_continue(hangup::no_limit);
    hangup::Upload upload(200000);
    request.set_body_upload(upload);
    CHECK(failure_of([&] { request.set_body_upload(upload); }).status() == hangup::Status::invalid_state);
    hangup::Queue queue;
    client.submit(request, queue, 1);
    CHECK(upload.fd() >= 0);
    const std::string piece(100000, 'u');
    upload.write_all(piece);
    upload.submit_write(std::string_view(piece).substr(1), queue, 2);
    auto written = queue.next(20s);
    CHECK(written && written->tag == 2 && written->type == hangup::CompletionType::upload_write);
    CHECK(upload.try_write("u") == 1);
    upload.finish();
    auto sent = queue.next(20s);
    CHECK(sent && sent->tag == 1 && sent->response->read_all() == piece + piece);
    CHECK(progress.bytes_sent() == 200000 && progress.bytes_to_send() == 200000u);
    CHECK(progress.bytes_received() == 200000);

    hangup::Request given_up("PUT", given("body"));
    {
        hangup::Upload dropped;
        given_up.set_body_upload(dropped);
        dropped.abort("no more");
        CHECK(failure_of([&] { dropped.write_all("x"); }).status() == hangup::Status::invalid_state);
    }
    CHECK(failure_of([&] { (void)client.send(given_up); }).status() == hangup::Status::body_failed);

    int read = 0;
    hangup::Form form;
    form.set_boundary("limit").add_text("a", "b").add_bytes("c", "d", "e.txt").add_file("f", "/proc/self/comm");
    form.add_reader("r", [&read](char *into, std::size_t) { *into = 'r'; return std::size_t(read++ == 0); }, [&read] { read = 0; }, 1);
    auto response = client.send(hangup::Request("POST", given("body")).set_body_form(form));
    const std::string text(response.read_all());
    CHECK(text.find("--limit\r\nContent-Disposition: form-data; name=\"c\"; filename=\"e.txt\"") != std::string::npos);
    CHECK(text.find("\r\n\r\nr\r\n--limit--\r\n") != std::string::npos);
    const auto urlencoded = hangup::Form().add_text("a b", "&");
    CHECK(client.send(hangup::Request("POST", given("body")).set_body_urlencoded(urlencoded)).read_all() == "a+b=%26");
    CHECK(failure_of([&] { (void)hangup::Request("POST", given("body")).set_body_urlencoded(form); }).status() ==
          hangup::Status::invalid_argument);

    bool rethrown = false;
    {
        hangup::Form broken;
        broken.add_text("a", "b").add_reader("r", [](char *, std::size_t) -> std::size_t { throw std::out_of_range("no more"); });
        auto throwing = hangup::Request("POST", given("body")).set_body_form(broken);
        try {
            (void)client.send(throwing);
        } catch (const std::out_of_range &) {
            rethrown = true;
        }
    }
    CHECK(rethrown);

    int rewinds = 0;
    bool given_once = false;
    auto reader = [&given_once](char *into, std::size_t) {
        *into = 'x';
        return std::size_t(std::exchange(given_once, true) ? 0 : 1);
    };
    hangup::Request again = hangup::Request("POST", given("body")).set_body(reader, [&rewinds] { rewinds++; }, 1);
    CHECK(client.set_max_rate(HANGUP_NO_LIMIT, HANGUP_NO_LIMIT).set_expect_continue(1s).send(again).read_all() == "x");
    CHECK(rewinds == 0);
}

/** The loop of the program is a poll(2). */
void a_loop_of_the_program_drives_a_queue() {
    hangup::Client client{hangup::Manager()};
    hangup::Queue queue;
    CHECK(failure_of([&] { queue.drive(); }).status() == hangup::Status::invalid_state);
    pollfd loop{queue.drive_fd(), POLLIN, 0};
    for (std::uint64_t tag = 0; tag < 20; tag++) {
        client.submit(hangup::Request("GET", given("hello")), queue, tag);
    }
    int taken = 0;
    while (taken < 20) {
        CHECK(poll(&loop, 1, 120000) == 1);
        queue.drive();
        while (auto done = queue.next(0s)) {
            CHECK(done->response && done->response->status() == 200);
            taken++;
        }
    }
    client.submit(hangup::Request("GET", given("silent")).set_timeout(hangup::Timeout::head, 20ms), queue, 7);
    std::optional<hangup::Completion> late;
    while (!(late = queue.next(0s))) {
        CHECK(poll(&loop, 1, 120000) == 1);
        queue.drive();
    }
    CHECK(late->tag == 7 && late->error && late->error->status() == hangup::Status::timed_out);
}

void an_interrupt_check_ends_a_call() {
    hangup::Client client{hangup::Manager()};
    int asked = 0;
    {
        hangup::InterruptCheck check([&asked] { return ++asked == 2; }, 10ms);
        auto interrupted = failure_of([&] { (void)client.get(given("silent"), 10s); });
        CHECK(interrupted.status() == hangup::Status::cancelled && interrupted.reason() == "interrupted");
        CHECK(asked == 2);
    }
    {
        hangup::InterruptCheck check([]() -> bool { throw 42; }, 10ms);
        CHECK(failure_of([&] { (void)client.get(given("silent"), 10s); }).status() == hangup::Status::cancelled);
    }
    auto late = failure_of([&] { (void)client.get(given("silent"), 50ms); });
    CHECK(late.status() == hangup::Status::timed_out && asked == 2);
}

} // namespace

int main(int argc, char **argv) {
    given_count = argc;
    given_values = argv;
    a_connection_is_used_again_and_seen();
    text_of_a_temporary_is_a_string();
    a_row_of_setters_makes_an_object();
    a_time_that_is_none_is_refused();
    handles_are_shared_and_moved();
    settings_reach_the_wire();
    a_request_is_sent_as_it_was_given();
    bodies_of_every_kind();
    errors_tell_all();
    cancel_and_close_from_another_thread();
    limits_are_told_and_a_drain_says_what_is_left();
    events_come_in_their_order();
    a_call_does_what_it_is_told_to();
    names_proxies_and_dials_ahead();
    bodies_are_pushed_and_forms_are_sent();
    a_loop_of_the_program_drives_a_queue();
    an_interrupt_check_ends_a_call();
    return 0;
}
