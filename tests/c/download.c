/* A file is downloaded, in both forms, and each failure has its status and message. */

#include "check.h"

#include <stdlib.h>
#include <unistd.h>

#include "queue.h"

static char path[200];

static hangup_response *take_response(hangup_queue *queue, hangup_error **error) {
    hangup_completion done = HANGUP_COMPLETION_INIT;
    CHECK_OK(hangup_queue_next(queue, 10000, &done), NULL);
    CHECK_NUMBER(HANGUP_COMPLETION_TYPE_RESPONSE, done.type);
    *error = done.error;
    return done.response;
}

static void check_file(const char *expected) {
    char text[100] = "";
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    CHECK_TEXT(expected, text);
    CHECK(unlink(path) == 0);
}

static long most_memory(void) {
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    while (fgets(line, sizeof line, status) != NULL && sscanf(line, "VmHWM: %ld", &kib) != 1) {
    }
    fclose(status);
    return kib;
}

/* The memory of a download does not depend on its size. */
static void flat(hangup_client *client) {
    hangup_request *request = NULL;
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    hangup_download done = HANGUP_DOWNLOAD_INIT;
    CHECK_OK(hangup_request_new("GET", given("large"), &request, &error), error);
    long before = most_memory();
    CHECK_OK(hangup_client_download(client, request, path, NULL, &response, &error), error);
    CHECK_OK(hangup_response_download(response, &done), NULL);
    CHECK_NUMBER(100000000, done.bytes);
    if (most_memory() - before > 4096) {
        FAIL("%ld KiB for 100 MB", most_memory() - before);
    }
    CHECK(unlink(path) == 0);
    hangup_response_free(response);
    hangup_request_free(request);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    hangup_client *client = new_client(NULL);
    hangup_queue *queue = hangup_queue_new();
    hangup_request *request = NULL;
    hangup_response *response = NULL;
    hangup_error *error = NULL;
    snprintf(path, sizeof path, "/tmp/hangup-c-download-%d", (int)getpid());
    CHECK_OK(hangup_request_new("GET", given("hello"), &request, &error), error);
    hangup_download done = HANGUP_DOWNLOAD_INIT;
    hangup_download_options options = HANGUP_DOWNLOAD_OPTIONS_INIT;

    CHECK_OK(hangup_client_download(client, request, path, NULL, &response, &error), error);
    CHECK_OK(hangup_response_download(response, &done), NULL);
    CHECK_NUMBER(5, done.bytes);
    CHECK_NUMBER(5, done.received);
    CHECK_NUMBER(sizeof done, done.size);
    CHECK_NUMBER(200, hangup_response_status_code(response));
    hangup_response_free(response);
    check_file("hello");

    options.resumes = 2;
    CHECK_OK(hangup_client_submit_download(client, request, path, &options, queue, 7, &error), error);
    response = take_response(queue, &error);
    CHECK(response != NULL && error == NULL);
    CHECK_OK(hangup_response_download(response, &done), NULL);
    hangup_response_free(response);
    check_file("hello");

    options.max_bytes = 4;
    CHECK_STATUS(HANGUP_TOO_LARGE, hangup_client_download(client, request, path, &options, &response, NULL), NULL);
    options.max_bytes = -2;
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT, hangup_client_download(client, request, path, &options, &response, NULL), NULL);
    options.max_bytes = HANGUP_NO_LIMIT;
    options.resumes = -1;
    CHECK_STATUS(HANGUP_INVALID_ARGUMENT,
                 hangup_client_submit_download(client, request, path, &options, queue, 8, NULL), NULL);
    options.resumes = 0;
    /* A structure of which the library knows more than the caller. */
    options.size = 2 * sizeof(size_t);
    options.sync = -7;
    CHECK_OK(hangup_client_download(client, request, path, &options, &response, &error), error);
    hangup_response_free(response);
    check_file("hello");
    CHECK_STATUS(HANGUP_SYSTEM, hangup_client_download(client, request, "/no/such/file", NULL, &response, &error), NULL);
    CHECK_NUMBER(2, hangup_error_os_code(error));
    hangup_error_free(error);
    error = NULL;

    CHECK_OK(hangup_client_send(client, request, &response, &error), error);
    CHECK_STATUS(HANGUP_INVALID_STATE, hangup_response_download(response, &done), NULL);
    hangup_response_free(response);
    flat(client);
    hangup_request_free(request);
    hangup_queue_free(queue);
    hangup_client_free(client);
    return 0;
}
