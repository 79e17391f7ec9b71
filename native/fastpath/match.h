/* SPDX-License-Identifier: Apache-2.0 */

/* The match of an OpenFlow 1.0 flow entry, as it stands in a FLOW_MOD, as key
 * and mask.
 *
 * Its pads carry our extension: pad1[0] is a tunnel type and pad2[0] how many
 * low bits of the tunnel's id, which stands in the place of the transport
 * ports, are compared.  With a pad1[0] of 0 it is plain OpenFlow 1.0. */

#ifndef FASTPATH_MATCH_H
#define FASTPATH_MATCH_H 1

#include "flow-key.h"

#define MATCH_SIZE 40                   /* struct ofp_match. */

/* The priority of an entry without wildcards, above all others (OpenFlow 1.0,
 * section 3.4). */
#define MATCH_EXACT_PRIORITY 0x10000

/* Fills '*key', within '*mask', from the MATCH_SIZE bytes at 'match', and
 * raises '*priority', the FLOW_MOD's, if nothing is a wildcard.  Fields that
 * the other fields make meaningless are wildcards, whatever the match says.
 * Returns 0, or EINVAL for a tunnel type or a number of bits that there is
 * not. */
int match_parse(struct flow_key *key, struct flow_key *mask,
                uint32_t *priority, const void *match);

#endif /* match.h */
