/**
 * Small GETs that a redirect leads to, and with a cookie jar.
 *
 *     redirect_jar hangup|curl URL COOKIES REQUESTS [WARM-UP]
 *
 * URL answers with 200 and a body of three bytes, or redirects to such a URL: redirects are followed. COOKIES is "off" for
 * no jar, "0" for an empty one, a number for a jar with as many cookies of other sites, and "own" and a number, as "own50",
 * for cookies that are sent with each request.
 *
 * The modes are those of getters.h. Prints requests a second and microseconds of CPU a request.
 */
#include "getters.h"

int main(int argc, char **argv) {
    if (argc < 5) {
        stop("usage: %s hangup|curl URL off|COOKIES|ownCOOKIES REQUESTS [WARM-UP]", argv[0]);
    }
    static getter g;
    g.what.url = argv[2];
    g.what.jar = strcmp(argv[3], "off") != 0;
    g.what.own = strncmp(argv[3], "own", 3) == 0;
    g.what.cookies = g.what.jar ? atol(argv[3] + (g.what.own ? 3 : 0)) : 0;
    long requests = atol(argv[4]);
    report_requests(get_again(argv[1], &g, 3, argc > 5 ? atol(argv[5]) : 200, requests), requests);
    return 0;
}
