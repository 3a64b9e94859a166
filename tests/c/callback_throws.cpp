/**
 * C++ exceptions out of functions that C hands to the library: they end the exchange, and nothing else. hangup.hpp never
 * lets one through; these use the C functions. Servers: `hello` answers 200 "hello" for ever; `silent` accepts, and then
 * nothing.
 */
#include "check.hpp"
#include <hangup.h>

#include <unistd.h>

#include <atomic>
#include <exception>
#include <stdexcept>
#include <thread>

namespace {

std::atomic<int> thrown, ended;

/** Is destroyed on the way, with the frames that it passes. */
struct Local {
    static std::atomic<int> alive;
    Local() { alive++; }
    ~Local() { alive--; }
};
std::atomic<int> Local::alive;

[[noreturn]] void fail(int what) {
    thrown++;
    const Local local;
    if (what == 0) {
        throw std::runtime_error("from a callback");
    }
    throw what;
}

int64_t read_throws(void *what, uint8_t *, size_t) { fail(*static_cast<int *>(what)); }
int64_t read_once(void *at, uint8_t *into, size_t) {
    if ((*static_cast<int *>(at))++ > 0) {
        fail(1);
    }
    *into = 'x';
    return 1;
}
void end_throws(void *) {
    ended++;
    fail(2);
}
int32_t resolve_throws(void *, const char *, hangup_addresses *) { fail(0); }
int32_t connect_throws(void *, const char *, const char *, int32_t) { fail(0); }
int32_t check_throws(void *) { fail(0); }

/** No exception is left that C++ would believe to be on its way, on this thread. */
void nothing_is_left() {
    CHECK(std::uncaught_exceptions() == 0);
    CHECK(std::current_exception() == nullptr);
    CHECK(Local::alive == 0);
}

hangup_client *new_client() {
    hangup_client *client = nullptr;
    hangup_manager *manager = nullptr;
    CHECK(hangup_manager_new(nullptr, &manager, nullptr) == HANGUP_OK);
    CHECK(hangup_client_new(manager, &client, nullptr) == HANGUP_OK);
    hangup_manager_free(manager);
    return client;
}

hangup_request *upload(hangup_body_read_fn read, void *user_data) {
    hangup_request *request = nullptr;
    CHECK(hangup_request_new("POST", given("hello").c_str(), &request, nullptr) == HANGUP_OK);
    CHECK(hangup_request_set_body_reader(request, read, end_throws, user_data, HANGUP_NO_LIMIT, nullptr) == HANGUP_OK);
    return request;
}

hangup_status send(hangup_client *client, hangup_request *request) {
    hangup_response *response = nullptr;
    hangup_error *error = nullptr;
    const hangup_status status = hangup_client_send(client, request, &response, &error);
    if (status != HANGUP_OK) {
        CHECK(std::string(hangup_error_message(error)).find("threw an exception") != std::string::npos);
    }
    hangup_error_free(error);
    hangup_response_free(response);
    return status;
}

int32_t submit(hangup_client *client, hangup_request *request) {
    hangup_queue *queue = hangup_queue_new();
    CHECK(hangup_client_submit(client, request, queue, 1, nullptr) == HANGUP_OK);
    hangup_completion done = {};
    done.size = sizeof done;
    CHECK(hangup_queue_next(queue, HANGUP_NO_LIMIT, &done) == HANGUP_OK);
    hangup_error_free(done.error);
    hangup_response_free(done.response);
    hangup_queue_free(queue);
    return done.status;
}

void hello(hangup_client *client) {
    hangup_response *response = nullptr;
    CHECK(hangup_client_get(client, given("hello").c_str(), 20000, &response, nullptr) == HANGUP_OK);
    hangup_response_free(response);
}

/** The end of a reader of what was submitted may come a moment after its completion. */
void soon(const std::atomic<int> &count, int expected) {
    for (int i = 0; i < 20000 && count != expected; i++) {
        usleep(1000);
    }
    CHECK(count == expected);
}

void out_of_a_body_reader() {
    hangup_client *client = new_client();
    ended = 0;
    for (int what = 0; what < 2; what++) {
        hangup_request *request = upload(read_throws, &what);
        CHECK(send(client, request) == HANGUP_BODY_FAILED);
        nothing_is_left();
        hangup_request_free(request);
    }
    soon(ended, 2);
    int what = 0;
    hangup_request *request = upload(read_throws, &what);
    CHECK(submit(client, request) == HANGUP_BODY_FAILED);
    hangup_request_free(request);
    soon(ended, 3);
    int at = 0;
    request = upload(read_once, &at);
    CHECK(send(client, request) == HANGUP_BODY_FAILED);
    hangup_request_free(request);
    at = 0;
    request = upload(read_once, &at);
    CHECK(submit(client, request) == HANGUP_BODY_FAILED);
    // The last to go: it was never sent.
    hangup_request_free(request);
    hangup_request_free(upload(read_throws, &what));
    soon(ended, 6);
    nothing_is_left();
    hello(client);
    hangup_client_free(client);
}

void out_of_a_resolver() {
    hangup_manager *manager = nullptr;
    hangup_client *client = nullptr;
    CHECK(hangup_manager_new(nullptr, &manager, nullptr) == HANGUP_OK);
    CHECK(hangup_client_new(manager, &client, nullptr) == HANGUP_OK);
    ended = 0;
    CHECK(hangup_manager_set_resolver(manager, resolve_throws, end_throws, nullptr, nullptr) == HANGUP_OK);
    hangup_request *request = nullptr;
    CHECK(hangup_request_new("GET", "http://nowhere.test/", &request, nullptr) == HANGUP_OK);
    CHECK(send(client, request) == HANGUP_RESOLVE_FAILED);
    CHECK(submit(client, request) == HANGUP_RESOLVE_FAILED);
    CHECK(hangup_manager_set_resolver(manager, nullptr, nullptr, nullptr, nullptr) == HANGUP_OK);
    soon(ended, 1);
    nothing_is_left();
    hello(client);
    hangup_request_free(request);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

void out_of_a_connector() {
    hangup_client *client = new_client();
    ended = 0;
    CHECK(hangup_client_set_connector(client, connect_throws, end_throws, nullptr, nullptr) == HANGUP_OK);
    hangup_request *request = nullptr;
    CHECK(hangup_request_new("GET", "http://nowhere.test/", &request, nullptr) == HANGUP_OK);
    CHECK(send(client, request) == HANGUP_CONNECT_FAILED);
    CHECK(submit(client, request) == HANGUP_CONNECT_FAILED);
    hangup_request_free(request);
    CHECK(hangup_client_set_connector(client, nullptr, nullptr, nullptr, nullptr) == HANGUP_OK);
    soon(ended, 1);
    nothing_is_left();
    hello(client);
    hangup_client_free(client);
}

void out_of_an_interrupt_check() {
    hangup_client *client = new_client();
    CHECK(hangup_set_interrupt_check(check_throws, nullptr, 5) == HANGUP_OK);
    hangup_response *response = nullptr;
    CHECK(hangup_client_get(client, given("silent").c_str(), 20000, &response, nullptr) == HANGUP_CANCELLED);
    hangup_queue *queue = hangup_queue_new();
    hangup_request *request = nullptr;
    CHECK(hangup_request_new("GET", given("silent").c_str(), &request, nullptr) == HANGUP_OK);
    for (int caller_runs = 0; caller_runs < 2; caller_runs++) {
        CHECK(hangup_queue_set_caller_runs(queue, caller_runs, nullptr) == HANGUP_OK);
        CHECK(hangup_client_submit(client, request, queue, 1, nullptr) == HANGUP_OK);
        hangup_completion done = {};
        done.size = sizeof done;
        CHECK(hangup_queue_next(queue, HANGUP_NO_LIMIT, &done) == HANGUP_CANCELLED);
        hangup_error_free(done.error);
    }
    CHECK(hangup_set_interrupt_check(nullptr, nullptr, HANGUP_NO_LIMIT) == HANGUP_OK);
    nothing_is_left();
    hello(client);
    // The checks ended the waits, and not what was submitted.
    hangup_manager *manager = hangup_client_manager(client);
    CHECK(hangup_manager_shutdown(manager) == HANGUP_OK);
    for (int submission = 0; submission < 2; submission++) {
        hangup_completion done = HANGUP_COMPLETION_INIT;
        CHECK(hangup_queue_next(queue, 20000, &done) == HANGUP_OK);
        CHECK(done.status == HANGUP_SHUT_DOWN);
        hangup_error_free(done.error);
    }
    hangup_manager_free(manager);
    hangup_request_free(request);
    hangup_queue_free(queue);
    hangup_client_free(client);
}

/** Many at once, on as many threads. */
void out_of_many_threads() {
    hangup_client *client = new_client();
    std::thread threads[8];
    for (std::thread &thread : threads) {
        thread = std::thread([client] {
            for (int i = 0; i < 50; i++) {
                int what = i % 2;
                hangup_request *request = upload(read_throws, &what);
                CHECK((i % 3 == 0 ? submit(client, request) : send(client, request)) == HANGUP_BODY_FAILED);
                hangup_request_free(request);
                CHECK(std::uncaught_exceptions() == 0);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    hello(client);
    hangup_client_free(client);
}

} // namespace

int main(int argc, char **argv) {
    given_count = argc;
    given_values = argv;
    out_of_a_body_reader();
    out_of_a_resolver();
    out_of_a_connector();
    out_of_an_interrupt_check();
    out_of_many_threads();
    CHECK(thrown > 400);
    return 0;
}
