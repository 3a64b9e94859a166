/**
 * A large body, downloaded to a file again and again (hangup_client_download), and how much memory that takes.
 *
 *     large_file URL FILE BODIES
 *
 * For 5 GB: truncate -s 5G FILE in the folder of a server, and `large_file http://127.0.0.1:8080/FILE /tmp/file 1`.
 *
 * Prints MB/s and by how many KiB the most memory of the process (VmHWM) has grown. It fails if that is more than
 * 4 MiB: the memory of a download does not depend on its size.
 */
#include "bench.h"
#include <unistd.h>

static long most_memory(void) {
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) {
            break;
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return kib;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        stop("usage: %s URL FILE BODIES", argv[0]);
    }
    hangup_error *error = NULL;
    hangup_client *client = NULL;
    hangup_request *request = NULL;
    hangup_response *response = NULL;
    hangup_download_options options = HANGUP_DOWNLOAD_OPTIONS_INIT;
    options.sync = 0; /* the disk is not what is measured */
    check(hangup_client_new(NULL, &client, &error), "client", &error);
    check(hangup_request_new("GET", argv[1], &request, &error), "request", &error);
    double bytes = 0;
    long before = most_memory();
    usage begin = used();
    for (long i = 0; i < atol(argv[3]); i++) {
        hangup_download done = HANGUP_DOWNLOAD_INIT;
        check(hangup_client_download(client, request, argv[2], &options, &response, &error), argv[1], &error);
        check(hangup_response_download(response, &done), "download", &error);
        bytes += (double)done.bytes;
        hangup_response_free(response);
        unlink(argv[2]);
    }
    usage took = used_since(begin);
    long grown = most_memory() - before;
    printf("mb_s=%.0f user_s_gb=%.4f sys_s_gb=%.4f grown_kib=%ld\n", bytes / 1e6 / took.wall, took.user * 1e9 / bytes,
           took.kernel * 1e9 / bytes, grown);
    if (grown > 4096) {
        stop("the download took %ld KiB of memory", grown);
    }
    return 0;
}
