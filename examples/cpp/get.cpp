// GET a page twice: two requests, one connection.
//
//     c++ -std=c++17 -o get get.cpp $(pkg-config --cflags --libs hangup)
//     ./get http://127.0.0.1:8080
#include <hangup.hpp>

#include <iostream>

using namespace std::chrono_literals;

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " BASE-URL\n";
        return 2;
    }
    try {
        hangup::Client client; // over the manager that the process shares
        for (int i = 0; i < 2; i++) {
            // Five seconds for all of it, the body's last byte included.
            hangup::Response response = client.get(std::string(argv[1]) + "/fast", 5s);
            std::cout << "status " << response.status() << ", " << response.read_all().size()
                      << " bytes over connection " << response.connection_id()
                      << (response.reused() ? " (used again)" : " (new)") << '\n';
        }
    } catch (const hangup::Error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
