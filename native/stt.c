/* SPDX-License-Identifier: Apache-2.0 */

#include "stt.h"

#include <errno.h>
#include <string.h>

#include "be.h"
#include "checksum.h"
#include "ip.h"

/* What STT makes of TCP's sequence and acknowledgement numbers. */
enum {
    STT_TOTAL_OFS = TCP_SEQUENCE,
    STT_OFFSET_OFS = TCP_SEQUENCE + 2,
    STT_ID_OFS = TCP_ACKNOWLEDGEMENT
};

/* STT header: version 8, flags 8, l4_offset 8, reserved 8, mss 16,
 * PCP:3 V:1 VID:12, context id 64, padding 16. */
enum {
    STT_VERSION_OFS = 0,
    STT_FLAGS_OFS = 1,
    STT_L4_OFFSET_OFS = 2,
    STT_MSS_OFS = 4,
    STT_VLAN_OFS = 6,
    STT_CONTEXT_ID_OFS = 8
};
#define STT_F_KNOWN (STT_F_CSUM_VERIFIED | STT_F_CSUM_PARTIAL | STT_F_IPV4 \
                     | STT_F_TCP)
#define STT_VLAN_PRESENT 0x1000

static const struct {
    const char *name;
    const char *text;
} verdicts[] = {
#define STT_VERDICT(NAME, SHORT, TEXT) { SHORT, TEXT },
    STT_VERDICTS
#undef STT_VERDICT
};

const char *
stt_verdict_name(enum stt_verdict verdict)
{
    return verdicts[verdict].name;
}

const char *
stt_verdict_text(enum stt_verdict verdict)
{
    return verdicts[verdict].text;
}

enum stt_verdict
stt_segment_parse(struct stt_segment *segment, const void *tcp_, size_t size)
{
    const uint8_t *tcp = tcp_;
    struct stt_segment s;

    if (size < STT_TCP_HEADER_SIZE) {
        return STT_TCP_TRUNCATED;
    }
    if (tcp[TCP_DOFF] >> 4 != STT_TCP_HEADER_SIZE / 4) {
        return STT_TCP_OFFSET;
    }
    if (tcp[TCP_FLAGS] & (TCP_FIN | TCP_SYN | TCP_RST | TCP_URG)) {
        return STT_TCP_FLAGS;
    }
    if (size == STT_TCP_HEADER_SIZE) {
        return STT_EMPTY;
    }
    size -= STT_TCP_HEADER_SIZE;
    s.src_port = be16_load(tcp + TCP_SRC_PORT);
    s.dst_port = be16_load(tcp + TCP_DST_PORT);
    s.id = be32_load(tcp + STT_ID_OFS);
    s.total = be16_load(tcp + STT_TOTAL_OFS);
    s.offset = be16_load(tcp + STT_OFFSET_OFS);
    if (s.total < STT_TOTAL_MIN) {
        return STT_TOTAL;
    }
    if (s.offset >= s.total || size > (size_t) (s.total - s.offset)) {
        return STT_PAST_END;
    }
    s.length = (uint16_t) size;
    *segment = s;
    return STT_OK;
}

void
stt_segment_put(void *tcp_, const struct stt_segment *segment)
{
    uint8_t *tcp = tcp_;
    bool is_last = segment->offset + segment->length == segment->total;

    memset(tcp, 0, STT_TCP_HEADER_SIZE);
    be16_store(tcp + TCP_SRC_PORT, segment->src_port);
    be16_store(tcp + TCP_DST_PORT, segment->dst_port);
    be16_store(tcp + STT_TOTAL_OFS, segment->total);
    be16_store(tcp + STT_OFFSET_OFS, segment->offset);
    be32_store(tcp + STT_ID_OFS, segment->id);
    tcp[TCP_DOFF] = STT_TCP_HEADER_SIZE / 4 << 4;
    tcp[TCP_FLAGS] = (uint8_t) (TCP_ACK | (is_last ? TCP_PSH : 0));
    be16_store(tcp + TCP_WINDOW, UINT16_MAX);
}

static bool
is_tcp_checksum_right(const uint8_t *ip, const uint8_t *tcp, size_t size)
{
    uint32_t sum = checksum_pseudo_ipv4(be32_load(ip + IPV4_SRC),
                                        be32_load(ip + IPV4_DST), PROTO_TCP,
                                        (uint32_t) size);

    return !checksum_finish(checksum_add(sum, tcp, size));
}

enum stt_verdict
stt_packet_parse(struct stt_packet *packet, const void *ip_, size_t size,
                 unsigned int trust)
{
    const uint8_t *ip = ip_;
    size_t header_size, length;
    enum ipv4_fault fault = ipv4_sizes(ip, size, &length, &header_size);

    if (fault) {
        return fault == IPV4_CUT_OFF ? STT_IP_TRUNCATED : STT_IP_HEADER;
    }
    if (!(trust & STT_TRUST_IP_CSUM)
        && checksum_finish(checksum_add(0, ip, header_size))) {
        return STT_IP_CHECKSUM;
    }
    if (be16_load(ip + IPV4_FRAGMENT) & IPV4_FRAGMENT_MASK) {
        return STT_IP_FRAGMENT;
    }
    if (ip[IPV4_PROTOCOL] != PROTO_TCP) {
        return STT_IP_PROTOCOL;
    }

    struct stt_packet p;
    const uint8_t *tcp = ip + header_size;
    enum stt_verdict verdict;

    verdict = stt_segment_parse(&p.segment, tcp, length - header_size);
    if (verdict) {
        return verdict;
    }
    if (!(trust & STT_TRUST_TCP_CSUM)
        && !is_tcp_checksum_right(ip, tcp, length - header_size)) {
        return STT_TCP_CHECKSUM;
    }
    p.src = be32_load(ip + IPV4_SRC);
    p.dst = be32_load(ip + IPV4_DST);
    p.tos = ip[IPV4_TOS];
    p.ttl = ip[IPV4_TTL];
    p.payload_offset = (uint8_t) (header_size + STT_TCP_HEADER_SIZE);
    *packet = p;
    return STT_OK;
}

/* Returns STT_OK or the rule that flags and MSS of 'header' break. */
static enum stt_verdict
check_offload(const struct stt_header *header)
{
    bool is_partial = header->flags & STT_F_CSUM_PARTIAL;

    if (is_partial && header->flags & STT_F_CSUM_VERIFIED) {
        return STT_FLAGS;
    }
    if (header->mss
        && (!is_partial || !(header->flags & STT_F_TCP)
            || header->mss < STT_MSS_MIN)) {
        return STT_MSS;
    }
    return STT_OK;
}

enum stt_verdict
stt_header_parse(struct stt_header *header, const void *frame_, size_t size)
{
    const uint8_t *frame = frame_;
    struct stt_header h;
    enum stt_verdict verdict;
    uint16_t vlan;

    if (size < STT_TOTAL_MIN) {
        return STT_FRAME_TRUNCATED;
    }
    if (frame[STT_VERSION_OFS]) {
        return STT_VERSION;
    }
    h.flags = frame[STT_FLAGS_OFS] & STT_F_KNOWN;
    h.l4_offset = frame[STT_L4_OFFSET_OFS];
    h.mss = be16_load(frame + STT_MSS_OFS);
    verdict = check_offload(&h);
    if (verdict) {
        return verdict;
    }
    if (!(h.flags & STT_F_CSUM_PARTIAL)) {
        h.flags &= STT_F_CSUM_VERIFIED;
        h.l4_offset = 0;
    }

    /* Senders exist that leave V clear beside a tag. */
    vlan = be16_load(frame + STT_VLAN_OFS);
    h.has_vlan = vlan;
    h.vlan_tci = vlan & (uint16_t) ~STT_VLAN_PRESENT;
    h.context_id = be64_load(frame + STT_CONTEXT_ID_OFS);
    *header = h;
    return STT_OK;
}

/* Returns true if nothing of 'header' would be lost on the wire. */
static bool
is_canonical(const struct stt_header *header)
{
    bool is_partial = header->flags & STT_F_CSUM_PARTIAL;

    return (!(header->flags & ~STT_F_KNOWN)
            && (is_partial || (!header->l4_offset
                               && !(header->flags & ~STT_F_CSUM_VERIFIED)))
            && !(header->vlan_tci & STT_VLAN_PRESENT)
            && (header->has_vlan || !header->vlan_tci));
}

int
stt_header_put(void *frame_, const struct stt_header *header)
{
    uint8_t *frame = frame_;

    if (check_offload(header) || !is_canonical(header)) {
        return EINVAL;
    }
    memset(frame, 0, STT_HEADER_SIZE);
    frame[STT_FLAGS_OFS] = header->flags;
    frame[STT_L4_OFFSET_OFS] = header->l4_offset;
    be16_store(frame + STT_MSS_OFS, header->mss);
    if (header->has_vlan) {
        be16_store(frame + STT_VLAN_OFS,
                   (uint16_t) (header->vlan_tci | STT_VLAN_PRESENT));
    }
    be64_store(frame + STT_CONTEXT_ID_OFS, header->context_id);
    return 0;
}
