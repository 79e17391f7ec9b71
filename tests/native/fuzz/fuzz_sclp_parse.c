/* SPDX-License-Identifier: Apache-2.0 */

/* Fuzz target of the SCLP parsers: any bytes give a verdict, and what is
 * accepted lies within the bytes, can be written again and is parsed the
 * same.
 *
 * The first byte says what follows: an even one a frame, with its next bit
 * Geneve instead of VXLAN; an odd one an IPv4 packet, behind two bytes of the
 * size of datagrams in a super-packet. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "be.h"
#include "sclp-payload.h"
#include "sclp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_segment(const struct sclp_segment *s)
{
    uint8_t sclp[SCLP_HEADER_SIZE];
    struct sclp_segment again;

    assert(s->length && s->length + s->remaining <= SCLP_TOTAL_MAX);
    assert(!(s->id & ~SCLP_ID_MASK));
    sclp_segment_put(sclp, s);
    assert(!sclp_segment_parse(&again, sclp, SCLP_HEADER_SIZE + s->length));
    assert(again.id == s->id && again.is_first == s->is_first
           && again.src_port == s->src_port && again.dst_port == s->dst_port
           && again.remaining == s->remaining && again.length == s->length);
}

static void
parse_packet(const uint8_t *data, size_t size, size_t gso_size)
{
    for (unsigned int trust = 0; trust < 8; trust++) {
        struct sclp_packet p;
        struct sclp_segment s;
        enum sclp_verdict verdict;
        uint32_t offset, end = 0;
        size_t n = 0;

        if (sclp_packet_parse(&p, data, size, gso_size, trust)) {
            continue;
        }
        while (sclp_packet_next(&p, &s, &offset, &verdict)) {
            n++;
            if (!verdict) {
                assert(offset >= end + SCLP_HEADER_SIZE);
                end = offset + s.length;
                assert(end <= size);
                check_segment(&s);
            }
        }
        assert(n && (p.is_udp || n == 1) && n <= size + 1);
    }
}

/* Does with the inner frame in its own block what a receiver may do. */
static void
use_inner(const struct stt_header *offload, const uint8_t *data, size_t size)
{
    uint8_t *eth = malloc(size);
    struct stt_inner inner;

    assert(eth);
    memcpy(eth, data, size);
    if (!sclp_inner_check(&inner, offload, eth, size)) {
        struct stt_header again = { .flags = 0 };

        assert(inner.l4_offset < inner.payload_offset
               && inner.payload_offset <= inner.end && inner.end <= size);
        assert(!stt_header_set_partial(&again, &inner, offload->mss));
        assert(again.flags == offload->flags
               && again.l4_offset == offload->l4_offset);
        if (!stt_inner_mss(&inner, offload)) {
            stt_inner_complete(eth, &inner);
        }
        stt_inner_put_partial(eth, &inner);
        assert(!sclp_inner_check(&inner, offload, eth, size));
    }
    free(eth);
}

static bool
is_same(const struct stt_header *a, const struct stt_header *b)
{
    return (a->flags == b->flags && a->l4_offset == b->l4_offset
            && a->mss == b->mss);
}

static void
parse_frame(const uint8_t *data, size_t size, bool is_geneve)
{
    uint8_t header[SCLP_GENEVE_HEADER_SIZE + SCLP_GENEVE_OPTIONS_MAX + 14];
    struct sclp_payload p, again;
    enum sclp_verdict verdict, off;

    verdict = (is_geneve ? sclp_geneve_parse(&p, data, size, true)
               : sclp_vxlan_parse(&p, data, size, true));
    off = (is_geneve ? sclp_geneve_parse(&again, data, size, false)
           : sclp_vxlan_parse(&again, data, size, false));
    if (verdict) {
        assert(off);
        return;
    }
    assert(p.vni < 1 << 24);
    assert((size_t) p.inner_offset + STT_ETH_HEADER_SIZE <= size);
    assert(p.options_offset + p.options_size <= p.inner_offset);
    assert(off == (p.offload.flags ? SCLP_OFFLOAD_OFF : SCLP_OK));
    if (!p.offload.flags) {
        return;
    }
    memcpy(header, data, p.inner_offset);
    memset(header + p.inner_offset, 0, STT_ETH_HEADER_SIZE);
    if (is_geneve) {
        memset(header + SCLP_GENEVE_HEADER_SIZE, 0, SCLP_OPTION_SIZE);
        header[0] -= SCLP_OPTION_SIZE / 4;
        assert(!sclp_geneve_put_offload(header, &p.offload));
        assert(!sclp_geneve_parse(&again, header, p.inner_offset + 14u, true));
    } else {
        header[1] = header[2] = header[3] = header[7] = 0;
        assert(!sclp_vxlan_put_offload(header, &p.offload));
        assert(!sclp_vxlan_parse(&again, header, p.inner_offset + 14u, true));
    }
    assert(is_same(&again.offload, &p.offload) && again.vni == p.vni);
    use_inner(&p.offload, data + p.inner_offset, size - p.inner_offset);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 3 && data[0] & 1) {
        parse_packet(data + 3, size - 3, be16_load(data + 1));
    } else if (size >= 1 && !(data[0] & 1)) {
        parse_frame(data + 1, size - 1, data[0] & 2);
    }
    return 0;
}
