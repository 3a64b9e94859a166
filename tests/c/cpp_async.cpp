/**
 * What is submitted, as C++ has it: completions at a queue, and futures. Servers: `hello` answers 200 "hello" for ever,
 * `large` sends 200,000 bytes, `body` answers with the request's body, `silent` never answers.
 */
#include "check.hpp"
#include <hangup_async.hpp>

#include <cstdlib>
#include <iostream>
#include <string>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<hangup::Queue> && std::is_nothrow_move_constructible_v<hangup::Queue>);
static_assert(!std::is_move_constructible_v<hangup::Async>);

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
    client.submit(hangup::Request("GET", given("hello")).whole(100), queue, 7);
    auto done = queue.next();
    CHECK(done && done->tag == 7 && done->what == hangup::Completed::response && done->data == "hello");
    CHECK(!done->error && done->take().read_all() == "hello");

    client.submit(hangup::Request("GET", given("large")), queue, 8);
    const hangup::Response response = queue.next()->take();
    std::size_t read = 0;
    for (;;) {
        response.submit_read(100000, queue, 9);
        CHECK(failure_of([&] { response.submit_read(1, queue, 10); }) == hangup::Status::invalid_state);
        const auto piece = queue.next();
        CHECK(piece && piece->tag == 9 && piece->what == hangup::Completed::read && !piece->response);
        if (piece->data.empty()) {
            break;
        }
        read += piece->data.size();
    }
    CHECK(read == 200000);

    client.submit(hangup::Request("GET", given("silent")).timeout(hangup::Timeout::total, 30ms), queue, 11);
    done = queue.next();
    CHECK(done && done->error && done->error->limit() == hangup::Timeout::total && !done->response);
    CHECK(failure_of([&] { done->take(); }) == hangup::Status::timed_out);

    hangup::Request request("POST", given("body"));
    request.body([](char *, std::size_t) -> std::size_t { throw 42; });
    client.submit(request, queue, 12);
    CHECK(failure_of([&] { queue.next()->take(); }) == hangup::Status::body_failed);
    CHECK(failure_of([&] { client.submit(request, queue, 13); }) == hangup::Status::invalid_state);

    queue.close();
    CHECK(failure_of([&] { queue.next(); }) == hangup::Status::closed);
    CHECK(failure_of([&] { client.submit(request, queue, 14); }) == hangup::Status::closed);
}

void futures_are_kept() {
    hangup::Manager manager;
    manager.limit(HANGUP_LIMIT_PER_ORIGIN, 8);
    std::vector<std::future<hangup::Response>> all;
    hangup::CancelToken token;
    {
        hangup::Async async{hangup::Client(manager)};
        for (int i = 0; i < 100; i++) {
            all.push_back(async.send(hangup::Request("GET", given("hello")).whole(100)));
        }
        // It waits for what it has sent, whether somebody waits for that or not.
        async.send(hangup::Request("GET", given("hello")));
        auto stuck = async.send(hangup::Request("GET", given("silent")).cancel_with(token));
        CHECK(stuck.wait_for(20ms) == std::future_status::timeout);
        token.fire("enough");
        CHECK(failure_of([&] { stuck.get(); }) == hangup::Status::cancelled);
    }
    for (auto &one : all) {
        CHECK(one.wait_for(0s) == std::future_status::ready && one.get().read_all() == "hello");
    }
    const hangup::Async idle{hangup::Client(manager)};
}

} // namespace

int main(int argc, char **argv) {
    given_count = argc;
    given_values = argv;
    completions_arrive_at_a_queue();
    futures_are_kept();
    return 0;
}
