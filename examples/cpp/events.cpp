// Watch what happens to connections: opened, leased to a request, returned, closed; and how long each phase took.
//
//     c++ -std=c++17 -o events events.cpp $(pkg-config --cflags --libs hangup)
//     ./events http://127.0.0.1:8080
#include <hangup.hpp>

#include <iomanip>
#include <iostream>

using namespace std::chrono_literals;

static double ms(std::chrono::nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

/// Prints what has happened so far. A program with an event loop polls events.fd() and then does the same.
static void tell(hangup::Events &events) {
    std::cout << std::fixed << std::setprecision(3);
    while (auto event = events.next(0s)) {
        std::cout << std::setw(8) << ms(event->at) << " ms  connection " << event->connection << " to " << event->origin
                  << ": " << to_string(event->type);
        if (event->took) {
            std::cout << ' ' << to_string(event->phase) << ", " << ms(*event->took) << " ms";
        }
        if (event->reason) {
            std::cout << ", " << to_string(*event->reason);
        }
        std::cout << '\n';
    }
    std::cout << events.lost() << " events were lost\n";
}

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " BASE-URL\n";
        return 2;
    }
    const std::string url = argv[1] + std::string("/fast");
    try {
        hangup::Client client;
        hangup::Manager manager = client.manager();
        // Events of all requests over this manager from here on; at most 1024 unread ones are kept.
        hangup::Events events = manager.events(1024);
        for (int i = 0; i < 2; i++) {
            client.get(url, 5s).read_all();
        }
        manager.close_idle();
        tell(events);
        return 0;
    } catch (const hangup::Error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
