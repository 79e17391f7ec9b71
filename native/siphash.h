/* SPDX-License-Identifier: Apache-2.0 */

/* SipHash-1-3, a keyed hash: who does not know the seed cannot choose keys
 * that collide (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
 * 2012; the variant with 1 and 3 rounds is what hash tables use). */

#ifndef NVO3_SIPHASH_H
#define NVO3_SIPHASH_H 1

#include <stddef.h>
#include <stdint.h>

/* Returns the hash of the 'size' bytes at 'data' under 'seed'. */
uint64_t siphash13(const uint64_t seed[2], const void *data, size_t size);

#endif /* siphash.h */
