/* SPDX-License-Identifier: Apache-2.0 */

/* STT codec: draft-davie-stt-08, with the flag bits as implementations count
 * them.  docs/protocols/stt.md has the format, our choices and the reasons for
 * a drop.
 *
 *     IPv4 | pseudo-TCP header | first bytes of the STT frame
 *     IPv4 | pseudo-TCP header | next bytes of the STT frame ...
 *
 *     STT frame: STT header | Ethernet frame, the "inner" one
 *
 * Bytes in, values out: nothing is kept, allocated or logged.  Offsets and
 * sizes are in bytes, integers in host byte order. */

#ifndef NVO3_STT_H
#define NVO3_STT_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STT_DST_PORT 7471           /* Draft, section "STT segment format". */
#define STT_TCP_HEADER_SIZE 20      /* Never with options. */
#define STT_HEADER_SIZE 18
#define STT_ETH_HEADER_SIZE 14
#define STT_IPV4_HEADER_SIZE 20     /* Of a sender; without options. */

/* The least an STT frame can hold: its header and an Ethernet header. */
#define STT_TOTAL_MIN (STT_HEADER_SIZE + STT_ETH_HEADER_SIZE)

/* The largest inner frame that one IPv4 super-packet carries to a NIC that
 * segments. */
#define STT_INNER_MAX (UINT16_MAX - STT_IPV4_HEADER_SIZE \
                       - STT_TCP_HEADER_SIZE - STT_HEADER_SIZE)

/* The least inner MSS that is believed.  Linux never goes below 48 bytes with
 * options (TCP_MIN_SND_MSS), of which options take at most 40; a smaller value
 * would make the guest's side cut one frame into tens of thousands. */
#define STT_MSS_MIN 8

/* Flags of the STT header. */
#define STT_F_CSUM_VERIFIED 0x01
#define STT_F_CSUM_PARTIAL 0x02
#define STT_F_IPV4 0x04
#define STT_F_TCP 0x08

/* What a parser says: accepted, or one reason for a drop.
 *
 * STT_VERDICT(NAME, "name for counters", "explanation") */
#define STT_VERDICTS                                                         \
    STT_VERDICT(OK, "ok", "accepted")                                        \
    STT_VERDICT(IP_TRUNCATED, "ip_truncated",                                \
                "fewer bytes than the outer IPv4 header claims")             \
    STT_VERDICT(IP_HEADER, "ip_header",                                      \
                "outer IP version is not 4, or a length contradicts another") \
    STT_VERDICT(IP_CHECKSUM, "ip_checksum", "outer IPv4 header checksum")    \
    STT_VERDICT(IP_FRAGMENT, "ip_fragment", "outer packet is an IP fragment") \
    STT_VERDICT(IP_PROTOCOL, "ip_protocol", "outer protocol is not TCP")     \
    STT_VERDICT(TCP_TRUNCATED, "tcp_truncated",                              \
                "fewer than 20 bytes of pseudo-TCP header")                  \
    STT_VERDICT(TCP_OFFSET, "tcp_offset", "data offset is not 5")            \
    STT_VERDICT(TCP_FLAGS, "tcp_flags", "SYN, FIN, RST or URG is set")       \
    STT_VERDICT(TCP_CHECKSUM, "tcp_checksum", "pseudo-TCP checksum")         \
    STT_VERDICT(EMPTY, "empty", "segment without payload")                   \
    STT_VERDICT(TOTAL, "total",                                              \
                "STT frame shorter than an STT and an Ethernet header")      \
    STT_VERDICT(PAST_END, "past_end",                                        \
                "segment reaches past the end of its STT frame")             \
    STT_VERDICT(FRAME_TRUNCATED, "frame_truncated",                          \
                "fewer bytes than an STT and an Ethernet header")            \
    STT_VERDICT(VERSION, "version", "STT version is not 0")                  \
    STT_VERDICT(FLAGS, "flags",                                              \
                "checksum both verified and partial")                        \
    STT_VERDICT(MSS, "mss",                                                  \
                "MSS without a partial TCP checksum, or below 8")            \
    STT_VERDICT(INNER_L3, "inner_l3",                                        \
                "partial checksum, but the inner frame is not the IP "       \
                "version that V says, or its lengths are wrong")             \
    STT_VERDICT(INNER_FRAGMENT, "inner_fragment",                            \
                "partial checksum in an inner IP fragment")                  \
    STT_VERDICT(INNER_L4, "inner_l4",                                        \
                "partial checksum, but the inner protocol is not what T "    \
                "says, or its header is cut off")                            \
    STT_VERDICT(L4_OFFSET, "l4_offset",                                      \
                "L4 offset does not point to the inner L4 header")

enum stt_verdict {
#define STT_VERDICT(NAME, SHORT, TEXT) STT_##NAME,
    STT_VERDICTS
#undef STT_VERDICT
    STT_N_VERDICTS
};

/* Return the name that counters use, and what it means.  'verdict' may be any
 * value below STT_N_VERDICTS. */
const char *stt_verdict_name(enum stt_verdict verdict);
const char *stt_verdict_text(enum stt_verdict verdict);

/* A pseudo-TCP header and what follows from its packet's length. */
struct stt_segment {
    uint16_t src_port;
    uint16_t dst_port;
    uint32_t id;            /* Of the frame: the acknowledgement number. */
    uint16_t total;         /* Size of the STT frame: sequence, upper half. */
    uint16_t offset;        /* Of the payload in it: sequence, lower half. */
    uint16_t length;        /* Size of the payload, at least 1. */
};

/* Parses the pseudo-TCP header at 'tcp'; 'size' is the IP payload's, without
 * Ethernet padding.  The checksum and the ports are the caller's to check; the
 * window, the urgent pointer, ACK, PSH and the bits for ECN are ignored.
 * Fills '*segment' unless it returns a reason for a drop. */
enum stt_verdict stt_segment_parse(struct stt_segment *segment,
                                   const void *tcp, size_t size);

/* Writes 'segment' as STT_TCP_HEADER_SIZE bytes to 'tcp', with ACK, window
 * 0xffff and a checksum of 0; with PSH if 'segment' is the last of its frame.
 * 'segment->length' only serves to tell that. */
void stt_segment_put(void *tcp, const struct stt_segment *segment);

/* Checksums that something else, such as a NIC, has found to be right. */
#define STT_TRUST_IP_CSUM 0x01
#define STT_TRUST_TCP_CSUM 0x02

/* An IPv4 packet with an STT segment. */
struct stt_packet {
    uint32_t src;           /* Outer addresses. */
    uint32_t dst;
    uint8_t tos;            /* DSCP:6 ECN:2. */
    uint8_t ttl;
    uint8_t payload_offset; /* Of the segment's payload in the packet. */
    struct stt_segment segment;
};

/* Parses the IPv4 packet at 'ip' of at most 'size' bytes; what follows its end
 * is Ethernet padding and not looked at.  IP options are skipped.  'trust' is
 * a set of STT_TRUST_*.  Fills '*packet' unless it returns a reason. */
enum stt_verdict stt_packet_parse(struct stt_packet *packet, const void *ip,
                                  size_t size, unsigned int trust);

/* The STT header. */
struct stt_header {
    uint8_t flags;          /* STT_F_*; other bits are zero. */
    uint8_t l4_offset;      /* From the inner Ethernet header, 0 without P. */
    uint16_t mss;           /* Inner MSS, 0 where the frame is no TSO frame. */
    bool has_vlan;
    uint16_t vlan_tci;      /* PCP << 13 | VID, 0 without a tag. */
    uint64_t context_id;
};

/* Parses the STT header at the beginning of an STT frame, of which 'size'
 * bytes stand at 'frame'.  Unknown flags, the reserved byte and the padding
 * are ignored, and so are 'l4_offset', V and T where P does not give them a
 * meaning.  Fills '*header' unless it returns a reason. */
enum stt_verdict stt_header_parse(struct stt_header *header,
                                  const void *frame, size_t size);

/* Writes 'header' as STT_HEADER_SIZE bytes to 'frame'.  Returns 0, or EINVAL
 * and writes nothing if stt_header_parse() would not accept it or lose part of
 * it. */
int stt_header_put(void *frame, const struct stt_header *header);

/* The inner frame's headers, where they are TCP or UDP in unfragmented IP. */
struct stt_inner {
    uint16_t l3_offset;     /* All offsets are from the Ethernet header. */
    uint16_t l4_offset;
    uint16_t payload_offset; /* Of what follows the TCP or UDP header. */
    uint16_t end;           /* Of the IP packet; padding may follow. */
    bool is_ipv4;           /* Else IPv6. */
    bool is_tcp;            /* Else UDP. */
};

/* Finds the headers in the inner frame of 'size' bytes at 'eth'.  VLAN tags in
 * the frame and IPv6 extension headers are stepped over.  An IPv6 routing
 * header with segments left is refused, since the address that the checksum
 * covers is not the one in the IP header.  Fills '*inner' or returns
 * STT_INNER_L3, STT_INNER_FRAGMENT or STT_INNER_L4. */
enum stt_verdict stt_inner_find(struct stt_inner *inner, const void *eth,
                                size_t size);

/* Checks what a header with P says of the inner frame of 'size' bytes at
 * 'eth', so that the checksum can be completed and the frame segmented without
 * another look.  Fills '*inner' unless it returns a reason. */
enum stt_verdict stt_inner_check(struct stt_inner *inner,
                                 const struct stt_header *header,
                                 const void *eth, size_t size);

/* Returns the MSS by which the inner frame must be segmented, or 0 if it is
 * one segment. */
uint16_t stt_inner_mss(const struct stt_inner *inner,
                       const struct stt_header *header);

/* Makes 'header' say that the checksum of 'inner' is partial, and 'mss' (0: no
 * TSO frame).  Returns 0, or EINVAL and changes nothing if STT cannot say it:
 * an L4 offset above 255, an MSS below STT_MSS_MIN or without TCP. */
int stt_header_set_partial(struct stt_header *header,
                           const struct stt_inner *inner, uint16_t mss);

/* Writes to the checksum field of the inner frame at 'eth' what P promises:
 * the folded sum of the pseudo header, over the length of the whole frame. */
void stt_inner_put_partial(void *eth, const struct stt_inner *inner);

/* Completes the checksum of the inner frame at 'eth', for a receiver that has
 * nothing that does it.  The frame must not need segmentation. */
void stt_inner_complete(void *eth, const struct stt_inner *inner);

#endif /* stt.h */
