/**
 * What the C++ tests share: a check that names its place, and the servers that they are given as arguments.
 */
#ifndef HANGUP_TEST_CHECK_HPP
#define HANGUP_TEST_CHECK_HPP

#include <cstdlib>
#include <iostream>
#include <string>

#define CHECK(condition)                                                                             \
    do {                                                                                             \
        if (!(condition)) {                                                                          \
            std::cerr << __FILE__ << ':' << __LINE__ << ": not so: " << #condition << std::endl;     \
            std::exit(1);                                                                            \
        }                                                                                            \
    } while (false)

namespace {

int given_count;
char **given_values;

std::string given(const std::string &name) {
    for (int i = 1; i < given_count; i++) {
        const std::string argument = given_values[i];
        if (argument.compare(0, name.size() + 1, name + "=") == 0) {
            return argument.substr(name.size() + 1);
        }
    }
    std::cerr << "this program needs an argument " << name << "=...\n";
    std::exit(1);
}

}  // namespace

#endif
