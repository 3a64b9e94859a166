/**
 * A connection that a response hands over, from C++. Servers: `switch` answers 101 with "early" behind its head and sends
 * back what comes; `stuck` answers 101 and does nothing; `tunnel` answers 200 and sends back what comes.
 */
#include "check.hpp"
#include <hangup.hpp>

#include <string>
#include <thread>
#include <type_traits>

using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<hangup::Stream> && std::is_nothrow_move_constructible_v<hangup::Stream>);

static std::string read_exactly(const hangup::Stream &stream, std::size_t count) {
    std::string all(count, '\0');
    for (std::size_t have = 0; have < count;) {
        const std::size_t got = stream.read(&all[have], count - have);
        CHECK(got > 0);
        have += got;
    }
    return all;
}

static hangup::Status refusal(const std::function<void()> &call) {
    try {
        call();
    } catch (const hangup::Error &error) {
        return error.status();
    }
    return hangup::Status::ok;
}

static void a_stream_is_read_and_written() {
    hangup::Manager manager;
    const hangup::Client client(manager);
    hangup::Response response = client.send(hangup::Request("GET", given("switch")).add_header("Upgrade", "lines"));
    CHECK(response.status() == 101);
    const hangup::Stream stream = response.take_stream();
    CHECK(refusal([&] { (void)response.take_stream(); }) == hangup::Status::invalid_state);
    CHECK(stream.buffered() == 5 && stream.fd() >= 0 && !stream.is_closed());
    CHECK(manager.connections()[0].state == hangup::ConnectionState::upgraded);
    CHECK(read_exactly(stream, 5) == "early");
    const std::string data(1000000, 'd');
    std::thread writer([&] { stream.share().write_all(data); });
    CHECK(read_exactly(stream, data.size()) == data);
    writer.join();
    stream.set_timeout(hangup::Timeout::read, 20ms);
    char room[8];
    CHECK(refusal([&] { (void)stream.read(room, sizeof room); }) == hangup::Status::timed_out);
    stream.set_timeout(hangup::Timeout::read, hangup::no_limit);
    stream.shutdown_write();
    CHECK(stream.read(room, sizeof room) == 0);
    CHECK(!stream.is_closing());
    manager.close(stream.connection_id(), hangup::CloseMode::graceful);
    CHECK(stream.is_closing());
    stream.close();
    CHECK(stream.is_closed() && manager.stats().in_use == 0);
    CHECK(manager.close_reason(stream.connection_id()) == hangup::CloseReason::stream_closed);
}

static void a_queue_reads_and_writes() {
    const hangup::Client client;
    const hangup::Queue queue;
    hangup::Response response = client.send(hangup::Request::connect(given("tunnel"), "example.org:443"));
    CHECK(response.status() == 200);
    const hangup::Stream stream = response.take_stream();
    stream.submit_read(100, queue, 1);
    stream.submit_write("through", queue, 2);
    std::string got;
    for (int writes = 0; got.size() < 7 || writes == 0;) {
        const auto done = queue.next(20s);
        CHECK(done && !done->error);
        if (done->type == hangup::CompletionType::stream_write) {
            writes++;
            continue;
        }
        got += done->data;
        if (got.size() < 7) {
            stream.submit_read(100, queue, 1);
        }
    }
    CHECK(got == "through");
    stream.submit_shutdown_write(queue, 3);
    CHECK(queue.next(20s)->type == hangup::CompletionType::stream_write);
    CHECK(refusal([] { (void)hangup::Request::connect("http://proxy", "no port"); }) == hangup::Status::invalid_url);
}

static void a_close_ends_a_blocked_read() {
    const hangup::Manager manager;
    const hangup::Client client(manager);
    hangup::Request request("GET", given("stuck"));
    request.add_header("Upgrade", "lines");
    const hangup::Stream stream = client.send(request).take_stream();
    std::thread closer([&] { stream.close(); });
    char room[8];
    CHECK(refusal([&] { (void)stream.read(room, sizeof room); }) == hangup::Status::closed);
    closer.join();
}

int main(int argc, char **argv) {
    given_count = argc;
    given_values = argv;
    a_stream_is_read_and_written();
    a_queue_reads_and_writes();
    a_close_ends_a_blocked_read();
    return 0;
}
