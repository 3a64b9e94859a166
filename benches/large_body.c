/**
 * A large body, received again and again on one kept connection.
 *
 *     large_body hangup|curl|curl-large|socket URL BODIES [decode] [roots=FILE]
 *
 * The modes are those of getters.h. With `decode` the clients ask for gzip, decode it, and count decoded bytes; so does zlib
 * at each of curl's pieces. Each of them counts the bytes and touches none. (curl lends its own buffer to the callback;
 * hangup fills the caller's.) Prints MB/s and CPU seconds a GB.
 */
#include "getters.h"

int main(int argc, char **argv) {
    if (argc < 4) {
        stop("usage: %s hangup|curl|curl-large|socket URL BODIES [decode] [roots=FILE]", argv[0]);
    }
    static getter g;
    g.what.url = argv[2];
    g.what.decodes = argc > 4 && strcmp(argv[4], "decode") == 0;
    g.what.roots = option(argv, 4, "roots");
    long bodies = atol(argv[3]);
    usage took = get_again(argv[1], &g, 0, 1, bodies);
    report_bytes(took, (double)g.size * (double)bodies);
    return 0;
}
