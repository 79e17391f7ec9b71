/* SPDX-License-Identifier: Apache-2.0 */

/* SCLP codec: segments of VXLAN or Geneve frames in IPv4, as its own protocol
 * or over UDP.  docs/protocols/sclp.md has the format, our choices and the
 * reasons for a drop.
 *
 *     IPv4 | SCLP header | bytes of the SCLP frame
 *     IPv4 | UDP | SCLP header | bytes of the SCLP frame
 *
 *     SCLP frame: VXLAN or Geneve header | Ethernet frame, the "inner" one
 *
 * An SCLP header and its bytes are a record.  A UDP datagram is one record; a
 * super-packet, that is what the kernel made of several datagrams or will make
 * several of, has one each 'gso_size' bytes.  sclp-payload.h goes on where a
 * frame is complete, sclp-segment.h cuts one.
 *
 * Bytes in, values out: nothing is kept, allocated or logged.  Offsets and
 * sizes are in bytes, integers in host byte order. */

#ifndef NVO3_SCLP_H
#define NVO3_SCLP_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCLP_PROTOCOL 234           /* IP protocol of the authors' module. */
#define SCLP_UDP_PORT 7234          /* Ours; of nobody else as far as known. */
#define SCLP_VXLAN_PORT 4789        /* SCLP destination ports. */
#define SCLP_GENEVE_PORT 6081
#define SCLP_HEADER_SIZE 12
#define SCLP_CSUM_OFS 10            /* For checksum offload. */

/* An SCLP frame: the least holds 8 bytes of VXLAN or Geneve and an Ethernet
 * header.  The first segment could say more than the most. */
#define SCLP_TOTAL_MIN 22
#define SCLP_TOTAL_MAX UINT16_MAX

/* The bits that tell frames apart; the other one is the first-segment flag. */
#define SCLP_ID_MASK UINT32_C(0xfffffffe)

/* What a parser says: accepted, or one reason for a drop.
 *
 * SCLP_VERDICT(NAME, "name for counters", "explanation") */
#define SCLP_VERDICTS                                                        \
    SCLP_VERDICT(OK, "ok", "accepted")                                       \
    SCLP_VERDICT(IP_TRUNCATED, "ip_truncated",                               \
                 "fewer bytes than the outer IPv4 header claims")            \
    SCLP_VERDICT(IP_HEADER, "ip_header",                                     \
                 "outer IP version is not 4, or a length contradicts "       \
                 "another")                                                  \
    SCLP_VERDICT(IP_CHECKSUM, "ip_checksum", "outer IPv4 header checksum")   \
    SCLP_VERDICT(IP_FRAGMENT, "ip_fragment",                                 \
                 "outer packet is an IP fragment")                           \
    SCLP_VERDICT(IP_PROTOCOL, "ip_protocol",                                 \
                 "outer protocol is neither SCLP nor UDP")                   \
    SCLP_VERDICT(UDP_TRUNCATED, "udp_truncated",                             \
                 "fewer than 8 bytes of UDP header")                         \
    SCLP_VERDICT(UDP_LENGTH, "udp_length",                                   \
                 "UDP length below 8 or beyond the IP packet")               \
    SCLP_VERDICT(UDP_CHECKSUM, "udp_checksum", "UDP checksum")               \
    SCLP_VERDICT(SCLP_TRUNCATED, "sclp_truncated",                           \
                 "fewer than 12 bytes of SCLP header")                       \
    SCLP_VERDICT(EMPTY, "empty", "segment without payload")                  \
    SCLP_VERDICT(TOTAL, "total",                                             \
                 "frame shorter than a VXLAN or Geneve and an Ethernet "     \
                 "header, or longer than 65535 bytes")                       \
    SCLP_VERDICT(SCLP_CHECKSUM, "sclp_checksum", "SCLP checksum")            \
    SCLP_VERDICT(FRAME_TRUNCATED, "frame_truncated",                         \
                 "fewer bytes than a VXLAN or Geneve header with its "       \
                 "options and an Ethernet header")                           \
    SCLP_VERDICT(VXLAN_FLAGS, "vxlan_flags", "VXLAN without a VNI")          \
    SCLP_VERDICT(GENEVE_VERSION, "geneve_version",                           \
                 "Geneve version is not 0")                                  \
    SCLP_VERDICT(GENEVE_PROTOCOL, "geneve_protocol",                         \
                 "Geneve does not carry Ethernet")                           \
    SCLP_VERDICT(GENEVE_OPTIONS, "geneve_options",                           \
                 "a Geneve option reaches past the end of the options")      \
    SCLP_VERDICT(OFFLOAD_OFF, "offload_off",                                 \
                 "offload state of the inner frame, which the port does "    \
                 "not take")                                                 \
    SCLP_VERDICT(OFFLOAD, "offload",                                         \
                 "offload state with unknown flags, in the wrong place, or " \
                 "of the wrong size")                                        \
    SCLP_VERDICT(MSS, "mss", "MSS without TCP, or below 8")                  \
    SCLP_VERDICT(INNER_L3, "inner_l3",                                       \
                 "partial checksum, but the inner frame is not the IP "      \
                 "version that V says, or its lengths are wrong")            \
    SCLP_VERDICT(INNER_FRAGMENT, "inner_fragment",                           \
                 "partial checksum in an inner IP fragment")                 \
    SCLP_VERDICT(INNER_L4, "inner_l4",                                       \
                 "partial checksum, but the inner protocol is not what T "   \
                 "says, or its header is cut off")                           \
    SCLP_VERDICT(L4_OFFSET, "l4_offset",                                     \
                 "L4 offset does not point to the inner L4 header")

enum sclp_verdict {
#define SCLP_VERDICT(NAME, SHORT, TEXT) SCLP_##NAME,
    SCLP_VERDICTS
#undef SCLP_VERDICT
    SCLP_N_VERDICTS
};

/* Return the name that counters use, and what it means.  'verdict' may be any
 * value below SCLP_N_VERDICTS. */
const char *sclp_verdict_name(enum sclp_verdict verdict);
const char *sclp_verdict_text(enum sclp_verdict verdict);

/* An SCLP header and the size of what follows it. */
struct sclp_segment {
    uint16_t src_port;
    uint16_t dst_port;      /* SCLP_VXLAN_PORT or SCLP_GENEVE_PORT. */
    uint32_t id;            /* Of the frame; within SCLP_ID_MASK. */
    bool is_first;          /* First of its frame. */
    uint16_t remaining;     /* Bytes of the frame behind this segment. */
    uint16_t length;        /* Bytes of the frame in this segment, not 0. */
};

/* Returns the size of the frame, or 0 if 'segment' does not tell it: what the
 * reassembly engine wants to know. */
static inline uint32_t
sclp_segment_total(const struct sclp_segment *segment)
{
    return (segment->is_first
            ? (uint32_t) segment->remaining + segment->length : 0);
}

/* Parses the SCLP header at 'sclp'; 'size' is its record's.  Checksum and
 * ports are the caller's to check.  Fills '*segment' unless it returns a
 * reason for a drop. */
enum sclp_verdict sclp_segment_parse(struct sclp_segment *segment,
                                     const void *sclp, size_t size);

/* Writes 'segment' but for its length as SCLP_HEADER_SIZE bytes to 'sclp',
 * with a checksum of 0: what is right over UDP, and for a NIC to complete. */
void sclp_segment_put(void *sclp, const struct sclp_segment *segment);

/* Returns the checksum of the header at 'sclp', whose checksum field is 0, and
 * of the 'size' bytes at 'payload'; it is to be stored at SCLP_CSUM_OFS. */
uint16_t sclp_checksum(const void *sclp, const void *payload, size_t size);

/* Checksums that something else, such as a NIC, has found to be right. */
#define SCLP_TRUST_IP_CSUM 0x01
#define SCLP_TRUST_UDP_CSUM 0x02
#define SCLP_TRUST_CSUM 0x04        /* SCLP's; not used over UDP. */

/* An IPv4 packet with records. */
struct sclp_packet {
    uint32_t src;           /* Outer addresses. */
    uint32_t dst;
    uint8_t tos;            /* DSCP:6 ECN:2. */
    uint8_t ttl;
    bool is_udp;
    uint16_t udp_src_port;  /* 0 without UDP. */
    uint16_t udp_dst_port;

    /* For sclp_packet_next(). */
    const uint8_t *ip;
    uint32_t next;          /* Offset of the next record. */
    uint32_t end;           /* Of the records. */
    uint32_t pitch;         /* From one record to the next. */
    bool is_checked;        /* Not by SCLP's own checksum. */
};

/* Parses the outer headers of the IPv4 packet at 'ip' of at most 'size' bytes;
 * what follows its end is Ethernet padding and not looked at.  IP options are
 * skipped.  'trust' is a set of SCLP_TRUST_*.  'gso_size' is the size of the
 * datagrams that a UDP super-packet consists of, as the virtio-net header has
 * it, or 0 if the packet is none; it is never guessed.
 *
 * Fills '*packet' unless it returns a reason.  'ip' must stay as long as
 * sclp_packet_next() is used. */
enum sclp_verdict sclp_packet_parse(struct sclp_packet *packet,
                                    const void *ip, size_t size,
                                    size_t gso_size, unsigned int trust);

/* Returns true if 'packet' has no further record. */
static inline bool
sclp_packet_is_done(const struct sclp_packet *packet)
{
    return !packet->pitch;
}

/* Goes to the next record of 'packet'; there is always a first.  Returns false
 * if there is none.  Otherwise '*verdict' says what it is: with SCLP_OK
 * '*segment' is filled and '*offset' is where its payload begins in the IPv4
 * packet; else only this record is to be dropped. */
bool sclp_packet_next(struct sclp_packet *packet,
                      struct sclp_segment *segment, uint32_t *offset,
                      enum sclp_verdict *verdict);

/* Reassembly, level 1: neighbours in a batch, or in a super-packet. */

/* Returns true if 'next', from 'next_packet', continues 'segment', from
 * 'packet', without a hole. */
bool sclp_is_next(const struct sclp_packet *packet,
                  const struct sclp_segment *segment,
                  const struct sclp_packet *next_packet,
                  const struct sclp_segment *next);

/* Returns true if all of 'next', from 'next_packet', is in 'segment', from
 * 'packet', already.  What is merged is taken or dropped as a whole, so what
 * came twice must not be merged with what follows it. */
bool sclp_is_repeated(const struct sclp_packet *packet,
                      const struct sclp_segment *segment,
                      const struct sclp_packet *next_packet,
                      const struct sclp_segment *next);

/* Makes 'segment' the one that it and 'next', for which sclp_is_next() is
 * true, are together.  The payload and the mark of congestion are the caller's
 * to take over. */
void sclp_merge(struct sclp_segment *segment, const struct sclp_segment *next);

/* Reassembly, level 2: the engine of reassembly.h. */

/* Addresses, ports, and id with the transport in the place of the flag. */
#define SCLP_KEY_SIZE 16

/* Writes what tells the frame of 'segment' in 'packet' from all others to
 * 'key'. */
void sclp_key(uint8_t key[SCLP_KEY_SIZE], const struct sclp_packet *packet,
              const struct sclp_segment *segment);

#endif /* sclp.h */
