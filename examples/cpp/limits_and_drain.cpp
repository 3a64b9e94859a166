// At most one connection to each origin: the second request waits for it, and not for ever. Then an end that lets what
// runs finish.
//
//     c++ -std=c++17 -o limits_and_drain limits_and_drain.cpp $(pkg-config --cflags --libs hangup)
//     ./limits_and_drain http://127.0.0.1:8080
#include <hangup.hpp>

#include <iostream>

using namespace std::chrono_literals;

/// Sends a request that has to fail with `expected`, and says how it did.
static bool send_and_tell(const hangup::Client &client, const std::string &url, hangup::Status expected) {
    try {
        std::cerr << "it was answered after all: " << client.get(url, 5s).status() << '\n';
        return false;
    } catch (const hangup::Error &error) {
        std::cout << "another request: " << to_string(error.status()) << " in phase " << to_string(error.phase())
                  << "; safe to send again: " << (error.retry_safe() ? "yes" : "no") << '\n';
        return error.status() == expected;
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " BASE-URL\n";
        return 2;
    }
    const std::string url = argv[1] + std::string("/fast");
    try {
        // A manager of its own, so that the limit does not affect other parts of the program.
        hangup::Manager manager(hangup::Options().set_limit(HANGUP_LIMIT_PER_ORIGIN, 1));
        hangup::Client client(manager);
        // How long a request waits for a connection, at most; 30 seconds if nothing is said.
        client.set_timeout(hangup::Timeout::pool, 200ms);

        hangup::Response open = client.get(url, 5s);
        std::cout << "connection " << open.connection_id() << " is in use until its body is read\n";
        if (!send_and_tell(client, url, hangup::Status::timed_out)) {
            return 1;
        }
        std::cout << manager.stats().open << " open, " << manager.stats().waited << " had to wait\n";

        // No new requests from now on. What runs may finish, and this waits for it.
        try {
            manager.drain(200ms);
        } catch (const hangup::Error &error) {
            if (error.status() != hangup::Status::timed_out) {
                throw;
            }
            std::cout << "draining: " << error.open_connections() << " left after 200 ms\n";
        }
        const std::size_t size = open.read_all().size();
        manager.drain(5s);
        std::cout << "read " << size << " bytes; drained\n";
        return send_and_tell(client, url, hangup::Status::shut_down) ? 0 : 1;
    } catch (const hangup::Error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
