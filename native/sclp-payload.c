/* SPDX-License-Identifier: Apache-2.0 */

#include "sclp-payload.h"

#include <errno.h>
#include <string.h>

#include "be.h"

/* VXLAN header: flags 8, reserved 24, VNI 24, reserved 8.  The extension puts
 * its flags, the MSS and the L4 offset into the reserved bytes. */
enum {
    VXLAN_FLAGS = 0,
    VXLAN_OFFLOAD_FLAGS = 1,
    VXLAN_OFFLOAD_MSS = 2,
    VXLAN_VNI = 4,
    VXLAN_OFFLOAD_L4_OFFSET = 7
};
#define VXLAN_F_VNI 0x08

/* Geneve header: version 2, options' length in words 6, O 1, C 1, reserved 6,
 * protocol 16, VNI 24, reserved 8. */
enum {
    GENEVE_VERSION_LENGTH = 0,
    GENEVE_FLAGS = 1,
    GENEVE_PROTOCOL_TYPE = 2,
    GENEVE_VNI = 4
};
#define GENEVE_LENGTH_MASK 0x3f
#define GENEVE_F_OAM 0x80
#define GENEVE_F_CRITICAL 0x40
#define GENEVE_ETHERNET 0x6558

/* Geneve option: class 16, type 8, reserved 3, data's length in words 5; then
 * the data, of the extension flags 8, L4 offset 8, MSS 16. */
enum {
    OPTION_CLASS = 0,
    OPTION_TYPE = 2,
    OPTION_LENGTH = 3,
    OPTION_HEADER_SIZE = 4,
    OPTION_OFFLOAD_FLAGS = 4,
    OPTION_OFFLOAD_L4_OFFSET = 5,
    OPTION_OFFLOAD_MSS = 6
};
#define OPTION_LENGTH_MASK 0x1f

/* Returns SCLP_OK or the rule that 'offload' breaks. */
static enum sclp_verdict
check_offload(const struct stt_header *offload)
{
    if (!(offload->flags & STT_F_CSUM_PARTIAL)
        || offload->flags & ~(STT_F_CSUM_PARTIAL | STT_F_IPV4 | STT_F_TCP)) {
        return SCLP_OFFLOAD;
    }
    if (offload->mss && (!(offload->flags & STT_F_TCP)
                         || offload->mss < STT_MSS_MIN)) {
        return SCLP_MSS;
    }
    return SCLP_OK;
}

enum sclp_verdict
sclp_vxlan_parse(struct sclp_payload *payload, const void *frame_,
                 size_t size, bool takes_offload)
{
    const uint8_t *frame = frame_;
    struct sclp_payload p = { .inner_offset = SCLP_VXLAN_HEADER_SIZE };

    if (size < SCLP_VXLAN_HEADER_SIZE + STT_ETH_HEADER_SIZE) {
        return SCLP_FRAME_TRUNCATED;
    }
    if (!(frame[VXLAN_FLAGS] & VXLAN_F_VNI)) {
        return SCLP_VXLAN_FLAGS;
    }
    p.vni = be32_load(frame + VXLAN_VNI) >> 8;
    if (frame[VXLAN_OFFLOAD_FLAGS] & STT_F_CSUM_PARTIAL) {
        enum sclp_verdict verdict;

        p.offload.flags = frame[VXLAN_OFFLOAD_FLAGS];
        p.offload.mss = be16_load(frame + VXLAN_OFFLOAD_MSS);
        p.offload.l4_offset = frame[VXLAN_OFFLOAD_L4_OFFSET];
        verdict = (takes_offload ? check_offload(&p.offload)
                   : SCLP_OFFLOAD_OFF);
        if (verdict) {
            return verdict;
        }
    }
    *payload = p;
    return SCLP_OK;
}

static bool
is_offload_option(const uint8_t *option)
{
    return (be16_load(option + OPTION_CLASS) == SCLP_OPTION_CLASS
            && option[OPTION_TYPE] == SCLP_OPTION_TYPE);
}

/* Parses the option of 'size' bytes at 'option', the first one if 'is_first',
 * to 'offload'. */
static enum sclp_verdict
parse_option(struct stt_header *offload, const uint8_t *option, size_t size,
             bool is_first)
{
    if (!is_first || size != SCLP_OPTION_SIZE) {
        return SCLP_OFFLOAD;
    }
    offload->flags = option[OPTION_OFFLOAD_FLAGS];
    offload->l4_offset = option[OPTION_OFFLOAD_L4_OFFSET];
    offload->mss = be16_load(option + OPTION_OFFLOAD_MSS);
    return check_offload(offload);
}

/* Walks over the 'size' bytes of options, a multiple of 4, at 'options', of
 * which that of the offload state goes to 'offload'.  If an option does not
 * fit, that is the reason, whatever else is wrong. */
static enum sclp_verdict
parse_options(struct stt_header *offload, const uint8_t *options,
              size_t size, bool takes_offload)
{
    enum sclp_verdict verdict = SCLP_OK;

    for (size_t ofs = 0, n; ofs < size; ofs += n) {
        const uint8_t *option = options + ofs;

        n = OPTION_HEADER_SIZE + 4u * (option[OPTION_LENGTH]
                                       & OPTION_LENGTH_MASK);
        if (n > size - ofs) {
            return SCLP_GENEVE_OPTIONS;
        }
        if (!verdict && is_offload_option(option)) {
            verdict = (takes_offload ? parse_option(offload, option, n, !ofs)
                       : SCLP_OFFLOAD_OFF);
        }
    }
    return verdict;
}

enum sclp_verdict
sclp_geneve_parse(struct sclp_payload *payload, const void *frame_,
                  size_t size, bool takes_offload)
{
    const uint8_t *frame = frame_;
    struct sclp_payload p = { .options_offset = SCLP_GENEVE_HEADER_SIZE };
    enum sclp_verdict verdict;
    size_t options_size;

    if (size < SCLP_GENEVE_HEADER_SIZE + STT_ETH_HEADER_SIZE) {
        return SCLP_FRAME_TRUNCATED;
    }
    if (frame[GENEVE_VERSION_LENGTH] & ~GENEVE_LENGTH_MASK) {
        return SCLP_GENEVE_VERSION;
    }
    if (be16_load(frame + GENEVE_PROTOCOL_TYPE) != GENEVE_ETHERNET) {
        return SCLP_GENEVE_PROTOCOL;
    }
    options_size = 4u * (frame[GENEVE_VERSION_LENGTH] & GENEVE_LENGTH_MASK);
    if (size - SCLP_GENEVE_HEADER_SIZE - STT_ETH_HEADER_SIZE < options_size) {
        return SCLP_FRAME_TRUNCATED;
    }
    verdict = parse_options(&p.offload, frame + SCLP_GENEVE_HEADER_SIZE,
                            options_size, takes_offload);
    if (verdict) {
        return verdict;
    }
    p.vni = be32_load(frame + GENEVE_VNI) >> 8;
    p.is_oam = frame[GENEVE_FLAGS] & GENEVE_F_OAM;
    p.inner_offset = (uint16_t) (SCLP_GENEVE_HEADER_SIZE + options_size);
    if (p.offload.flags) {
        p.options_offset += SCLP_OPTION_SIZE;
    }
    p.options_size = (uint8_t) (p.inner_offset - p.options_offset);
    *payload = p;
    return SCLP_OK;
}

int
sclp_vxlan_put_offload(void *vxlan_, const struct stt_header *offload)
{
    uint8_t *vxlan = vxlan_;

    if (check_offload(offload)) {
        return EINVAL;
    }
    vxlan[VXLAN_OFFLOAD_FLAGS] = offload->flags;
    be16_store(vxlan + VXLAN_OFFLOAD_MSS, offload->mss);
    vxlan[VXLAN_OFFLOAD_L4_OFFSET] = offload->l4_offset;
    return 0;
}

int
sclp_geneve_put_offload(void *geneve_, const struct stt_header *offload)
{
    uint8_t *geneve = geneve_;
    uint8_t *option = geneve + SCLP_GENEVE_HEADER_SIZE;
    unsigned int words = geneve[GENEVE_VERSION_LENGTH] & GENEVE_LENGTH_MASK;

    if (check_offload(offload)
        || words + SCLP_OPTION_SIZE / 4 > SCLP_GENEVE_OPTIONS_MAX / 4) {
        return EINVAL;
    }
    geneve[GENEVE_VERSION_LENGTH] += SCLP_OPTION_SIZE / 4;
    geneve[GENEVE_FLAGS] |= GENEVE_F_CRITICAL;
    be16_store(option + OPTION_CLASS, SCLP_OPTION_CLASS);
    option[OPTION_TYPE] = SCLP_OPTION_TYPE;
    option[OPTION_LENGTH] = (SCLP_OPTION_SIZE - OPTION_HEADER_SIZE) / 4;
    option[OPTION_OFFLOAD_FLAGS] = offload->flags;
    option[OPTION_OFFLOAD_L4_OFFSET] = offload->l4_offset;
    be16_store(option + OPTION_OFFLOAD_MSS, offload->mss);
    return 0;
}

enum sclp_verdict
sclp_inner_check(struct stt_inner *inner, const struct stt_header *offload,
                 const void *eth, size_t size)
{
    enum stt_verdict verdict = stt_inner_check(inner, offload, eth, size);

    return (verdict == STT_OK ? SCLP_OK
            : verdict == STT_INNER_FRAGMENT ? SCLP_INNER_FRAGMENT
            : verdict == STT_INNER_L4 ? SCLP_INNER_L4
            : verdict == STT_L4_OFFSET ? SCLP_L4_OFFSET
            : SCLP_INNER_L3);
}
