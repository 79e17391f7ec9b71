/* SPDX-License-Identifier: Apache-2.0 */

/* Test cases that register themselves, for one program that runs them by
 * name: one case a process, so that a failure is one case's. */

#ifndef CHECK_H
#define CHECK_H 1

#include <stdio.h>
#include <stdlib.h>

typedef void check_case(void);

void check_register(const char *name, check_case *);

#define TEST(NAME)                                                           \
    static void test_##NAME(void);                                           \
    __attribute__((constructor)) static void                                 \
    register_##NAME(void)                                                    \
    {                                                                        \
        check_register(#NAME, test_##NAME);                                  \
    }                                                                        \
    static void                                                              \
    test_##NAME(void)

#define CHECK(CONDITION)                                                     \
    do {                                                                     \
        if (!(CONDITION)) {                                                  \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__,       \
                    #CONDITION);                                             \
            exit(EXIT_FAILURE);                                              \
        }                                                                    \
    } while (0)

/* Compares two integers and shows them where they differ. */
#define CHECK_EQ(A, B)                                                       \
    do {                                                                     \
        long long int a_ = (long long int) (A);                              \
        long long int b_ = (long long int) (B);                              \
        if (a_ != b_) {                                                      \
            fprintf(stderr, "%s:%d: %s is %lld, not %s = %lld\n", __FILE__,  \
                    __LINE__, #A, a_, #B, b_);                               \
            exit(EXIT_FAILURE);                                              \
        }                                                                    \
    } while (0)

#endif /* check.h */
