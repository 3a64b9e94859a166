/**
 * A server for benches/upload.c and its peers: it discards the body of each request, and responds when it has all of it.
 *
 *     sink [CERTIFICATE.pem KEY.pem]
 *
 * Prints its port on 127.0.0.1 and serves until its standard input ends. A child serves each connection. A body of a known
 * length is discarded by the system without being copied (MSG_TRUNC, tcp(7)), and one in chunks except for its last bytes, so
 * that the client is what is measured. With TLS (OpenSSL) it has to decrypt what comes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    int socket;
    SSL *tls;
} peer;

static char buffer[256 * 1024];

static ssize_t take(peer *from, char *into, size_t room) {
    return from->tls ? SSL_read(from->tls, into, (int)room) : recv(from->socket, into, room, 0);
}

/** Takes bytes of a body out, and at the end of them those that `last` keeps: five at most. */
static ssize_t discard(peer *from, size_t most, char last[5]) {
    ssize_t got = 0;
    if (from->tls == NULL && last == NULL) {
        return recv(from->socket, NULL, most, MSG_TRUNC);
    }
    if (from->tls == NULL) {
        struct pollfd entry = {.fd = from->socket, .events = POLLIN};
        int here = 0;
        poll(&entry, 1, -1);
        if (ioctl(from->socket, FIONREAD, &here) == 0 && here > 4096) {
            return recv(from->socket, NULL, (size_t)here - 4096, MSG_TRUNC);
        }
    }
    got = take(from, buffer, sizeof buffer);
    if (got > 0 && last != NULL) {
        size_t size = got < 5 ? (size_t)got : 5;
        memmove(last, last + size, 5 - size);
        memcpy(last + 5 - size, buffer + got - size, size);
    }
    return got;
}

/** Reads one request, whose body has no digits: in chunks it ends with the last one. Returns 0 if there is none. */
static int take_request(peer *from) {
    static char head[16 * 1024];
    size_t size = 0;
    char *body = NULL;
    while (body == NULL) {
        ssize_t got = size < sizeof head - 1 ? take(from, head + size, sizeof head - 1 - size) : 0;
        if (got <= 0) {
            return 0;
        }
        size += (size_t)got;
        head[size] = 0;
        body = strstr(head, "\r\n\r\n");
    }
    const char *length = strcasestr(head, "\r\ncontent-length:");
    if (length != NULL && length < body) {
        long long left = atoll(length + 17) - (long long)(head + size - body - 4);
        while (left > 0) {
            ssize_t got = discard(from, (size_t)left, NULL);
            if (got <= 0) {
                return 0;
            }
            left -= got;
        }
        return 1;
    }
    const char *coding = strcasestr(head, "\r\ntransfer-encoding:");
    if (coding == NULL || coding > body) {
        return 1;
    }
    char last[5] = {0};
    size_t here = (size_t)(head + size - body - 4), few = here < 5 ? here : 5;
    memcpy(last + 5 - few, head + size - few, few);
    while (memcmp(last, "0\r\n\r\n", 5) != 0) {
        if (discard(from, sizeof buffer, last) <= 0) {
            return 0;
        }
    }
    return 1;
}

static void serve(int socket, SSL_CTX *context) {
    static const char done[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok.";
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer from = {.socket = socket};
    if (context != NULL) {
        from.tls = SSL_new(context);
        SSL_set_fd(from.tls, socket);
        if (SSL_accept(from.tls) != 1) {
            return;
        }
    }
    while (take_request(&from)) {
        ssize_t sent = from.tls ? SSL_write(from.tls, done, sizeof done - 1) : send(socket, done, sizeof done - 1, 0);
        if (sent <= 0) {
            return;
        }
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &size) != 0) {
        perror("no socket");
        return 1;
    }
    SSL_CTX *context = NULL;
    if (argc > 2) {
        context = SSL_CTX_new(TLS_server_method());
        if (SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
            SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1) {
            fprintf(stderr, "%s or %s can't be used\n", argv[1], argv[2]);
            return 1;
        }
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_set_default_read_buffer_len(context, 128 * 1024);
    }
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        struct pollfd entries[] = {{.fd = listener, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        if (poll(entries, 2, -1) < 0) {
            continue;
        }
        if (entries[1].revents != 0 && read(0, buffer, sizeof buffer) <= 0) {
            return 0;
        }
        int connection = entries[0].revents != 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (connection >= 0 && fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(listener);
            serve(connection, context);
            _exit(0);
        }
        if (connection >= 0) {
            close(connection);
        }
    }
}
