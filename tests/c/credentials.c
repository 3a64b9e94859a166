/**
 * Credentials, the retry policy, and the list and files of cookies, from C. Servers: `digest` asks for digest
 * authentication once and answers with the request's head from then on; `refuses` answers 401 once and then with the
 * request's head; `busy` answers 503 with a Retry-After once, and then "hello"; `echo` answers with the request's head.
 */
#include "check.h"

static hangup_response *sent(hangup_client *client, hangup_request *request) {
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    return response;
}

/** Reads the response to its end and frees it; answers whether its body holds that text. */
static int says(hangup_response *response, const char *text) {
    char *body = body_text(response);
    int found = strstr(body, text) != NULL;
    free(body);
    hangup_response_free(response);
    return found;
}

static void each_kind(void) {
    hangup_client *client = new_client(NULL);
    hangup_error *error = NULL;
    const char *echo = given("echo");
    CHECK_OK(hangup_client_set_auth_basic(client, "u", "p", &error), error);
    CHECK(says(get(client, echo), "Authorization: Basic dTpw\r\n"));
    CHECK_OK(hangup_client_set_auth_bearer(client, "token", &error), error);
    CHECK(says(get(client, echo), "Authorization: Bearer token\r\n"));
    hangup_request *request = new_request("GET", echo);
    CHECK_OK(hangup_request_set_auth_basic(request, "u", "p", &error), error);
    CHECK(says(sent(client, request), "Authorization: Basic dTpw\r\n"));
    CHECK_OK(hangup_request_clear_auth(request), NULL);
    CHECK(!says(sent(client, request), "Authorization"));
    hangup_request_free(request);
    CHECK_STATUS(HANGUP_SYSTEM, hangup_client_set_auth_netrc(client, "/no/such/file", NULL), NULL);
    CHECK_OK(hangup_client_clear_auth(client), NULL);
    CHECK(!says(get(client, echo), "Authorization"));
    CHECK_OK(hangup_client_set_auth_digest(client, "u", "p", &error), error);
    hangup_response *response = get(client, given("digest"));
    CHECK_NUMBER(2, hangup_response_attempts(response));
    CHECK(says(response, "Authorization: Digest username=\"u\""));
    CHECK(says(get(client, given("digest")), "nc=00000002"));
    hangup_client_free(client);
}

static int32_t give(void *user_data, const char *origin, const char *refused, hangup_token *token) {
    int *calls = user_data;
    CHECK(strncmp(origin, "http://127.0.0.1:", 17) == 0);
    CHECK((refused == NULL) == (*calls % 10 == 0));
    ++*calls;
    return (int32_t)hangup_token_set_value(token, refused == NULL ? "first" : "second");
}

static int32_t fail(void *user_data, const char *origin, const char *refused, hangup_token *token) {
    (void)user_data, (void)origin, (void)refused, (void)token;
    return 7;
}

static void end(void *user_data) {
    *(int *)user_data += 10;
}

static void tokens(void) {
    hangup_client *client = new_client(NULL);
    hangup_error *error = NULL;
    int calls = 0;
    CHECK_OK(hangup_client_set_auth_token(client, give, end, &calls, &error), error);
    CHECK(says(get(client, given("refuses")), "Authorization: Bearer second\r\n"));
    CHECK_NUMBER(2, calls);
    int ends = 0;
    CHECK_OK(hangup_client_set_auth_token(client, fail, end, &ends, &error), error);
    CHECK_NUMBER(12, calls);
    hangup_response *response = NULL;
    CHECK_STATUS(HANGUP_AUTH_FAILED, hangup_client_get(client, given("echo"), 20000, &response, &error), error);
    CHECK(strstr(hangup_error_message(error), "returned 7") != NULL);
    hangup_error_free(error);
    hangup_client_free(client);
    CHECK_NUMBER(10, ends);
    CHECK_STATUS(HANGUP_NULL, hangup_client_set_auth_token(NULL, give, end, &ends, NULL), NULL);
    CHECK_NUMBER(20, ends);
}

static void retries(void) {
    hangup_manager *manager = new_manager();
    hangup_client *client = new_client(manager);
    hangup_error *error = NULL;
    hangup_events *events = NULL;
    CHECK_OK(hangup_manager_events(manager, 100, &events, &error), error);
    hangup_retry_policy policy = HANGUP_RETRY_POLICY_INIT;
    policy.first_delay_ms = 1;
    CHECK_OK(hangup_client_set_retry_policy(client, &policy, &error), error);
    hangup_response *response = get(client, given("busy"));
    CHECK_NUMBER(200, hangup_response_status_code(response));
    CHECK_NUMBER(2, hangup_response_attempts(response));
    CHECK(says(response, "hello"));
    hangup_event event = HANGUP_EVENT_INIT;
    int retried = 0;
    while (hangup_events_next(events, 0, &event) == HANGUP_OK) {
        if (event.type == HANGUP_EVENT_TYPE_RETRIED) {
            retried++;
            CHECK_NUMBER(HANGUP_RETRY_REASON_STATUS_CODE, event.retry_reason);
            CHECK_NUMBER(0, event.delay_ns);
            CHECK_TEXT("status code", hangup_retry_reason_text(event.retry_reason));
        } else {
            CHECK(event.retry_reason == 0 && event.delay_ns == -1);
        }
    }
    CHECK_NUMBER(1, retried);
    int32_t codes[] = {200};
    policy.status_codes = codes;
    policy.status_code_count = 1;
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_retry_policy(client, &policy, NULL), NULL);
    policy.status_codes = NULL;
    policy.connect_errors = 5;
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_retry_policy(client, &policy, NULL), NULL);
    policy.connect_errors = -1;
    CHECK_OK(hangup_client_set_retry_policy(client, &policy, &error), error);
    policy.size = 8;
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_set_retry_policy(client, &policy, NULL), NULL);
    CHECK_OK(hangup_client_set_retry_policy(client, NULL, &error), error);
    hangup_events_free(events);
    hangup_client_free(client);
    hangup_manager_free(manager);
}

static void cookie_files(void) {
    hangup_client *client = new_client(NULL);
    hangup_error *error = NULL;
    char path[256];
    snprintf(path, sizeof path, "%s/hangup-cookies-%d", getenv("TMPDIR") == NULL ? "/tmp" : getenv("TMPDIR"), (int)getpid());
    CHECK_OK(hangup_client_set_cookies(client, 1, &error), error);
    CHECK_OK(hangup_client_add_cookie(client, "https://shop.example/", "id=7; Secure; HttpOnly; Max-Age=3600", &error), error);
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_add_cookie(client, "http://localhost/", "a=b; Secure", NULL), NULL);
    CHECK_OK(hangup_client_set_secure_cookies_on_localhost(client, 1, &error), error);
    CHECK_OK(hangup_client_add_cookie(client, "http://localhost/", "a=b; Secure", &error), error);
    for (hangup_cookie_format format = HANGUP_COOKIE_FORMAT_NETSCAPE; format <= HANGUP_COOKIE_FORMAT_JSON; format = (hangup_cookie_format)(format + 1)) {
        CHECK_OK(hangup_client_save_cookies(client, path, format, &error), error);
        CHECK_OK(hangup_client_clear_cookies(client), NULL);
        CHECK_OK(hangup_client_load_cookies(client, path, &error), error);
        hangup_cookies *list = NULL;
        CHECK_OK(hangup_client_cookies(client, &list, &error), error);
        CHECK_NUMBER(2, hangup_cookies_count(list));
        hangup_cookie_info cookie = HANGUP_COOKIE_INFO_INIT;
        CHECK_OK(hangup_cookies_at(list, 1, &cookie), NULL);
        CHECK_TEXT("id", cookie.name);
        CHECK_TEXT("7", cookie.value);
        CHECK_NUMBER(1, cookie.value_size);
        CHECK_TEXT("shop.example", cookie.domain);
        CHECK_TEXT("/", cookie.path);
        CHECK(cookie.secure == 1 && cookie.http_only == 1 && cookie.host_only == 1 && cookie.expires > 1000000000);
        CHECK_OK(hangup_cookies_at(list, 0, &cookie), NULL);
        CHECK(cookie.expires == -1);
        CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_cookies_at(list, 2, &cookie), NULL);
        hangup_cookies_free(list);
    }
    CHECK_NUMBER(0, remove(path));
    CHECK_STATUS(HANGUP_SYSTEM, hangup_client_load_cookies(client, path, NULL), NULL);
    hangup_client_free(client);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    each_kind();
    tokens();
    retries();
    cookie_files();
    return 0;
}
