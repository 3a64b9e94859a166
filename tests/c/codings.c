/* Bodies that decode to much more than they are take bounded memory, in every coding. */

#include "check.h"

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

/* The windows, of 32 KiB, 16 MiB and 8 MiB, and what is around them. */
static const struct {
    const char *name;
    long most_kib;
} BOMBS[] = {{"gzip", 2048}, {"zstd", 12288}, {"br", 24576}, {"both", 36864}};

int main(int argc, char **argv) {
    static uint8_t room[64 * 1024];
    begin(argc, argv);
    hangup_error *error = NULL;
    hangup_client *client = new_client(NULL);
    CHECK_OK(hangup_client_set_decode(client, 1, &error), error);
    /* The pages of the library's code that a first request touches are no memory of a body. */
    hangup_response *first = NULL;
    CHECK_OK(hangup_client_get(client, given("small"), HANGUP_NO_LIMIT, &first, &error), error);
    check_body(first, "ok");
    hangup_response_free(first);
    for (size_t i = 0; i < sizeof BOMBS / sizeof *BOMBS; i++) {
        hangup_response *response = NULL;
        long before = most_memory();
        size_t got = 0, all = 0;
        CHECK_OK(hangup_client_get(client, given(BOMBS[i].name), HANGUP_NO_LIMIT, &response, &error), error);
        do {
            CHECK_OK(hangup_response_read(response, room, sizeof room, &got, &error), error);
            all += got;
        } while (got > 0);
        CHECK_NUMBER(100000000, all);
        hangup_response_free(response);
        long grown = most_memory() - before;
        printf("%s: %ld KiB\n", BOMBS[i].name, grown);
        if (grown > BOMBS[i].most_kib) {
            FAIL("%s took %ld KiB", BOMBS[i].name, grown);
        }
    }
    hangup_client_free(client);
    return 0;
}
