/* SPDX-License-Identifier: Apache-2.0 */

/* Lets other languages use the C code: one command a line from standard input,
 * one line of JSON to standard output.
 *
 *     packet HEX                    parse an IPv4 packet with a segment
 *     header HEX                    parse an STT frame's header
 *     inner HEX                     find the headers of an inner frame, and
 *                                   write its checksum, partial and whole
 *     segment PAYLOAD_MAX SRC DST SRC_PORT DST_PORT ID IP_ID TOS TTL DF HEX
 *                                   cut an STT frame into packets
 *     reassemble HEX HEX ...        parse and add packets, each to the same
 *                                   engine, until a frame is complete
 *     checksum HEX
 *     sclp-...                      see tool_sclp.c
 *     path-...                      see tool_fastpath.c */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "be.h"
#include "checksum.h"
#include "reassembly.h"
#include "segment.h"
#include "stt.h"
#include "tool.h"

#define MAX_PIECES 65535

void
die(const char *why)
{
    fprintf(stderr, "tool: %s\n", why);
    exit(EXIT_FAILURE);
}

uint8_t *
from_hex(const char *hex, size_t *size)
{
    size_t n = strlen(hex) / 2;
    uint8_t *bytes = malloc(n ? n : 1);

    if (!bytes) {
        die("out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        unsigned int byte;

        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            die("no hexadecimal");
        }
        bytes[i] = (uint8_t) byte;
    }
    *size = n;
    return bytes;
}

void
print_hex(const void *data, size_t size)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < size; i++) {
        printf("%02x", bytes[i]);
    }
}

const char *
boolean(bool value)
{
    return value ? "true" : "false";
}

static void
do_packet(const char *hex)
{
    struct stt_packet p;
    size_t size;
    uint8_t *ip = from_hex(hex, &size);
    enum stt_verdict verdict = stt_packet_parse(&p, ip, size, 0);

    printf("{\"verdict\": \"%s\"", stt_verdict_name(verdict));
    if (!verdict) {
        printf(", \"source\": %"PRIu32", \"destination\": %"PRIu32", "
               "\"tos\": %u, \"ttl\": %u, \"src_port\": %u, "
               "\"dst_port\": %u, \"id\": %"PRIu32", \"total\": %u, "
               "\"offset\": %u, \"payload\": \"", p.src, p.dst, p.tos, p.ttl,
               p.segment.src_port, p.segment.dst_port, p.segment.id,
               p.segment.total, p.segment.offset);
        print_hex(ip + p.payload_offset, p.segment.length);
        printf("\"");
    }
    printf("}\n");
    free(ip);
}

static void
do_header(const char *hex)
{
    struct stt_header h;
    size_t size;
    uint8_t *frame = from_hex(hex, &size);
    enum stt_verdict verdict = stt_header_parse(&h, frame, size);

    printf("{\"verdict\": \"%s\"", stt_verdict_name(verdict));
    if (!verdict) {
        uint8_t again[STT_HEADER_SIZE];

        if (stt_header_put(again, &h)) {
            die("a header that was parsed cannot be written");
        }
        printf(", \"flags\": %u, \"l4_offset\": %u, \"mss\": %u, "
               "\"context_id\": %"PRIu64", \"has_vlan\": %s, "
               "\"vlan_tci\": %u, \"serialized\": \"", h.flags, h.l4_offset,
               h.mss, h.context_id, boolean(h.has_vlan), h.vlan_tci);
        print_hex(again, sizeof again);
        printf("\"");
    }
    printf("}\n");
    free(frame);
}

static void
do_inner(const char *hex)
{
    struct stt_inner inner;
    size_t size;
    uint8_t *eth = from_hex(hex, &size);
    enum stt_verdict verdict = stt_inner_find(&inner, eth, size);

    printf("{\"verdict\": \"%s\"", stt_verdict_name(verdict));
    if (!verdict) {
        printf(", \"l3_offset\": %u, \"l4_offset\": %u, "
               "\"payload_offset\": %u, \"end\": %u, \"is_ipv4\": %s, "
               "\"is_tcp\": %s, \"partial\": \"", inner.l3_offset,
               inner.l4_offset, inner.payload_offset, inner.end,
               boolean(inner.is_ipv4), boolean(inner.is_tcp));
        stt_inner_put_partial(eth, &inner);
        print_hex(eth, size);
        printf("\", \"whole\": \"");
        stt_inner_complete(eth, &inner);
        print_hex(eth, size);
        printf("\"");
    }
    printf("}\n");
    free(eth);
}

unsigned long int
next_number(void)
{
    const char *word = strtok(NULL, " \n");

    if (!word) {
        die("an argument is missing");
    }
    return strtoul(word, NULL, 0);
}

static void
do_segment(void)
{
    size_t payload_max = next_number();
    struct segment_outer outer = {
        .src = (uint32_t) next_number(),
        .dst = (uint32_t) next_number(),
        .src_port = (uint16_t) next_number(),
        .dst_port = (uint16_t) next_number(),
        .id = (uint32_t) next_number(),
        .ip_id = (uint16_t) next_number(),
        .tos = (uint8_t) next_number(),
        .ttl = (uint8_t) next_number(),
        .df = next_number(),
    };
    const char *hex = strtok(NULL, " \n");
    size_t total;
    uint8_t *frame = from_hex(hex ? hex : "", &total);

    printf("[");
    for (size_t i = 0; i < segment_count(total, payload_max); i++) {
        uint8_t header[SEGMENT_HEADER_SIZE];
        struct segment_slice slice;

        if (segment_put(header, &slice, &outer, frame, total, payload_max, i,
                        false)) {
            die("segment_put refuses");
        }
        printf("%s\"", i ? ", " : "");
        print_hex(header, sizeof header);
        print_hex(frame + slice.offset, slice.length);
        printf("\"");
    }
    printf("]\n");
    free(frame);
}

static void
release(void *packet, enum reassembly_release why, void *aux)
{
    (void) why;
    (void) aux;
    free(packet);
}

static struct reassembly_frame frame;

/* Adds the packet; returns true if '*frame' is complete. */
static bool
add_packet(struct reassembly *engine, const char *hex, const char **name)
{
    struct reassembly_segment s = { 0 };
    enum reassembly_result result;
    struct stt_packet p;
    uint8_t key[12];
    size_t size;
    uint8_t *ip = from_hex(hex, &size);
    enum stt_verdict verdict = stt_packet_parse(&p, ip, size, 0);

    if (verdict) {
        *name = stt_verdict_name(verdict);
        free(ip);
        return false;
    }
    s.length = p.segment.length;
    s.total = p.segment.total;
    s.remaining = s.total - p.segment.offset - s.length;
    s.charge_bytes = (uint32_t) size;
    s.ce = (p.tos & 3) == 3;
    memmove(ip, ip + p.payload_offset, s.length);
    s.packet = ip;
    be32_store(key, p.src);
    be32_store(key + 4, p.dst);
    be32_store(key + 8, p.segment.id);
    result = reassembly_add(engine, key, &s, 0, &frame);
    *name = reassembly_result_name(result);
    if (result != REASSEMBLY_QUEUED && result != REASSEMBLY_COMPLETE) {
        free(ip);
    }
    return result == REASSEMBLY_COMPLETE;
}

/* Prints what became of each packet, and each frame that completed. */
static void
do_reassemble(void)
{
    static struct reassembly_piece pieces[MAX_PIECES];
    struct reassembly_config config = {
        .max_frames = 16, .max_segments = 65536, .max_pieces = MAX_PIECES,
        .max_runs = MAX_PIECES, .max_total = 65535,
        .max_charge_bytes = UINT64_C(1) << 30, .timeout_ms = 1,
        .key_size = 12, .seed = { 1, 2 }, .release = release,
    };
    void *memory = malloc(reassembly_size(&config));
    struct reassembly *engine = memory ? reassembly_init(memory, &config)
                                       : NULL;
    const char *hex;
    bool is_first = true;

    if (!engine) {
        die("no engine");
    }
    frame.pieces = pieces;
    printf("[");
    while ((hex = strtok(NULL, " \n"))) {
        const char *name;
        bool is_complete = add_packet(engine, hex, &name);

        printf("%s{\"result\": \"%s\"", is_first ? "" : ", ", name);
        is_first = false;
        if (is_complete) {
            printf(", \"ce\": %s, \"frame\": \"", boolean(frame.ce));
            for (uint32_t i = 0; i < frame.n_pieces; i++) {
                print_hex(pieces[i].packet, pieces[i].length);
                free(pieces[i].packet);
            }
            printf("\"");
        }
        printf("}");
    }
    printf("]\n");
    reassembly_flush(engine);
    free(memory);
}

static void
do_checksum(const char *hex)
{
    size_t size;
    uint8_t *data = from_hex(hex, &size);

    printf("%u\n", checksum_finish(checksum_add(0, data, size)));
    free(data);
}

static void
run(char *line)
{
    const char *command = strtok(line, " \n");
    const char *hex;

    if (!command) {
        die("no command");
    } else if (!strcmp(command, "segment")) {
        do_segment();
    } else if (!strcmp(command, "reassemble")) {
        do_reassemble();
    } else if (run_sclp(command) || run_fastpath(command)) {
        return;
    } else {
        hex = strtok(NULL, " \n");
        hex = hex ? hex : "";
        if (!strcmp(command, "packet")) {
            do_packet(hex);
        } else if (!strcmp(command, "header")) {
            do_header(hex);
        } else if (!strcmp(command, "inner")) {
            do_inner(hex);
        } else if (!strcmp(command, "checksum")) {
            do_checksum(hex);
        } else {
            die("unknown command");
        }
    }
}

int
main(void)
{
    static char line[8 << 20];

    while (fgets(line, sizeof line, stdin)) {
        run(line);
        fflush(stdout);
    }
    return EXIT_SUCCESS;
}
