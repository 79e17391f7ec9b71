/* SPDX-License-Identifier: Apache-2.0 */

/* Fuzz target of the STT parsers: any bytes give a verdict, and what is
 * accepted lies within the bytes, can be written again and is parsed the
 * same. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
parse_packet(const uint8_t *data, size_t size)
{
    for (unsigned int trust = 0; trust < 4; trust++) {
        struct stt_packet p;

        if (!stt_packet_parse(&p, data, size, trust)) {
            const struct stt_segment *s = &p.segment;
            struct stt_segment again;
            uint8_t tcp[STT_TCP_HEADER_SIZE + 1];

            assert(s->length && s->total >= STT_TOTAL_MIN);
            assert((size_t) p.payload_offset + s->length <= size);
            assert(s->offset + s->length <= s->total);
            stt_segment_put(tcp, s);
            assert(!stt_segment_parse(&again, tcp, sizeof tcp));
            assert(again.id == s->id && again.offset == s->offset
                   && again.total == s->total);
        }
    }
}

/* Does with the inner frame in its own block what a receiver may do. */
static void
parse_inner(const struct stt_header *header, const uint8_t *data, size_t size)
{
    uint8_t *eth = malloc(size);
    struct stt_inner inner;

    assert(eth);
    memcpy(eth, data, size);
    if (!stt_inner_check(&inner, header, eth, size)) {
        struct stt_header again = *header;

        assert(inner.l3_offset < inner.l4_offset
               && inner.l4_offset < inner.payload_offset
               && inner.payload_offset <= inner.end && inner.end <= size);
        assert(!stt_header_set_partial(&again, &inner, header->mss));
        assert(again.flags == header->flags);
        if (!stt_inner_mss(&inner, header)) {
            stt_inner_complete(eth, &inner);
        }
        stt_inner_put_partial(eth, &inner);
        assert(!stt_inner_check(&inner, header, eth, size));
    }
    free(eth);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stt_header header;

    if (size < 1) {
        return 0;
    }
    if (data[0] % 2) {
        parse_packet(data + 1, size - 1);
    } else if (!stt_header_parse(&header, data + 1, size - 1)) {
        uint8_t wire[STT_TOTAL_MIN] = { 0 };
        struct stt_header again;

        assert(!stt_header_put(wire, &header));
        assert(!stt_header_parse(&again, wire, sizeof wire));
        assert(again.flags == header.flags && again.mss == header.mss
               && again.context_id == header.context_id
               && again.vlan_tci == header.vlan_tci
               && again.has_vlan == header.has_vlan);
        if (header.flags & STT_F_CSUM_PARTIAL) {
            parse_inner(&header, data + 1 + STT_HEADER_SIZE,
                        size - 1 - STT_HEADER_SIZE);
        }
    }
    return 0;
}
