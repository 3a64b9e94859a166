/**
 * The way to an origin: which address its name stands for, through which proxy, from which address of ours; and
 * connections that are dialled ahead. Servers: `hello` answers 200 "hello" for ever; `proxy` lets "user:pass" through
 * and knows origin.test as `hello`.
 */
#include "check.h"

/** The URL of `hello`, by another name. */
static const char *hello_at(const char *host) {
    static char url[256];
    const char *port = strrchr(given("hello"), ':');
    snprintf(url, sizeof url, "http://%s%s", host, port);
    return url;
}

static hangup_status status_of(hangup_client *client, const char *url, hangup_error **error) {
    hangup_response *response = NULL;
    hangup_status status = hangup_client_get(client, url, 20000, &response, error);
    if (status == HANGUP_OK) {
        check_body(response, "hello");
    }
    hangup_response_free(response);
    return status;
}

static void addresses_by_hand(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_set_proxy(client, NULL, &error), error);
    CHECK_OK(hangup_manager_set_address(manager, "Name.test", "127.0.0.1", &error), error);
    CHECK_OK(status_of(client, hello_at("name.test"), &error), error);
    CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_NOW, NULL), NULL);
    CHECK_OK(hangup_manager_set_address(manager, "name.test", "::1, 127.0.0.1", &error), error);
    CHECK_OK(status_of(client, hello_at("name.test"), &error), error);

    /* An open connection stays; a new one asks the resolver. */
    CHECK_OK(hangup_manager_set_address(manager, "name.test", NULL, &error), error);
    CHECK_OK(status_of(client, hello_at("name.test"), &error), error);
    static const char *const wrong[] = {"", "127.0.0.1,", "localhost", "127.0.0.1:80", "[::1]", ","};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_manager_set_address(manager, "x.test", wrong[i], &error), error);
        hangup_error_free(error);
    }
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_manager_set_address(manager, "http://x", "::1", &error), error);
    hangup_error_free(error);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** A resolver of this program: knows what ends in ".test", and counts. */
struct resolver {
    _Atomic int asked, ended;
};

static int32_t resolve(void *user_data, const char *host, hangup_addresses *addresses) {
    struct resolver *resolver = user_data;
    resolver->asked++;
    if (strcmp(host, "nobody.test") == 0) {
        return 0;
    }
    if (strstr(host, ".test") == NULL) {
        return -2;
    }
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_addresses_add(addresses, "localhost"), NULL);
    CHECK_STATUS(HANGUP_NULL, hangup_addresses_add(addresses, NULL), NULL);
    CHECK_OK(hangup_addresses_add(addresses, "127.0.0.1"), NULL);
    return 0;
}

static int32_t resolve_slowly(void *user_data, const char *host, hangup_addresses *addresses) {
    (void)host, (void)addresses;
    struct resolver *resolver = user_data;
    resolver->asked++;
    sleep_ms(300);
    return 1;
}

static void end(void *user_data) {
    ((struct resolver *)user_data)->ended++;
}

static void wait_until_ended(struct resolver *resolver) {
    for (int64_t until = now_us() + 10000000 * slowness(); resolver->ended == 0;) {
        CHECK(now_us() < until);
        sleep_ms(1);
    }
    CHECK_NUMBER(1, resolver->ended);
}

static void a_resolver_of_ones_own(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    struct resolver first = {0, 0}, slow = {0, 0}, last = {0, 0};
    CHECK_OK(hangup_client_set_proxy(client, NULL, &error), error);
    CHECK_OK(hangup_manager_set_resolver(manager, resolve, end, &first, &error), error);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(status_of(client, hello_at("name.test"), &error), error);
        CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_NOW, NULL), NULL);
        CHECK_NUMBER(1, first.asked);
    }
    CHECK_OK(hangup_manager_clear_addresses(manager), NULL);
    CHECK_OK(status_of(client, hello_at("name.test"), &error), error);
    CHECK_NUMBER(2, first.asked);

    CHECK_STATUS(HANGUP_RESOLVE_FAILED, status_of(client, "http://other.example/", &error), error);
    CHECK(strstr(hangup_error_message(error), "-2") != NULL);
    CHECK_NUMBER(HANGUP_PHASE_RESOLVE, hangup_error_phase(error));
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_RESOLVE_FAILED, status_of(client, "http://nobody.test/", &error), error);
    hangup_error_free(error);
    CHECK_NUMBER(0, first.ended);

    /* One that is slow is not waited for, and ends when it is done. */
    CHECK_OK(hangup_manager_set_resolver(manager, resolve_slowly, end, &slow, &error), error);
    wait_until_ended(&first);
    hangup_response *response = NULL;
    int64_t began = now_us();
    CHECK_STATUS(HANGUP_TIMED_OUT, hangup_client_get(client, "http://slow.test/", 50, &response, &error), error);
    CHECK(now_us() - began < 200000 * slowness());
    CHECK_NUMBER(HANGUP_PHASE_RESOLVE, hangup_error_phase(error));
    hangup_error_free(error);
    CHECK_OK(hangup_manager_set_resolver(manager, NULL, NULL, NULL, &error), error);
    wait_until_ended(&slow);
    CHECK_NUMBER(1, slow.asked);

    /* It ends with its manager, and at once if it was not taken. */
    CHECK_OK(hangup_manager_set_resolver(manager, resolve, end, &last, &error), error);
    hangup_client_free(client);
    hangup_manager_free(manager);
    wait_until_ended(&last);
    last.ended = 0;
    CHECK_STATUS(HANGUP_NULL, hangup_manager_set_resolver(NULL, resolve, end, &last, NULL), NULL);
    CHECK_NUMBER(1, last.ended);
}

static void through_a_proxy(void) {
    hangup_client *client = new_client(NULL);
    hangup_error *error = NULL;
    char proxy[256];
    const char *place = given("proxy") + strlen("http://");

    /* Only the proxy knows this name; and it wants credentials. */
    snprintf(proxy, sizeof proxy, "http://user:pass@%s", place);
    CHECK_OK(hangup_client_set_proxy(client, proxy, &error), error);
    CHECK_OK(status_of(client, "http://origin.test/", &error), error);
    CHECK_OK(hangup_client_set_proxy(client, given("proxy"), &error), error);
    CHECK_STATUS(HANGUP_PROXY_FAILED, status_of(client, "https://origin.test/", &error), error);
    CHECK_NUMBER(407, hangup_error_status_code(error));
    CHECK_NUMBER(HANGUP_PHASE_PROXY, hangup_error_phase(error));
    hangup_error_free(error);

    /* Not for these hosts, and not at all. */
    CHECK_OK(hangup_client_set_proxy(client, "http://127.0.0.1:1", &error), error);
    CHECK_STATUS(HANGUP_CONNECT_FAILED, status_of(client, given("hello"), NULL), NULL);
    CHECK_OK(hangup_client_set_no_proxy(client, "example.org, 127.0.0.0/8", &error), error);
    CHECK_OK(status_of(client, given("hello"), &error), error);
    CHECK_OK(hangup_client_set_no_proxy(client, "", &error), error);
    CHECK_STATUS(HANGUP_CONNECT_FAILED, status_of(client, given("hello"), NULL), NULL);
    CHECK_OK(hangup_client_set_proxy(client, NULL, &error), error);
    CHECK_OK(status_of(client, given("hello"), &error), error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_proxy(client, "gopher://x", &error), error);
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_no_proxy(client, "10.0.0.0/99", &error), error);
    hangup_error_free(error);

    /* As the environment says, when it is asked. */
    CHECK_NUMBER(0, setenv("http_proxy", "http://127.0.0.1:1", 1));
    CHECK_NUMBER(0, setenv("no_proxy", "", 1));
    CHECK_OK(status_of(client, given("hello"), &error), error);
    CHECK_OK(hangup_client_set_proxy_from_env(client, &error), error);
    CHECK_STATUS(HANGUP_CONNECT_FAILED, status_of(client, given("hello"), NULL), NULL);
    CHECK_NUMBER(0, unsetenv("http_proxy"));
    CHECK_OK(hangup_client_set_proxy_from_env(client, &error), error);
    CHECK_OK(status_of(client, given("hello"), &error), error);
    hangup_client_free(client);
}

static void from_an_address(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(hangup_client_set_local_address(client, i == 0 ? "127.0.0.2" : NULL, &error), error);
        CHECK_OK(status_of(client, given("hello"), &error), error);
        hangup_connections *list = NULL;
        hangup_connection_info info = {.size = sizeof info};
        CHECK_OK(hangup_manager_connections(manager, &list, NULL), NULL);
        CHECK_NUMBER(i + 1, hangup_connections_count(list));
        CHECK_OK(hangup_connections_at(list, (size_t)i, &info), NULL);
        CHECK_NUMBER(0, strncmp(info.local, i == 0 ? "127.0.0.2:" : "127.0.0.1:", 10));
        hangup_connections_free(list);
    }
    static const char *const wrong[] = {"", "localhost", "127.0.0.1:1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_local_address(client, wrong[i], &error), error);
        hangup_error_free(error);
    }
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void wait_until_idle(hangup_manager *manager, uint64_t count) {
    for (int64_t until = now_us() + 10000000 * slowness(); stats_of(manager).idle != count;) {
        CHECK(now_us() < until);
        sleep_ms(1);
    }
}

static void dialled_ahead(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    size_t begun = 99;
    CHECK_OK(hangup_client_preconnect(client, given("hello"), 2, &begun, &error), error);
    CHECK_NUMBER(2, begun);
    wait_until_idle(manager, 2);
    CHECK_OK(hangup_manager_preconnect(manager, given("hello"), 3, &begun, &error), error);
    CHECK_NUMBER(1, begun);
    wait_until_idle(manager, 3);
    CHECK_OK(hangup_client_preconnect(client, given("hello"), 3, NULL, &error), error);
    CHECK_OK(hangup_manager_preconnect(manager, given("hello"), 0, &begun, &error), error);
    CHECK_NUMBER(0, begun);
    CHECK_OK(status_of(client, given("hello"), &error), error);
    CHECK_NUMBER(3, stats_of(manager).opened);

    /* Not beyond the limits, and not for another client's settings. */
    CHECK_OK(hangup_manager_set_limit(manager, HANGUP_LIMIT_TOTAL, 4, &error), error);
    CHECK_OK(hangup_client_set_local_address(client, "127.0.0.2", &error), error);
    CHECK_OK(hangup_client_preconnect(client, given("hello"), 5, &begun, &error), error);
    CHECK_NUMBER(1, begun);
    CHECK_STATUS(HANGUP_INVALID_URL, hangup_client_preconnect(client, "nowhere", 1, &begun, &error), error);
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_INVALID_URL, hangup_manager_preconnect(manager, "ftp://x", 1, &begun, &error), error);
    hangup_error_free(error);
    CHECK_OK(hangup_manager_shutdown(manager), NULL);
    CHECK_STATUS(HANGUP_SHUT_DOWN, hangup_manager_preconnect(manager, given("hello"), 1, &begun, &error), error);
    hangup_error_free(error);
    CHECK_NUMBER(1, begun);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    addresses_by_hand();
    a_resolver_of_ones_own();
    through_a_proxy();
    from_an_address();
    dialled_ahead();
    return 0;
}
