/**
 * The program's own event loop does the work of a queue: requests, bodies, timeouts, cancels and ends; beside other queues, in
 * the child of a fork, and when the program does not come. Servers: `hello` answers 200 "hello" for ever; `large` sends
 * 200,000 bytes for ever; `silent` accepts, and then nothing; `half` sends a head and ten bytes.
 */
#include "queue.h"

#include <dirent.h>
#include <sys/epoll.h>
#include <sys/wait.h>

/** A loop of the program's: epoll(7) with the queue's descriptor. */
typedef struct {
    hangup_queue *queue;
    int epoll;
} host;

static host new_host(void) {
    host self = {.queue = new_queue(), .epoll = epoll_create1(EPOLL_CLOEXEC)};
    CHECK(self.epoll >= 0);
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_queue_drive(self.queue), NULL);
    int fd = hangup_queue_drive_fd(self.queue);
    CHECK(fd >= 0);
    CHECK_NUMBER(fd, hangup_queue_drive_fd(self.queue));
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_NUMBER(0, epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event));
    return self;
}

static void end_host(host *self) {
    close(self->epoll);
    hangup_queue_free(self->queue);
}

/** One turn of the loop; returns whether the descriptor was readable. */
static int turn(host *self, int timeout_ms) {
    struct epoll_event event;
    int ready = epoll_wait(self->epoll, &event, 1, timeout_ms);
    CHECK(ready >= 0);
    if (ready > 0) {
        CHECK_OK(hangup_queue_drive(self->queue), NULL);
    }
    return ready;
}

static int take(host *self, hangup_completion *done) {
    *done = (hangup_completion)HANGUP_COMPLETION_INIT;
    hangup_status status = hangup_queue_next(self->queue, 0, done);
    CHECK(status == HANGUP_OK || status == HANGUP_TIMED_OUT);
    return status == HANGUP_OK;
}

/** Runs the loop until there is a completion. */
static hangup_completion driven(host *self) {
    hangup_completion done;
    for (int64_t began = now_us(); !take(self, &done);) {
        CHECK(turn(self, (int)SOON) > 0);
        CHECK(now_us() - began < SOON * 1000);
    }
    return done;
}

static void is_nothing(host *self) {
    hangup_completion done;
    CHECK(!take(self, &done));
}

static hangup_response *driven_get(host *self, hangup_client *client, const char *url) {
    hangup_request *request = new_request("GET", url);
    submit(client, request, self->queue, 5);
    hangup_request_free(request);
    hangup_completion done = driven(self);
    CHECK_OK(done.status, done.error);
    CHECK_NUMBER(5, done.tag);
    return done.response;
}

static size_t driven_read(host *self, hangup_response *response) {
    size_t whole = 0;
    for (;;) {
        submit_read(response, SIZE_MAX, self->queue, 6);
        hangup_completion done = driven(self);
        CHECK_OK(done.status, done.error);
        CHECK(done.data_size <= 262144);
        if (done.data_size == 0) {
            return whole;
        }
        whole += done.data_size;
    }
}

static void the_loop_of_the_program_does_the_work(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    host self = new_host();
    for (int round = 0; round < 50; round++) {
        hangup_response *response = driven_get(&self, client, given("hello"));
        CHECK_NUMBER(5, driven_read(&self, response));
        hangup_response_free(response);
        response = driven_get(&self, client, given("large"));
        CHECK_NUMBER(200000, driven_read(&self, response));
        hangup_response_free(response);
    }
    CHECK_NUMBER(2, stats_of(manager).opened);
    is_nothing(&self);
    /* Many at once. */
    enum { MANY = 100 };
    hangup_request *request = new_request("GET", given("hello"));
    for (uint64_t tag = 0; tag < MANY; tag++) {
        submit(client, request, self.queue, tag);
    }
    for (int left = MANY; left > 0; left--) {
        hangup_completion done = driven(&self);
        CHECK_OK(done.status, done.error);
        hangup_response_free(done.response);
    }
    hangup_request_free(request);
    end_host(&self);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void a_timeout_and_a_cancel_make_the_descriptor_readable(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    host self = new_host();
    hangup_error *error = NULL;
    hangup_request *silent = new_request("GET", given("silent"));
    CHECK_OK(hangup_request_set_timeout(silent, HANGUP_TIMEOUT_TOTAL, 50, &error), error);
    submit(client, silent, self.queue, 1);
    hangup_completion done = driven(&self);
    CHECK_STATUS(HANGUP_TIMED_OUT, done.status, done.error);
    hangup_error_free(done.error);

    hangup_cancel *cancel = hangup_cancel_new();
    CHECK_OK(hangup_request_set_timeout(silent, HANGUP_TIMEOUT_TOTAL, HANGUP_NO_LIMIT, &error), error);
    hangup_request_set_cancel(silent, cancel);
    submit(client, silent, self.queue, 2);
    while (stats_of(manager).in_use == 0) {
        turn(&self, 1);
    }
    is_nothing(&self);
    hangup_cancel_fire(cancel, NULL);
    done = driven(&self);
    CHECK_STATUS(HANGUP_CANCELLED, done.status, done.error);
    hangup_error_free(done.error);
    hangup_cancel_free(cancel);
    hangup_request_free(silent);
    end_host(&self);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** The work goes on while the program does not come, and is the program's again when it comes. */
static void a_thread_does_the_work_while_the_program_is_away(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    host self = new_host();
    for (int round = 0; round < 3; round++) {
        hangup_request *request = new_request("GET", given("hello"));
        submit(client, request, self.queue, 1);
        hangup_request_free(request);
        /* No call of hangup_queue_drive. */
        hangup_completion done;
        for (int64_t began = now_us(); !take(&self, &done); sleep_ms(1)) {
            CHECK(now_us() - began < SOON * 1000);
        }
        CHECK_OK(done.status, done.error);
        check_body(done.response, "hello");
        hangup_response_free(done.response);
        hangup_response *response = driven_get(&self, client, given("hello"));
        CHECK_NUMBER(5, driven_read(&self, response));
        hangup_response_free(response);
    }
    /* A drain waits on this thread, and so does a call that waits for the queue. */
    hangup_request *request = new_request("GET", given("hello"));
    submit(client, request, self.queue, 1);
    hangup_request_free(request);
    hangup_completion done = next(self.queue);
    CHECK_OK(done.status, done.error);
    hangup_response_free(done.response);
    CHECK_OK(hangup_manager_drain(manager, SOON, NULL), NULL);
    end_host(&self);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** A call that waits takes one completion; the descriptor shows that there are others. */
static void what_a_waiting_call_leaves_is_shown(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    host self = new_host();
    enum { MANY = 40 };
    hangup_request *request = new_request("GET", given("hello"));
    for (uint64_t tag = 0; tag < MANY; tag++) {
        submit(client, request, self.queue, tag);
    }
    hangup_request_free(request);
    for (int left = MANY; left > 0; left--) {
        hangup_completion done;
        if (left % 2 == 0) {
            done = next(self.queue);
        } else {
            while (turn(&self, (int)SOON) > 0 && !take(&self, &done)) {
            }
        }
        CHECK_OK(done.status, done.error);
        hangup_response_free(done.response);
        if (left % 2 == 1) {
            /* As the loop has to: until there is none. */
            for (; left > 1 && take(&self, &done); left--) {
                hangup_response_free(done.response);
            }
        }
    }
    is_nothing(&self);
    end_host(&self);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** How often threads of this process gave up the processor because they waited. */
static long waits_of_all_threads(void) {
    char line[256];
    long all = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[300];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *status = fopen(path, "r");
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            long waits = 0;
            all += sscanf(line, "voluntary_ctxt_switches: %ld", &waits) == 1 ? waits : 0;
        }
        if (status != NULL) {
            fclose(status);
        }
    }
    closedir(tasks);
    return all;
}

/** A program that was away asks for its loop once, and is called when it is free: it does not turn until then. */
static void a_program_that_comes_back_does_not_turn_in_vain(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    host self = new_host();
    hangup_response_free(driven_get(&self, client, given("hello")));
    int turns = 0, rounds = 30;
    for (int round = 0; round < rounds; round++) {
        hangup_response *response = driven_get(&self, client, given("large"));
        /* The library's thread takes the loop, as more of the body comes. */
        sleep_ms(25);
        for (size_t whole = 0, got = 1; got > 0; whole += got) {
            submit_read(response, 1000, self.queue, 6);
            hangup_completion done;
            while (!take(&self, &done)) {
                CHECK(turn(&self, (int)SOON) > 0);
                turns++;
            }
            CHECK_OK(done.status, done.error);
            got = done.data_size;
        }
        hangup_response_free(response);
    }
    CHECK(turns < 40 * rounds);
    end_host(&self);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** Neither the program's thread nor one of the library's wakes while nothing happens. */
static void nothing_wakes_while_nothing_happens(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    host self = new_host();
    hangup_request *silent = new_request("GET", given("silent"));
    submit(client, silent, self.queue, 1);
    hangup_request_free(silent);
    hangup_completion done = HANGUP_COMPLETION_INIT;
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_queue_next(self.queue, 200, &done), NULL);
    long before = waits_of_all_threads();
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_queue_next(self.queue, 1500, &done), NULL);
    CHECK(waits_of_all_threads() - before < 40);
    before = waits_of_all_threads();
    for (int64_t began = now_us(); now_us() - began < 1500000;) {
        turn(&self, 500);
    }
    CHECK(waits_of_all_threads() - before < 40);
    end_host(&self);
    CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_NOW, NULL), NULL);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void what_is_closed_or_freed_ends(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    /* A free leaves the work to a thread of the library. */
    host self = new_host();
    hangup_request *silent = new_request("GET", given("silent"));
    submit(client, silent, self.queue, 1);
    while (stats_of(manager).in_use == 0) {
        turn(&self, 1);
    }
    end_host(&self);
    CHECK_NUMBER(1, stats_of(manager).in_use);
    CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_NOW, NULL), NULL);
    for (int64_t began = now_us(); stats_of(manager).open > 0; sleep_ms(1)) {
        CHECK(now_us() - began < SOON * 1000);
    }
    /* A close of the queue makes its descriptor readable, and what is under way arrives. */
    self = new_host();
    submit(client, silent, self.queue, 2);
    while (stats_of(manager).in_use == 0) {
        turn(&self, 1);
    }
    CHECK_OK(hangup_queue_close(self.queue), NULL);
    CHECK(turn(&self, (int)SOON) > 0);
    CHECK_OK(hangup_manager_shutdown(manager), NULL);
    hangup_completion done = HANGUP_COMPLETION_INIT;
    hangup_status status;
    while ((status = hangup_queue_next(self.queue, 0, &done)) == HANGUP_CLOSED) {
        turn(&self, (int)SOON);
    }
    CHECK_OK(status, NULL);
    CHECK_STATUS(HANGUP_SHUT_DOWN, done.status, done.error);
    hangup_error_free(done.error);
    end_host(&self);
    hangup_request_free(silent);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

typedef struct {
    hangup_client *client;
    const char *url;
} caller;

/** Four threads do the work at once. Afterwards no connection is in use. */
static void run_in_threads(void *(*work)(void *), hangup_manager *manager, hangup_client *client) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    caller argument = {client, given("hello")};
    for (int i = 0; i < THREADS; i++) {
        start(&threads[i], work, &argument);
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
    CHECK_NUMBER(0, stats_of(manager).in_use);
}

static void *drives(void *argument) {
    caller *self = argument;
    host loop = new_host();
    for (int round = 0; round < 200; round++) {
        hangup_response *response = driven_get(&loop, self->client, self->url);
        CHECK_NUMBER(5, driven_read(&loop, response));
        hangup_response_free(response);
    }
    end_host(&loop);
    return NULL;
}

static void several_threads_drive_a_queue_each(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    run_in_threads(drives, manager, client);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void *waits(void *argument) {
    caller *self = argument;
    hangup_queue *queue = new_queue();
    hangup_error *error = NULL;
    CHECK_OK(hangup_queue_set_caller_runs(queue, 1, &error), error);
    hangup_request *request = new_request("GET", self->url);
    for (int round = 0; round < 200; round++) {
        for (int each = 0; each < 4; each++) {
            submit(self->client, request, queue, 1);
        }
        for (int each = 0; each < 4; each++) {
            hangup_completion done = next(queue);
            CHECK_OK(done.status, done.error);
            check_body(done.response, "hello");
            hangup_response_free(done.response);
        }
    }
    hangup_request_free(request);
    hangup_queue_free(queue);
    return NULL;
}

/** Each runs the event loop of its own queue while it waits; the connections are those of all. */
static void several_threads_wait_for_a_queue_each(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    run_in_threads(waits, manager, client);
    /* Of 3,200 requests few had to dial. */
    CHECK(stats_of(manager).opened < 320);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** With hangup_queue_set_caller_runs a submission begins its work in the call, if the queue has no other. */
static void a_submission_begins_its_work_in_the_call(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    host self = new_host();
    CHECK_OK(hangup_queue_set_caller_runs(self.queue, 1, &error), error);
    for (int round = 0; round < 50; round++) {
        hangup_response *response = driven_get(&self, client, given("large"));
        CHECK_NUMBER(200000, driven_read(&self, response));
        hangup_response_free(response);
    }
    /* The library's thread has the loop first, and whenever this program was away for long. */
    hangup_request *silent = new_request("GET", given("silent"));
    int begun = 0;
    for (int64_t began = now_us(); !begun;) {
        hangup_response_free(driven_get(&self, client, given("hello")));
        uint64_t opened = stats_of(manager).opened;
        submit(client, silent, self.queue, 7);
        begun = stats_of(manager).opened > opened;
        while (stats_of(manager).in_use == 0) {
            turn(&self, 1);
        }
        CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_NOW, NULL), NULL);
        hangup_completion done = driven(&self);
        CHECK_STATUS(HANGUP_CLOSED, done.status, done.error);
        hangup_error_free(done.error);
        CHECK(now_us() - began < SOON * 1000);
    }
    hangup_request_free(silent);
    end_host(&self);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** To take a connection over from another loop costs system calls, so each loop gets the one that it had. */
static void a_loop_is_given_the_connections_that_it_had(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    host hosts[2] = {new_host(), new_host()};
    hangup_response *responses[2];
    uint64_t ids[2];
    for (int i = 0; i < 2; i++) {
        responses[i] = driven_get(&hosts[i], client, given("hello"));
        ids[i] = hangup_response_connection_id(responses[i]);
    }
    CHECK(ids[0] != ids[1]);
    for (int i = 0; i < 2; i++) {
        CHECK_NUMBER(5, driven_read(&hosts[i], responses[i]));
        hangup_response_free(responses[i]);
    }
    /* Both are idle, and that of the other loop was used later. */
    for (int round = 0; round < 10; round++) {
        host *self = &hosts[round % 2];
        hangup_response *response = driven_get(self, client, given("hello"));
        CHECK_NUMBER(ids[round % 2], hangup_response_connection_id(response));
        CHECK_NUMBER(5, driven_read(self, response));
        hangup_response_free(response);
    }
    CHECK_NUMBER(2, stats_of(manager).opened);
    end_host(&hosts[0]);
    end_host(&hosts[1]);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void the_child_of_a_fork_drives_a_queue_of_its_own(void) {
    hangup_client *client = new_client(NULL);
    host self = new_host();
    hangup_response *response = driven_get(&self, client, given("hello"));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(30 * (unsigned)slowness());
        CHECK_STATUS(HANGUP_FORKED, hangup_queue_drive(self.queue), NULL);
        CHECK_NUMBER(-1, hangup_queue_drive_fd(self.queue));
        hangup_queue_free(self.queue);
        host own = new_host();
        hangup_response *mine = driven_get(&own, client, given("hello"));
        CHECK_NUMBER(5, driven_read(&own, mine));
        hangup_response_free(mine);
        end_host(&own);
        execlp("true", "true", (char *)NULL);
        _exit(1);
    }
    int status = 0;
    CHECK_NUMBER(child, waitpid(child, &status, 0));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    /* The parent's loop has lost nothing. */
    CHECK_NUMBER(5, driven_read(&self, response));
    hangup_response_free(response);
    response = driven_get(&self, client, given("hello"));
    CHECK_NUMBER(5, driven_read(&self, response));
    hangup_response_free(response);
    end_host(&self);
    hangup_client_free(client);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    the_loop_of_the_program_does_the_work();
    a_timeout_and_a_cancel_make_the_descriptor_readable();
    a_thread_does_the_work_while_the_program_is_away();
    what_a_waiting_call_leaves_is_shown();
    a_program_that_comes_back_does_not_turn_in_vain();
    nothing_wakes_while_nothing_happens();
    what_is_closed_or_freed_ends();
    several_threads_drive_a_queue_each();
    several_threads_wait_for_a_queue_each();
    a_submission_begins_its_work_in_the_call();
    a_loop_is_given_the_connections_that_it_had();
    the_child_of_a_fork_drives_a_queue_of_its_own();
    return 0;
}
