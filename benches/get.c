/**
 * GETs of any kind, one at a time: with TLS, on new connections, with many header lines, in chunks, packed, from many origins.
 *
 *     get hangup|hangup-url|curl|curl-large|socket URL REQUESTS [WARM-UP] [roots=FILE] [decode=1] [origins=N]
 *
 * The modes and the options are those of getters.h. Whether connections are kept, whether TLS sessions are resumed, and how a
 * body comes is the server's choice, so that all clients do the same. The peers that are not in C take the same arguments
 * without the mode: peers/hyper (get-hyper), peers/ureq (get-ureq) and peers/get.go.
 *
 * Prints requests a second, microseconds of CPU a request, MB/s and CPU seconds a GB.
 */
#include "getters.h"

int main(int argc, char **argv) {
    if (argc < 4) {
        stop("usage: %s MODE URL REQUESTS [WARM-UP] [roots=FILE] [decode=1] [origins=N]", argv[0]);
    }
    static getter g;
    g.what.url = argv[2];
    g.what.roots = option(argv, 4, "roots");
    g.what.decodes = (int)option_number(argv, 4, "decode", 0);
    g.what.origins = option_number(argv, 4, "origins", 1);
    long requests = atol(argv[3]), warm_up = argc > 4 && strchr(argv[4], '=') == NULL ? atol(argv[4]) : 1;
    allow_descriptors();
    usage took = get_again(argv[1], &g, 0, warm_up, requests);
    report_requests(took, requests);
    report_bytes(took, (double)g.size * (double)requests);
    return 0;
}
