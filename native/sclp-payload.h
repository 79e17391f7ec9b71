/* SPDX-License-Identifier: Apache-2.0 */

/* What an SCLP frame begins with: a VXLAN (RFC 7348) or Geneve (RFC 8926)
 * header, and in it, where both ends have agreed on it, what the inner frame's
 * checksum and segmentation still need.  docs/protocols/sclp.md has the format
 * of this extension.
 *
 * The state is that of an STT header, so what stt.h has for the inner frame
 * serves here: flags, 'l4_offset' and 'mss' of struct stt_header, of which the
 * rest is unused. */

#ifndef NVO3_SCLP_PAYLOAD_H
#define NVO3_SCLP_PAYLOAD_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sclp.h"
#include "stt.h"

#define SCLP_VXLAN_HEADER_SIZE 8
#define SCLP_GENEVE_HEADER_SIZE 8       /* Without options. */
#define SCLP_GENEVE_OPTIONS_MAX 252

/* The Geneve option: its class is from the experimental range, its type has
 * the critical bit, so that who does not know it drops the frame. */
#define SCLP_OPTION_SIZE 8
#define SCLP_OPTION_CLASS 0xffea
#define SCLP_OPTION_TYPE 0x81

/* The header in front of the inner frame. */
struct sclp_payload {
    uint32_t vni;
    bool is_oam;                /* Geneve's O. */
    uint8_t options_offset;     /* Geneve options in the frame, other than */
    uint8_t options_size;       /* that of the offload state. */
    uint16_t inner_offset;      /* Inner frame in the frame. */
    struct stt_header offload;  /* All zero where there is none. */
};

/* Parse the header of a frame of 'size' bytes at 'frame'.  Unless
 * 'takes_offload', a frame that carries offload state is refused: its inner
 * frame is not complete.  Other reserved bits are ignored; Geneve options are
 * only checked to fit.  Fill '*payload' unless they return a reason. */
enum sclp_verdict sclp_vxlan_parse(struct sclp_payload *payload,
                                   const void *frame, size_t size,
                                   bool takes_offload);
enum sclp_verdict sclp_geneve_parse(struct sclp_payload *payload,
                                    const void *frame, size_t size,
                                    bool takes_offload);

/* Writes 'offload' to the reserved fields of the VXLAN header at 'vxlan'.
 * Returns 0, or EINVAL and writes nothing if sclp_vxlan_parse() would not
 * accept it: without STT_F_CSUM_PARTIAL there is nothing to write. */
int sclp_vxlan_put_offload(void *vxlan, const struct stt_header *offload);

/* Writes 'offload' as the first option behind the Geneve header at 'geneve',
 * where the caller has left SCLP_OPTION_SIZE bytes in front of the options
 * that the header counts, and counts it.  Returns 0, or EINVAL as
 * sclp_vxlan_put_offload() does and if the options would become too long. */
int sclp_geneve_put_offload(void *geneve, const struct stt_header *offload);

/* stt_inner_check() with our names for what is wrong. */
enum sclp_verdict sclp_inner_check(struct stt_inner *inner,
                                   const struct stt_header *offload,
                                   const void *eth, size_t size);

#endif /* sclp-payload.h */
