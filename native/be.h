/* SPDX-License-Identifier: Apache-2.0 */

/* Big-endian integers at any address, to and from host byte order.
 *
 * A header is an array of bytes and a list of offsets: no bit-fields, no
 * packed structs, no alignment to care for. */

#ifndef NVO3_BE_H
#define NVO3_BE_H 1

#include <stdint.h>

static inline uint16_t
be16_load(const void *p)
{
    const uint8_t *b = p;

    return (uint16_t) (b[0] << 8 | b[1]);
}

static inline uint32_t
be32_load(const void *p)
{
    const uint8_t *b = p;

    return ((uint32_t) b[0] << 24 | (uint32_t) b[1] << 16
            | (uint32_t) b[2] << 8 | b[3]);
}

static inline uint64_t
be64_load(const void *p)
{
    const uint8_t *b = p;

    return (uint64_t) be32_load(b) << 32 | be32_load(b + 4);
}

static inline void
be16_store(void *p, uint16_t value)
{
    uint8_t *b = p;

    b[0] = (uint8_t) (value >> 8);
    b[1] = (uint8_t) value;
}

static inline void
be32_store(void *p, uint32_t value)
{
    uint8_t *b = p;

    be16_store(b, (uint16_t) (value >> 16));
    be16_store(b + 2, (uint16_t) value);
}

static inline void
be64_store(void *p, uint64_t value)
{
    uint8_t *b = p;

    be32_store(b, (uint32_t) (value >> 32));
    be32_store(b + 4, (uint32_t) value);
}

#endif /* be.h */
