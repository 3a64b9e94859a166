// Two ways to end a request that gets no response: a timeout that expires, and a token that another thread fires.
//
//     c++ -std=c++17 -pthread -o timeout_and_cancel timeout_and_cancel.cpp $(pkg-config --cflags --libs hangup)
//     ./timeout_and_cancel http://127.0.0.1:8080
#include <hangup.hpp>

#include <iostream>
#include <thread>

using namespace std::chrono_literals;

/// Sends a request that has to fail with `expected`, and says how it did.
static bool send_and_tell(const hangup::Client &client, hangup::Request &request, hangup::Status expected) {
    try {
        std::cerr << "it was answered after all: " << client.send(request).status() << '\n';
        return false;
    } catch (const hangup::Error &error) {
        // The kind, the phase, the timeout or the reason, and whether it is safe to send the request again.
        std::cout << to_string(error.status()) << " in phase " << to_string(error.phase());
        if (error.status() == hangup::Status::timed_out) {
            std::cout << ", timeout " << to_string(error.timeout());
        }
        if (auto reason = error.reason()) {
            std::cout << ", reason: " << *reason;
        }
        std::cout << "; safe to send again: " << (error.retry_safe() ? "yes" : "no") << '\n';
        return error.status() == expected;
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " BASE-URL\n";
        return 2;
    }
    try {
        hangup::Client client;
        hangup::Request request("GET", std::string(argv[1]) + "/stall");

        // 200 ms for the head of the response, from the moment the request was sent.
        request.set_timeout(hangup::Timeout::head, 200ms);
        bool ok = send_and_tell(client, request, hangup::Status::timed_out);

        // No such limit now, but a token. The thread has a share of it.
        hangup::CancelToken token;
        request.set_timeout(hangup::Timeout::head, hangup::no_limit).set_cancel(token);
        std::thread user([mine = token.share()] {
            std::this_thread::sleep_for(200ms);
            mine.fire("the user left");
        });
        ok = send_and_tell(client, request, hangup::Status::cancelled) && ok;
        user.join();
        return ok ? 0 : 1;
    } catch (const hangup::Error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
