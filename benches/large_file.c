/**
 * A large body, downloaded to a file or uploaded again and again, and how much memory that takes.
 *
 *     large_file URL FILE BODIES                       downloads it to the file (hangup_client_download)
 *     large_file upload file|pushed|reader FILE BODIES  uploads as many bytes as the file has
 *
 * For a download of 5 GB: truncate -s 5G FILE in the folder of a server, and
 * `large_file http://127.0.0.1:8080/FILE /tmp/file 1`. An upload needs no server: a child of the program reads it. The body is
 * the file itself (hangup_request_set_body_file), is written by a second thread (hangup_upload_write_all), or comes from a
 * callback (hangup_request_set_body_reader), both from memory.
 *
 * Prints MB/s and by how many KiB the most memory of the process (VmHWM) has grown. It fails if that is more than
 * 4 MiB: the memory of a transfer does not depend on its size.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t piece[64 * 1024];

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

/** Reads one request, whose body is zeros: it ends after its length or with the last chunk. Returns 0 if there is none. */
static int take_request(int connection) {
    static char buffer[256 * 1024];
    size_t got = 0;
    char *body = NULL;
    while (body == NULL) {
        ssize_t more = got < 8192 ? read(connection, buffer + got, 8192 - got) : 0;
        if (more <= 0) {
            return 0;
        }
        got += (size_t)more;
        buffer[got] = 0;
        body = strstr(buffer, "\r\n\r\n");
    }
    const char *length = strcasestr(buffer, "\r\ncontent-length:");
    long long left = length != NULL ? atoll(length + 17) - (buffer + got - body - 4) : 0;
    char last[5] = {0};
    while (length == NULL ? memcmp(last, "0\r\n\r\n", 5) != 0 : left > 0) {
        ssize_t more = read(connection, buffer, sizeof buffer);
        if (more <= 0) {
            return 0;
        }
        left -= more;
        size_t end = more < 5 ? (size_t)more : 5;
        memmove(last, last + end, 5 - end);
        memcpy(last + 5 - end, buffer + more - end, end);
    }
    return 1;
}

/** A child that reads requests on this port of 127.0.0.1 and responds at the end of each; it ends with this process. */
static int start_sink(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 8) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &size) != 0) {
        stop("no socket for the child that reads");
    }
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int connection = accept(listener, NULL, NULL);
            static const char done[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            while (connection >= 0 && take_request(connection) && write(connection, done, sizeof done - 1) > 0) {
            }
            close(connection);
        }
    }
    close(listener);
    return ntohs(at.sin_port);
}

typedef struct {
    hangup_upload *upload;
    int64_t left;
} source;

static int64_t read_source(void *user_data, uint8_t *into, size_t room) {
    source *from = user_data;
    size_t size = from->left < (int64_t)room ? (size_t)from->left : room;
    memset(into, 0, size);
    from->left -= (int64_t)size;
    return (int64_t)size;
}

static void *write_source(void *user_data) {
    source *from = user_data;
    hangup_error *error = NULL;
    while (from->left > 0) {
        size_t size = from->left < (int64_t)sizeof piece ? (size_t)from->left : sizeof piece;
        check(hangup_upload_write_all(from->upload, piece, size, &error), "write", &error);
        from->left -= (int64_t)size;
    }
    check(hangup_upload_finish(from->upload, &error), "finish", &error);
    return NULL;
}

/** Uploads it once, and returns its size. */
static double upload(hangup_client *client, hangup_request *request, const char *how, const char *path) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    struct stat file;
    if (stat(path, &file) != 0) {
        stop("%s can't be read", path);
    }
    source from = {.left = file.st_size};
    pthread_t writer;
    if (strcmp(how, "file") == 0) {
        check(hangup_request_set_body_file(request, path, &error), path, &error);
    } else if (strcmp(how, "reader") == 0) {
        check(hangup_request_set_body_reader(request, read_source, NULL, &from, file.st_size, &error), "reader", &error);
    } else if (strcmp(how, "pushed") == 0) {
        check(hangup_upload_new(HANGUP_NO_LIMIT, &from.upload, &error), "upload", &error);
        check(hangup_request_set_body_upload(request, from.upload, &error), "upload", &error);
        if (pthread_create(&writer, NULL, write_source, &from) != 0) {
            stop("no thread");
        }
    } else {
        stop("a body is file, pushed or reader, not %s", how);
    }
    check(hangup_client_send(client, request, &response, &error), "upload", &error);
    if (hangup_response_status_code(response) != 200) {
        stop("the body was not taken");
    }
    hangup_response_free(response);
    if (from.upload != NULL) {
        pthread_join(writer, NULL);
        hangup_upload_free(from.upload);
    }
    return (double)file.st_size;
}

static double download(hangup_client *client, hangup_request *request, const char *url, const char *path) {
    hangup_error *error = NULL;
    hangup_response *response = NULL;
    hangup_download_options options = HANGUP_DOWNLOAD_OPTIONS_INIT;
    options.sync = 0; /* the disk is not what is measured */
    hangup_download done = HANGUP_DOWNLOAD_INIT;
    check(hangup_client_download(client, request, path, &options, &response, &error), url, &error);
    check(hangup_response_download(response, &done), "download", &error);
    hangup_response_free(response);
    unlink(path);
    return (double)done.bytes;
}

int main(int argc, char **argv) {
    int uploads = argc == 5 && strcmp(argv[1], "upload") == 0;
    if (argc != 4 && !uploads) {
        stop("usage: %s URL FILE BODIES, or %s upload file|pushed|reader FILE BODIES", argv[0], argv[0]);
    }
    hangup_error *error = NULL;
    hangup_client *client = NULL;
    hangup_request *request = NULL;
    char url[64];
    if (uploads) {
        snprintf(url, sizeof url, "http://127.0.0.1:%d/", start_sink());
    }
    check(hangup_client_new(NULL, &client, &error), "client", &error);
    check(hangup_request_new(uploads ? "PUT" : "GET", uploads ? url : argv[1], &request, &error), "request", &error);
    double bytes = 0;
    long before = most_memory();
    usage begin = used();
    for (long i = 0; i < atol(argv[argc - 1]); i++) {
        bytes += uploads ? upload(client, request, argv[2], argv[3]) : download(client, request, argv[1], argv[2]);
    }
    usage took = used_since(begin);
    long grown = most_memory() - before;
    printf("mb_s=%.0f user_s_gb=%.4f sys_s_gb=%.4f grown_kib=%ld\n", bytes / 1e6 / took.wall, took.user * 1e9 / bytes,
           took.kernel * 1e9 / bytes, grown);
    if (grown > 4096) {
        stop("the transfer took %ld KiB of memory", grown);
    }
    return 0;
}
