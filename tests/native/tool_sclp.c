/* SPDX-License-Identifier: Apache-2.0 */

/* Commands of tool.c for SCLP:
 *
 *     sclp-packet GSO_SIZE HEX          parse an IPv4 packet and its records
 *     sclp-payload PORT TAKES HEX       parse a frame's VXLAN (4789) or Geneve
 *                                       (6081) header, with or without
 *                                       offload state; write the latter again
 *     sclp-segment PAYLOAD_MAX N SRC DST SRC_PORT DST_PORT ID IP_ID TOS TTL DF
 *                  UDP_SRC_PORT UDP_DST_PORT HEX
 *                                       cut a frame into packets, of up to N
 *                                       records each; native if UDP_DST_PORT
 *                                       is 0
 *     sclp-reassemble MERGE GSO_SIZE HEX HEX ...
 *                                       parse packets and add their records to
 *                                       one engine; with MERGE, level 1 first
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reassembly.h"
#include "sclp-payload.h"
#include "sclp-segment.h"
#include "sclp.h"
#include "tool.h"

#define MAX_PIECES 65535

static const char *
next_hex(void)
{
    const char *hex = strtok(NULL, " \n");

    return hex ? hex : "";
}

static void
do_packet(void)
{
    size_t gso_size = next_number();
    struct sclp_packet p;
    size_t size;
    uint8_t *ip = from_hex(next_hex(), &size);
    enum sclp_verdict verdict = sclp_packet_parse(&p, ip, size, gso_size, 0);

    printf("{\"verdict\": \"%s\"", sclp_verdict_name(verdict));
    if (!verdict) {
        const char *separator = "";
        struct sclp_segment s;
        uint32_t offset;

        printf(", \"source\": %"PRIu32", \"destination\": %"PRIu32", "
               "\"tos\": %u, \"ttl\": %u, \"udp\": ", p.src, p.dst, p.tos,
               p.ttl);
        if (p.is_udp) {
            printf("[%u, %u]", p.udp_src_port, p.udp_dst_port);
        } else {
            printf("null");
        }
        printf(", \"records\": [");
        while (sclp_packet_next(&p, &s, &offset, &verdict)) {
            printf("%s{\"verdict\": \"%s\"", separator,
                   sclp_verdict_name(verdict));
            separator = ", ";
            if (!verdict) {
                printf(", \"src_port\": %u, \"dst_port\": %u, "
                       "\"id\": %"PRIu32", \"first\": %s, "
                       "\"remaining\": %u, \"payload\": \"", s.src_port,
                       s.dst_port, s.id, boolean(s.is_first), s.remaining);
                print_hex(ip + offset, s.length);
                printf("\"");
            }
            printf("}");
        }
        printf("]");
    }
    printf("}\n");
    free(ip);
}

/* Prints the header that says what the one at 'frame' does, its offload state
 * written by the C code. */
static void
print_again(const uint8_t *frame, const struct sclp_payload *p, bool is_vxlan)
{
    uint8_t header[SCLP_GENEVE_HEADER_SIZE + SCLP_GENEVE_OPTIONS_MAX] = { 0 };

    memcpy(header, frame, p->inner_offset);
    if (is_vxlan) {
        header[1] = header[2] = header[3] = header[7] = 0;
        if (sclp_vxlan_put_offload(header, &p->offload)) {
            die("offload state that was parsed cannot be written");
        }
    } else {
        memset(header + SCLP_GENEVE_HEADER_SIZE, 0xa5, SCLP_OPTION_SIZE);
        header[0] -= SCLP_OPTION_SIZE / 4;
        header[1] &= 0xbf;
        if (sclp_geneve_put_offload(header, &p->offload)) {
            die("offload state that was parsed cannot be written");
        }
    }
    print_hex(header, p->inner_offset);
}

static void
do_payload(void)
{
    bool is_vxlan = next_number() == SCLP_VXLAN_PORT;
    bool takes_offload = next_number();
    struct sclp_payload p;
    size_t size;
    uint8_t *frame = from_hex(next_hex(), &size);
    enum sclp_verdict verdict;

    verdict = (is_vxlan
               ? sclp_vxlan_parse(&p, frame, size, takes_offload)
               : sclp_geneve_parse(&p, frame, size, takes_offload));
    printf("{\"verdict\": \"%s\"", sclp_verdict_name(verdict));
    if (!verdict) {
        printf(", \"vni\": %"PRIu32", \"oam\": %s, \"options\": \"", p.vni,
               boolean(p.is_oam));
        print_hex(frame + p.options_offset, p.options_size);
        printf("\", \"flags\": %u, \"l4_offset\": %u, \"mss\": %u, "
               "\"inner\": \"", p.offload.flags, p.offload.l4_offset,
               p.offload.mss);
        print_hex(frame + p.inner_offset, size - p.inner_offset);
        printf("\"");
        if (p.offload.flags) {
            printf(", \"serialized\": \"");
            print_again(frame, &p, is_vxlan);
            printf("\"");
        }
    }
    printf("}\n");
    free(frame);
}

static void
do_segment(void)
{
    size_t payload_max = next_number();
    size_t n_records = next_number();
    struct sclp_outer outer = {
        .outer.src = (uint32_t) next_number(),
        .outer.dst = (uint32_t) next_number(),
        .outer.src_port = (uint16_t) next_number(),
        .outer.dst_port = (uint16_t) next_number(),
        .outer.id = (uint32_t) next_number(),
        .outer.ip_id = (uint16_t) next_number(),
        .outer.tos = (uint8_t) next_number(),
        .outer.ttl = (uint8_t) next_number(),
        .outer.df = next_number(),
        .udp_src_port = (uint16_t) next_number(),
        .udp_dst_port = (uint16_t) next_number(),
    };
    size_t total, n;
    uint8_t *frame = from_hex(next_hex(), &total);

    outer.is_udp = outer.udp_dst_port;
    n = segment_count(total, payload_max);
    printf("[");
    for (size_t i = 0; i < n; i += n_records) {
        size_t n_here = n_records < n - i ? n_records : n - i;
        uint8_t header[SCLP_UDP_SIZE];
        struct segment_slice slice;

        if (sclp_packet_put(header, &slice, &outer, frame, total, payload_max,
                            i, n_here, n_here > 1)) {
            die("sclp_packet_put refuses");
        }
        printf("%s\"", i ? ", " : "");
        print_hex(header, outer.is_udp ? SCLP_UDP_SIZE : SCLP_NATIVE_SIZE);
        print_hex(frame + slice.offset, slice.length);
        for (size_t j = 1; j < n_here; j++) {
            if (sclp_record_put(header, &slice, &outer, total, payload_max,
                                i + j)) {
                die("sclp_record_put refuses");
            }
            print_hex(header, SCLP_HEADER_SIZE);
            print_hex(frame + slice.offset, slice.length);
        }
        printf("\"");
    }
    printf("]\n");
    free(frame);
}

/* A record on its way to the engine, its payload in a block of its own. */
struct pending {
    struct sclp_packet packet;
    struct sclp_segment segment;
    uint8_t *payload;               /* NULL where there is no record. */
    bool ce;
};

static const char *separator;

static void
release(void *packet, enum reassembly_release why, void *aux)
{
    (void) why;
    (void) aux;
    free(packet);
}

/* Adds 'pending' and prints what became of it. */
static void
add(struct reassembly *engine, struct pending *pending)
{
    static struct reassembly_piece pieces[MAX_PIECES];
    struct reassembly_frame frame = { .pieces = pieces };
    struct reassembly_segment s = {
        .packet = pending->payload,
        .length = pending->segment.length,
        .remaining = pending->segment.remaining,
        .total = sclp_segment_total(&pending->segment),
        .charge_bytes = pending->segment.length,
        .ce = pending->ce,
    };
    enum reassembly_result result;
    uint8_t key[SCLP_KEY_SIZE];

    if (!pending->payload) {
        return;
    }
    sclp_key(key, &pending->packet, &pending->segment);
    result = reassembly_add(engine, key, &s, 0, &frame);
    printf("%s{\"result\": \"%s\"", separator, reassembly_result_name(result));
    separator = ", ";
    if (result == REASSEMBLY_COMPLETE) {
        printf(", \"ce\": %s, \"frame\": \"", boolean(frame.ce));
        for (uint32_t i = 0; i < frame.n_pieces; i++) {
            print_hex(pieces[i].packet, pieces[i].length);
            free(pieces[i].packet);
        }
        printf("\"");
    } else if (result != REASSEMBLY_QUEUED) {
        free(pending->payload);
    }
    printf("}");
    pending->payload = NULL;
}

/* Takes a record: merges it into 'pending', or adds that one first. */
static void
take(struct reassembly *engine, struct pending *pending,
     const struct sclp_packet *packet, const struct sclp_segment *segment,
     const uint8_t *payload, bool merge)
{
    bool ce = (packet->tos & 3) == 3;

    if (merge && pending->payload
        && sclp_is_next(&pending->packet, &pending->segment, packet,
                        segment)) {
        size_t size = (size_t) pending->segment.length + segment->length;

        pending->payload = realloc(pending->payload, size);
        if (!pending->payload) {
            die("out of memory");
        }
        memcpy(pending->payload + pending->segment.length, payload,
               segment->length);
        pending->ce |= ce;
        sclp_merge(&pending->segment, segment);
        return;
    }
    add(engine, pending);
    *pending = (struct pending) {
        .packet = *packet,
        .segment = *segment,
        .payload = malloc(segment->length),
        .ce = ce,
    };
    if (!pending->payload) {
        die("out of memory");
    }
    memcpy(pending->payload, payload, segment->length);
}

static void
print_drop(enum sclp_verdict verdict)
{
    printf("%s{\"result\": \"%s\"}", separator, sclp_verdict_name(verdict));
    separator = ", ";
}

/* Prints what became of each record, or of each that records were merged to,
 * and each frame that completed. */
static void
do_reassemble(void)
{
    struct reassembly_config config = {
        .max_frames = 16, .max_segments = 65536, .max_pieces = MAX_PIECES,
        .max_runs = MAX_PIECES, .max_total = SCLP_TOTAL_MAX,
        .max_charge_bytes = UINT64_C(1) << 30, .timeout_ms = 1,
        .key_size = SCLP_KEY_SIZE, .seed = { 1, 2 }, .release = release,
    };
    bool merge = next_number();
    size_t gso_size = next_number();
    void *memory = malloc(reassembly_size(&config));
    struct reassembly *engine = memory ? reassembly_init(memory, &config)
                                       : NULL;
    struct pending pending = { .payload = NULL };
    const char *hex;

    if (!engine) {
        die("no engine");
    }
    separator = "";
    printf("[");
    while ((hex = strtok(NULL, " \n"))) {
        struct sclp_packet packet;
        struct sclp_segment segment;
        uint32_t offset;
        size_t size;
        uint8_t *ip = from_hex(hex, &size);
        enum sclp_verdict verdict = sclp_packet_parse(&packet, ip, size,
                                                      gso_size, 0);

        if (verdict) {
            print_drop(verdict);
        }
        while (!verdict
               && sclp_packet_next(&packet, &segment, &offset, &verdict)) {
            if (verdict) {
                print_drop(verdict);
                verdict = SCLP_OK;
            } else {
                take(engine, &pending, &packet, &segment, ip + offset, merge);
            }
        }
        free(ip);
    }
    add(engine, &pending);
    printf("]\n");
    reassembly_flush(engine);
    free(memory);
}

bool
run_sclp(const char *command)
{
    if (!strcmp(command, "sclp-packet")) {
        do_packet();
    } else if (!strcmp(command, "sclp-payload")) {
        do_payload();
    } else if (!strcmp(command, "sclp-segment")) {
        do_segment();
    } else if (!strcmp(command, "sclp-reassemble")) {
        do_reassemble();
    } else {
        return false;
    }
    return true;
}
