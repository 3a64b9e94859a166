/**
 * @file hangup_async.hpp
 *
 * Requests as std::future, for C++17 and later: thousands of them under way, and one thread that waits.
 *
 *     hangup::Async async{hangup::Client()};
 *     std::future<hangup::Response> one = async.send(hangup::Request("GET", "https://example.org/").set_buffer_body(1 << 20));
 *     std::cout << one.get().read_all() << '\n';
 *
 * It stands on Client::submit and Queue of hangup.hpp. A program that has an event loop polls Queue::fd() there and needs
 * none of this.
 */
#ifndef HANGUP_ASYNC_HPP
#define HANGUP_ASYNC_HPP

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "hangup.hpp"

namespace hangup {

/**
 * Sends requests of one client in the background and keeps the promises that they are. A future that is dropped ends
 * nothing: that is what CancelToken is for; the response that then comes is closed.
 *
 * Ends: the destructor waits until everything that was sent is over, as that of a std::async future does. Limits and
 * tokens of the requests bound that wait.
 * Threads: any thread at any time.
 */
class Async {
public:
    explicit Async(const Client &client) : client_(client.share()), taker_(started()) {}
    Async(const Async &) = delete;
    Async &operator=(const Async &) = delete;
    ~Async() {
        // The count that the object itself has: the taker goes on until everybody else has given back.
        give_back();
        taker_.join();
    }

    /**
     * Sends a request. The future has the response when its head is here, or its whole body if the request asked for
     * that (Request::set_buffer_body), which then is read without waiting; or it throws the Error.
     */
    [[nodiscard]] std::future<Response> send(Request &request) {
        auto promise = std::make_unique<std::promise<Response>>();
        std::future<Response> future = promise->get_future();
        under_way_.fetch_add(1);
        try {
            client_.submit(request, queue_, reinterpret_cast<std::uintptr_t>(promise.get()));
        } catch (...) {
            give_back();
            throw;
        }
        // The queue has it: there is exactly one completion for it.
        promise.release();
        return future;
    }
    [[nodiscard]] std::future<Response> send(Request &&request) { return send(request); }

private:
    using Promise = std::unique_ptr<std::promise<Response>>;

    /** One fewer to wait for; the object itself counts as one until its end. */
    void give_back() {
        if (under_way_.fetch_sub(1) == 1) {
            queue_.close();
        }
    }

    /** The thread that waits. As those of the library it takes no signals of the program's, but for those of its faults. */
    std::thread started() {
        struct Held {
            Held() {
                sigset_t all;
                sigfillset(&all);
                for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) {
                    sigdelset(&all, fault);
                }
                pthread_sigmask(SIG_SETMASK, &all, &before);
            }
            ~Held() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
            sigset_t before;
        };
        // It inherits the mask, so that there is no moment in which it takes one.
        const Held held;
        return std::thread([this] { take(); });
    }

    /** Takes completions as C gives them: nothing that could throw stands between a completion and its promise. */
    void take() noexcept {
        for (;;) {
            hangup_completion row = HANGUP_COMPLETION_INIT;
            const hangup_status status = hangup_queue_next(queue_.handle(), HANGUP_NO_LIMIT, &row);
            if (status == HANGUP_CLOSED) {
                return; // Nothing is under way.
            }
            if (status != HANGUP_OK) {
                std::this_thread::yield(); // The system is out of something. The promises stand.
                continue;
            }
            const Promise promise(reinterpret_cast<std::promise<Response> *>(static_cast<std::uintptr_t>(row.tag)));
            keep(*promise, row);
            give_back();
        }
    }

    /** Keeps a promise. Without memory for the Error, the future throws std::bad_alloc. */
    static void keep(std::promise<Response> &promise, const hangup_completion &row) noexcept {
        std::exception_ptr failure;
        try {
            if (row.status == HANGUP_OK) {
                promise.set_value(Response(row.response));
                return;
            }
            throw Error(static_cast<hangup_status>(row.status), row.error);
        } catch (...) {
            failure = std::current_exception();
        }
        promise.set_exception(std::move(failure));
    }

    Client client_;
    Queue queue_;
    std::atomic<std::size_t> under_way_{1};
    // Last: it uses all of the above.
    std::thread taker_;
};

} // namespace hangup

#endif // HANGUP_ASYNC_HPP
