/* SPDX-License-Identifier: Apache-2.0 */

/* A fast hash of 64-bit words, for tables in which an attacker gains nothing
 * by collisions: what is in them is the controller's, or is replaced. */

#ifndef FASTPATH_HASH_H
#define FASTPATH_HASH_H 1

#include <stdint.h>

#define HASH_BASIS UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t
hash_add(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 32;
}

static inline uint32_t
hash_finish(uint64_t hash)
{
    hash *= UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t) (hash >> 32);
}

#endif /* hash.h */
