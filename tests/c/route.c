/**
 * The way to an origin: which address its name stands for, through which proxy, from which address and interface of
 * ours, to which other place; connections that this program makes; and connections that are dialled ahead. Servers: `hello` answers 200 "hello" for ever; `proxy` lets "user:pass" through
 * and knows origin.test as `hello`.
 */
#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

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
    /** How long its addresses are to be cached; 0 is a minute. */
    int64_t ttl_ms;
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
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_addresses_set_ttl(addresses, -2), NULL);
    CHECK_OK(hangup_addresses_set_ttl(addresses, HANGUP_NO_LIMIT), NULL);
    CHECK_OK(hangup_addresses_set_ttl(addresses, resolver->ttl_ms == 0 ? 60000 : resolver->ttl_ms), NULL);
    CHECK_OK(hangup_addresses_set_ttl(addresses, HANGUP_NO_LIMIT), NULL);
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
    struct resolver first = {0}, slow = {0}, last = {0};
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

    /* For as long as it says, and no longer. */
    first.ttl_ms = 1;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(hangup_manager_clear_addresses(manager), NULL);
        for (int j = 0; j < 2; j++) {
            CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_NOW, NULL), NULL);
            CHECK_OK(status_of(client, hello_at("name.test"), &error), error);
            sleep_ms(2);
        }
        CHECK_NUMBER(i == 0 ? 4 : 5, first.asked);
        first.ttl_ms = 0;
    }

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

static void one_family_and_one_interface(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_set_proxy(client, NULL, &error), error);
    CHECK_OK(hangup_manager_set_address(manager, "six.test", "::1", &error), error);
    CHECK_OK(hangup_client_set_address_family(client, HANGUP_ADDRESS_FAMILY_IPV4, &error), error);
    CHECK_OK(status_of(client, given("hello"), &error), error);
    CHECK_STATUS(HANGUP_CONNECT_FAILED, status_of(client, "http://six.test/", &error), error);
    CHECK(strstr(hangup_error_message(error), "IPv4") != NULL);
    hangup_error_free(error);
    CHECK_OK(hangup_client_set_address_family(client, HANGUP_ADDRESS_FAMILY_ANY, &error), error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_address_family(client, (hangup_address_family)5, &error), error);
    hangup_error_free(error);
    CHECK_TEXT("ipv6", hangup_address_family_text(HANGUP_ADDRESS_FAMILY_IPV6));

    CHECK_OK(hangup_client_set_happy_eyeballs_delay(client, 100, &error), error);
    CHECK_OK(hangup_client_set_happy_eyeballs_delay(client, HANGUP_NO_LIMIT, &error), error);
    CHECK_OK(status_of(client, given("hello"), &error), error);
    CHECK_STATUS(HANGUP_INVALID_TIMEOUT, hangup_client_set_happy_eyeballs_delay(client, 0, &error), error);
    hangup_error_free(error);

    CHECK_OK(hangup_client_set_interface(client, "lo", &error), error);
    CHECK_OK(status_of(client, given("hello"), &error), error);
    /* Three that were connected, and the dial that failed. */
    CHECK_NUMBER(4, stats_of(manager).opened);
    CHECK_OK(hangup_client_set_interface(client, "nowhere0", &error), error);
    CHECK_STATUS(HANGUP_CONNECT_FAILED, status_of(client, given("hello"), &error), error);
    CHECK(strstr(hangup_error_message(error), "nowhere0") != NULL);
    CHECK_NUMBER(ENODEV, hangup_error_os_code(error));
    hangup_error_free(error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_interface(client, "", &error), error);
    hangup_error_free(error);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void to_another_place(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    char place[64];
    snprintf(place, sizeof place, "%s", given("hello") + strlen("http://"));
    place[strcspn(place, "/")] = '\0';
    CHECK_OK(hangup_client_set_proxy(client, NULL, &error), error);
    CHECK_OK(hangup_client_add_connect_to(client, "name.invalid:80", place, NULL, &error), error);
    CHECK_OK(status_of(client, "http://name.invalid/", &error), error);
    hangup_connections *list = NULL;
    hangup_connection_info info = {.size = sizeof info};
    CHECK_OK(hangup_manager_connections(manager, &list, NULL), NULL);
    CHECK_OK(hangup_connections_at(list, 0, &info), NULL);
    CHECK_TEXT("http://name.invalid:80", info.origin);
    CHECK_TEXT(place, info.peer);
    hangup_connections_free(list);
    CHECK_OK(hangup_client_clear_connect_to(client), NULL);
    CHECK_STATUS(HANGUP_RESOLVE_FAILED, status_of(client, "http://name.invalid/", NULL), NULL);
    static const char *const wrong[][3] = {{"", "a", NULL}, {"a:x", "a", NULL}, {"a", "unix:x", NULL}, {"a", "b", "c:1"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hangup_status status = hangup_client_add_connect_to(client, wrong[i][0], wrong[i][1], wrong[i][2], &error);
        CHECK_STATUS(HANGUP_INVALID_ARGUMENT, status, error);
        hangup_error_free(error);
    }
    hangup_client_free(client);
    hangup_manager_free(manager);
}

/** A connector of this program. */
struct connector {
    _Atomic int asked, ended;
    char origin[64], host[64];
    int32_t port;
    /** What it returns instead of a connection to `hello`; 0 for that. */
    int32_t failure;
};

static int32_t connect_to_hello(void *user_data, const char *origin, const char *host, int32_t port) {
    struct connector *connector = user_data;
    snprintf(connector->origin, sizeof connector->origin, "%s", origin);
    snprintf(connector->host, sizeof connector->host, "%s", host);
    connector->port = port;
    connector->asked++;
    if (connector->failure != 0) {
        return connector->failure;
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    to.sin_port = htons((uint16_t)atoi(strrchr(given("hello"), ':') + 1));
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    return connect(descriptor, (struct sockaddr *)&to, sizeof to) == 0 ? descriptor : (close(descriptor), -errno);
}

static void end_connector(void *user_data) {
    ((struct connector *)user_data)->ended++;
}

static void a_connector_of_ones_own(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    struct connector first = {0}, second = {0};
    CHECK_OK(hangup_client_set_connector(client, connect_to_hello, end_connector, &first, &error), error);
    CHECK_OK(status_of(client, "http://service.invalid:8080/", &error), error);
    CHECK_OK(status_of(client, "http://service.invalid:8080/", &error), error);
    CHECK_NUMBER(1, first.asked);
    CHECK_TEXT("http://service.invalid:8080", first.origin);
    CHECK_TEXT("service.invalid", first.host);
    CHECK_NUMBER(8080, first.port);

    /* Another one has its own connections, and what it fails with is the error of the request. */
    static const int32_t failures[][2] = {{-ECONNREFUSED, ECONNREFUSED}, {1000000, EBADF}, {INT32_MIN, 0}};
    CHECK_OK(hangup_client_set_connector(client, connect_to_hello, end_connector, &second, &error), error);
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        second.failure = failures[i][0];
        CHECK_STATUS(HANGUP_CONNECT_FAILED, status_of(client, "http://service.invalid:8080/", &error), error);
        CHECK_NUMBER(HANGUP_PHASE_CONNECT, hangup_error_phase(error));
        CHECK_NUMBER(failures[i][1], hangup_error_os_code(error));
        hangup_error_free(error);
    }
    second.failure = 0;
    CHECK_OK(status_of(client, "http://service.invalid:8080/", &error), error);
    CHECK_NUMBER(4, second.asked);
    CHECK_NUMBER(0, first.ended);
    CHECK_OK(hangup_manager_close_all(manager, HANGUP_CLOSE_MODE_NOW, NULL), NULL);
    CHECK_OK(hangup_client_set_connector(client, NULL, NULL, NULL, &error), error);
    for (int64_t until = now_us() + 10000000 * slowness(); first.ended + second.ended < 2;) {
        CHECK(now_us() < until);
        sleep_ms(1);
    }
    hangup_client_free(client);
    hangup_manager_free(manager);
    CHECK_NUMBER(1, first.ended);
    CHECK_NUMBER(1, second.ended);
}

static void unknown_entries_of_the_environment(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    hangup_string *entries = NULL;
    hangup_events *events = NULL;
    CHECK_NUMBER(0, setenv("no_proxy", "127.0.0.1,192.168.*,a/b", 1));
    CHECK_OK(hangup_client_set_proxy_from_env(client, &error), error);
    CHECK_OK(hangup_client_ignored_no_proxy(client, &entries, &error), error);
    CHECK_TEXT("192.168.*,a/b", hangup_string_value(entries, NULL));
    hangup_string_free(entries);
    CHECK_OK(hangup_manager_events(manager, 100, &events, &error), error);
    CHECK_OK(status_of(client, given("hello"), &error), error);
    hangup_event event = HANGUP_EVENT_INIT;
    CHECK_OK(hangup_events_next(events, 0, &event), NULL);
    CHECK_NUMBER(HANGUP_EVENT_TYPE_NO_PROXY_IGNORED, event.type);
    CHECK_NUMBER(0, event.connection);
    hangup_events_free(events);
    CHECK_NUMBER(0, unsetenv("no_proxy"));
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
    one_family_and_one_interface();
    to_another_place();
    a_connector_of_ones_own();
    unknown_entries_of_the_environment();
    dialled_ahead();
    return 0;
}
