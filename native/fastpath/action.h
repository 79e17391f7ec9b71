/* SPDX-License-Identifier: Apache-2.0 */

/* The actions of an OpenFlow 1.0 flow entry: from what a FLOW_MOD carries to a
 * list that a packet runs through. */

#ifndef FASTPATH_ACTION_H
#define FASTPATH_ACTION_H 1

#include <stddef.h>
#include <stdint.h>

#include "tunnel.h"

enum action_kind {
    ACTION_OUTPUT,
    ACTION_VLAN_VID,
    ACTION_VLAN_PCP,
    ACTION_STRIP_VLAN,
    ACTION_DL_SRC,
    ACTION_DL_DST,
    ACTION_NW_SRC,
    ACTION_NW_DST,
    ACTION_NW_TOS,
    ACTION_TP_SRC,
    ACTION_TP_DST,
    ACTION_SET_TUNNEL,
    ACTION_STRIP_TUNNEL
};

struct action {
    enum action_kind kind;
    union {
        uint32_t value;         /* Port, VID, PCP, address, TOS, or the type of
                                 * the tunnel to strip. */
        uint8_t mac[6];
        struct tunnel_outer outer;
    };
};

struct action_list {
    size_t n;
    size_t n_to_last_output;    /* Actions up to it; 0 without any. */
    struct action actions[];
};

/* Makes the list of the 'size' bytes of actions at 'data', which the caller
 * must free(), in '*list'.  Returns 0 or an enum fastpath_error; then '*list'
 * is NULL. */
int action_parse(struct action_list **list, const void *data, size_t size);

#endif /* action.h */
