// What is known of a request that gets no answer, and of a connection that may have died: the facts of an error, and the
// events "suspected", "probed", "lost" and "recovered".
//
//     c++ -std=c++17 -o lost_connections lost_connections.cpp $(pkg-config --cflags --libs hangup)
//     ./lost_connections http://127.0.0.1:8080
//
// The server of this example is alive and gives no answer. docs/lost-connections.md says what a dead connection looks like.
#include <hangup.hpp>

#include <iostream>
#include <string>

using namespace std::chrono_literals;

/// Says what became of a request that failed after a silent wait.
static void tell(const hangup::Error &error) {
    std::cout << to_string(error.status()) << ", safe to send again: " << (error.retry_safe() ? "yes" : "no") << '\n';
    const auto acknowledged = error.acknowledged();
    const auto tcp = error.tcp_facts();
    if (acknowledged && tcp) { // nothing: TCP was not asked
        std::cout << "acknowledged: " << to_string(*acknowledged) << "; round-trip time "
                  << tcp->rtt.value_or(0us).count() << " us, sent again " << tcp->retransmissions
                  << " times, silent for " << tcp->silence.count() << " ms\n";
    }
}

/// Says which connections were suspected, and how it ended.
static void tell(hangup::Events &events) {
    while (auto event = events.next(0s)) {
        switch (event->type) {
        case hangup::EventType::suspected: // the request is not acknowledged
        case hangup::EventType::probed:    // a second connection is dialled
        case hangup::EventType::lost:      // that one was made: this one is dead
        case hangup::EventType::recovered: // the peer was there after all
            std::cout << "connection " << event->connection << ": " << to_string(event->type) << '\n';
            break;
        case hangup::EventType::closed:
            std::cout << "connection " << event->connection << ": closed, " << to_string(*event->reason) << '\n';
            break;
        default:
            break;
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " BASE-URL\n";
        return 2;
    }
    const std::string base = argv[1];
    try {
        hangup::Client client;
        client.set_timeout(hangup::Timeout::head, 300ms);
        hangup::Manager manager = client.manager();
        hangup::Events events = manager.events(1024);
        hangup::Response response = client.get(base + "/fast");
        std::cout << response.status() << " on connection " << response.connection_id() << '\n';
        response.read_all();
        try {
            // This request is acknowledged and gets no answer.
            response = client.get(base + "/stall");
            std::cerr << "it was answered after all\n";
            return 1;
        } catch (const hangup::Error &error) {
            tell(error);
        }
        tell(events);
        return 0;
    } catch (const hangup::Error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
