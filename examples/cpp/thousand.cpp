// A thousand requests as futures: all are begun before the first is waited for.
//
//     c++ -std=c++17 -o thousand thousand.cpp $(pkg-config --cflags --libs hangup) -pthread
//     ./thousand http://127.0.0.1:8080
#include <hangup_async.hpp>

#include <iostream>
#include <vector>

using namespace std::chrono_literals;

int main(int argc, char **argv) {
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " BASE-URL\n";
        return 2;
    }
    try {
        hangup::Manager manager;
        manager.set_limit(HANGUP_LIMIT_PER_ORIGIN, 32); // the others wait for their turn
        hangup::Async async{hangup::Client(manager)};

        hangup::Request request("GET", std::string(argv[1]) + "/fast");
        // The future is ready when the whole body is here, at most 1 MiB of it.
        request.set_timeout(hangup::Timeout::total, 30s).set_buffer_body(1024 * 1024);
        std::vector<std::future<hangup::Response>> responses;
        for (int i = 0; i < 1000; i++) {
            responses.push_back(async.send(request));
        }
        std::cout << responses.size() << " requests are in progress\n";

        std::size_t bytes = 0, well = 0, failures = 0;
        for (auto &response : responses) {
            try {
                bytes += response.get().read_all().size();
                well++;
            } catch (const hangup::Error &error) {
                std::cerr << error.what() << '\n';
                failures++;
            }
        }
        std::cout << well << " responses, " << bytes << " bytes, " << failures << " failures, over "
                  << manager.stats().open << " connections\n";
        return failures > 0;
    } catch (const hangup::Error &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
