/* SPDX-License-Identifier: Apache-2.0 */

#include "check.h"

#include <string.h>

#define MAX_CASES 512

static struct {
    const char *name;
    check_case *run;
} cases[MAX_CASES];
static size_t n_cases;

void
check_register(const char *name, check_case *run)
{
    CHECK(n_cases < MAX_CASES);
    cases[n_cases].name = name;
    cases[n_cases++].run = run;
}

/* Runs the case that argv[1] names, or all. */
int
main(int argc, char *argv[])
{
    size_t n_run = 0;

    for (size_t i = 0; i < n_cases; i++) {
        if (argc < 2 || !strcmp(argv[1], cases[i].name)) {
            cases[i].run();
            n_run++;
        }
    }
    if (!n_run) {
        fprintf(stderr, "%s: no such case\n", argc < 2 ? "all" : argv[1]);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
