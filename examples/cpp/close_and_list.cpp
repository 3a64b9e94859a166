// See the open connections, and close one of them under the request that uses it.
//
//     c++ -std=c++17 -o close_and_list close_and_list.cpp $(pkg-config --cflags --libs hangup)
//     ./close_and_list http://127.0.0.1:8080
#include <hangup.hpp>

#include <iostream>

using namespace std::chrono_literals;

/// Prints one line per open connection.
static void show(const hangup::Manager &manager, const char *when) {
    const hangup::Connections list = manager.connections();
    std::cout << when << ": " << list.size() << " open\n";
    for (const hangup::ConnectionInfo &info : list) {
        std::cout << "  connection " << info.id << " to " << info.origin << ": " << to_string(info.state) << ", "
                  << info.requests << " requests, " << info.bytes_in << " bytes in\n";
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
        hangup::Manager manager = client.manager();

        // One response that stays open, because its body never ends; another that is read, so that its connection is idle.
        hangup::Response open = client.get(base + "/stall-body", 5s);
        client.get(base + "/fast", 5s).read_all();
        show(manager, "before");

        // How::graceful would let the exchange end first; now means now.
        manager.close(open.connection_id(), hangup::CloseMode::now);
        try {
            open.read_all();
            return 1;
        } catch (const hangup::Error &error) {
            if (error.status() != hangup::Status::closed) {
                throw;
            }
            std::cout << "reading on connection " << error.connection_id() << ": " << error.what() << '\n';
        }
        std::cout << "closed " << manager.close_idle() << " idle\n";
        show(manager, "after");
        return 0;
    } catch (const hangup::Error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
