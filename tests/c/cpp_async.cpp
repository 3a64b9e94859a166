/**
 * What is submitted, as C++ has it: completions at a queue, and futures. Servers: `hello` answers 200 "hello" for ever,
 * `large` sends 200,000 bytes, `body` answers with the request's body, `silent` never answers, `half` sends a head and
 * ten bytes of a thousand.
 */
#include "check.hpp"
#include <hangup_async.hpp>

#include <atomic>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <new>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<hangup::Queue> && std::is_nothrow_move_constructible_v<hangup::Queue>);
static_assert(!std::is_move_constructible_v<hangup::Async>);

namespace {

/// Memory that ends, for one thread at a time: `let_fail` allocations of any other thread than `main` fail, after `let_pass`.
const std::thread::id main_thread = std::this_thread::get_id();
std::atomic<int> let_pass{0}, let_fail{0};

} // namespace

void *operator new(std::size_t size) {
    if (let_fail.load() > 0 && std::this_thread::get_id() != main_thread && let_pass.fetch_sub(1) <= 0 &&
        let_fail.fetch_sub(1) > 0) {
        throw std::bad_alloc();
    }
    if (void *place = std::malloc(size == 0 ? 1 : size)) {
        return place;
    }
    throw std::bad_alloc();
}
void operator delete(void *place) noexcept { std::free(place); }
void operator delete(void *place, std::size_t) noexcept { std::free(place); }

namespace {

template <class Call>
hangup::Status failure_of(Call &&call) {
    try {
        call();
    } catch (const hangup::Error &error) {
        return error.status();
    }
    return hangup::Status::ok;
}

void completions_arrive_at_a_queue() {
    hangup::Client client{hangup::Manager()};
    hangup::Queue queue;
    CHECK(queue.fd() >= 0 && !queue.next(0s) && !queue.next(5ms));
    client.submit(hangup::Request("GET", given("hello")).set_buffer_body(100), queue, 7);
    auto done = queue.next();
    CHECK(done && done->tag == 7 && done->type == hangup::CompletionType::response && done->data == "hello");
    CHECK(!done->error && done->take().read_all() == "hello");

    client.submit(hangup::Request("GET", given("large")), queue, 8);
    const hangup::Response response = queue.next()->take();
    std::size_t read = 0;
    for (;;) {
        response.submit_read(100000, queue, 9);
        CHECK(failure_of([&] { response.submit_read(1, queue, 10); }) == hangup::Status::invalid_state);
        const auto piece = queue.next();
        CHECK(piece && piece->tag == 9 && piece->type == hangup::CompletionType::read && !piece->response);
        if (piece->data.empty()) {
            break;
        }
        read += piece->data.size();
    }
    CHECK(read == 200000);

    client.submit(hangup::Request("GET", given("silent")).set_timeout(hangup::Timeout::total, 30ms), queue, 11);
    done = queue.next();
    CHECK(done && done->error && done->error->timeout() == hangup::Timeout::total && !done->response);
    CHECK(failure_of([&] { (void)done->take(); }) == hangup::Status::timed_out);

    hangup::Request request("POST", given("body"));
    request.set_body([](char *, std::size_t) -> std::size_t { throw 42; });
    client.submit(request, queue, 12);
    CHECK(failure_of([&] { (void)queue.next()->take(); }) == hangup::Status::body_failed);
    CHECK(failure_of([&] { client.submit(request, queue, 13); }) == hangup::Status::invalid_state);

    queue.close();
    CHECK(failure_of([&] { (void)queue.next(); }) == hangup::Status::closed);
    CHECK(failure_of([&] { client.submit(request, queue, 14); }) == hangup::Status::closed);
}

void futures_are_kept() {
    hangup::Manager manager;
    manager.set_limit(HANGUP_LIMIT_PER_ORIGIN, 8);
    std::vector<std::future<hangup::Response>> all;
    hangup::CancelToken token;
    {
        hangup::Async async{hangup::Client(manager)};
        for (int i = 0; i < 100; i++) {
            all.push_back(async.send(hangup::Request("GET", given("hello")).set_buffer_body(100)));
        }
        // It waits for what it has sent, whether a thread waits for that or not.
        (void)async.send(hangup::Request("GET", given("hello")));
        auto stuck = async.send(hangup::Request("GET", given("silent")).set_cancel(token));
        CHECK(stuck.wait_for(20ms) == std::future_status::timeout);
        token.fire("enough");
        CHECK(failure_of([&] { stuck.get(); }) == hangup::Status::cancelled);
    }
    for (auto &one : all) {
        CHECK(one.wait_for(0s) == std::future_status::ready && one.get().read_all() == "hello");
    }
    const hangup::Async idle{hangup::Client(manager)};
}

void at_rest(const hangup::Manager &manager) {
    for (int i = 0; manager.stats().in_use > 0; i++) {
        CHECK(i < 20000);
        std::this_thread::sleep_for(1ms);
    }
}

void a_future_hears_of_a_lack_of_memory() {
    for (int count : {1, 1000}) {
        for (int pass = 0; pass < 8; pass++) {
            for (const char *server : {"hello", "silent"}) {
                hangup::Async async{hangup::Client(hangup::Manager())};
                auto request = hangup::Request("GET", given(server)).set_timeout(hangup::Timeout::head, 20ms);
                let_pass = pass;
                let_fail = count;
                auto future = async.send(request);
                bool came = false;
                try {
                    came = future.get().status() == 200;
                } catch (const std::bad_alloc &) {
                    came = let_fail < count;
                } catch (const hangup::Error &error) {
                    came = error.status() == hangup::Status::timed_out && server[0] == 's';
                }
                let_fail = 0;
                CHECK(came);
                // The taker goes on, and the end of `async` does not wait for what is lost.
                CHECK(async.send(hangup::Request("GET", given("hello")).set_buffer_body(100)).get().read_all() == "hello");
            }
        }
    }
}

void what_no_future_takes_is_closed() {
    hangup::Manager manager;
    hangup::Async async{hangup::Client(manager)};
    {
        // The response is there, and was not taken.
        auto future = async.send(hangup::Request("GET", given("half")));
        future.wait();
        CHECK(manager.stats().in_use == 1);
    }
    at_rest(manager);
    // The future is gone when the response comes.
    for (int i = 0; i < 20; i++) {
        (void)async.send(hangup::Request("GET", given("half")));
    }
    at_rest(manager);
    // The token is fired when it is there, and when it was taken.
    for (bool taken : {false, true}) {
        hangup::CancelToken token;
        auto future = async.send(hangup::Request("GET", given("half")).set_cancel(token));
        future.wait();
        if (taken) {
            auto response = future.get();
            token.fire();
            at_rest(manager);
            CHECK(failure_of([&] { response.read_all(); }) == hangup::Status::cancelled);
        } else {
            token.fire();
            at_rest(manager);
            CHECK(failure_of([&] { future.get().read_all(); }) == hangup::Status::cancelled);
        }
    }
    CHECK(manager.stats().open == 0);
}

/** Whether a thread of this process other than the calling one would take SIGTERM. */
bool another_takes_sigterm() {
    for (const auto &task : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream status(task.path() / "status");
        for (std::string line; std::getline(status, line);) {
            if (line.rfind("SigBlk:", 0) == 0 && task.path().filename() != std::to_string(getpid()) &&
                (std::stoull(line.substr(7), nullptr, 16) >> (SIGTERM - 1) & 1) == 0) {
                return true;
            }
        }
    }
    return false;
}

void its_threads_take_no_signals() {
    hangup::Async async{hangup::Client()};
    (void)async.send(hangup::Request("GET", given("hello"))).get();
    CHECK(!another_takes_sigterm());
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, nullptr, &mine);
    CHECK(sigismember(&mine, SIGTERM) == 0);
}

} // namespace

int main(int argc, char **argv) {
    given_count = argc;
    given_values = argv;
    completions_arrive_at_a_queue();
    futures_are_kept();
    what_no_future_takes_is_closed();
    a_future_hears_of_a_lack_of_memory();
    its_threads_take_no_signals();
    return 0;
}
