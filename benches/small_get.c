/**
 * Small GETs, one at a time, on one kept connection.
 *
 *     small_get hangup|hangup-url|curl|socket URL REQUESTS [WARM-UP]
 *
 * The modes are those of getters.h. Each of them gets the body of three bytes into memory of the caller and looks at its
 * size and the status. Prints requests a second and microseconds of CPU a request, in the program and in the kernel.
 */
#include "getters.h"

int main(int argc, char **argv) {
    if (argc < 4) {
        stop("usage: %s hangup|hangup-url|curl|socket URL REQUESTS [WARM-UP]", argv[0]);
    }
    static getter g;
    g.what.url = argv[2];
    long requests = atol(argv[3]);
    report_requests(get_again(argv[1], &g, 3, argc > 4 ? atol(argv[4]) : 200, requests), requests);
    return 0;
}
