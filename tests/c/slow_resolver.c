/**
 * Preloaded into cancel.c: a getaddrinfo that blocks for a minute on names under `.blocked.invalid`, as a resolver does
 * whose server does not answer, and is the real one for every other name.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    static const char ending[] = ".blocked.invalid";
    size_t length = host == NULL ? 0 : strlen(host);
    if (length >= sizeof ending - 1 && strcmp(host + length - (sizeof ending - 1), ending) == 0) {
        sleep(60);
        return EAI_AGAIN;
    }
    resolver *real;
    /* POSIX says that this works; ISO C has no word for it, hence the detour over memory. */
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof real);
    return real(host, service, hints, found);
}
