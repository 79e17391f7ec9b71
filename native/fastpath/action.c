/* SPDX-License-Identifier: Apache-2.0 */

#include "action.h"

#include <stdlib.h>
#include <string.h>

#include "be.h"
#include "fastpath.h"

/* enum ofp_action_type (OpenFlow 1.0, section 5.2.4), and the tunnels: to set
 * is odd, to strip even, and the type half of what is above 0x1000. */
enum {
    OFPAT_OUTPUT = 0,
    OFPAT_SET_VLAN_VID = 1,
    OFPAT_SET_VLAN_PCP = 2,
    OFPAT_STRIP_VLAN = 3,
    OFPAT_SET_DL_SRC = 4,
    OFPAT_SET_DL_DST = 5,
    OFPAT_SET_NW_SRC = 6,
    OFPAT_SET_NW_DST = 7,
    OFPAT_SET_NW_TOS = 8,
    OFPAT_SET_TP_SRC = 9,
    OFPAT_SET_TP_DST = 10,
    OFPAT_FIRST_TUNNEL = 0x1001,
    OFPAT_LAST_TUNNEL = 0x100a
};

/* Sizes of actions. */
#define HEADER_SIZE 4
#define SIMPLE_SIZE 8
#define DL_SIZE 16
#define SET_TUNNEL_SIZE 64

/* A set action. */
enum {
    SET_DL_DST = 4,
    SET_DL_SRC = 10,
    SET_NW_DST = 16,
    SET_NW_SRC = 32,
    SET_ID = 48,
    SET_FLAGS = 56,
    SET_SEGMENT = 58
};
#define SET_F_OFFLOAD 1
#define SET_F_UDP 2

/* Ports (OpenFlow 1.0, enum ofp_port). */
static bool
is_port(uint16_t port)
{
    switch (port) {
    case FASTPATH_HOST:
    case FASTPATH_NET:
    case FASTPATH_IN_PORT:
    case FASTPATH_FLOOD:
    case FASTPATH_ALL:
    case FASTPATH_NONE:
        return true;
    default:
        return false;
    }
}

static int
parse_set_tunnel(struct action *a, const uint8_t *data)
{
    struct tunnel_outer *o = &a->outer;
    uint64_t id = be64_load(data + SET_ID);
    uint16_t flags = be16_load(data + SET_FLAGS);

    a->kind = ACTION_SET_TUNNEL;
    *o = (struct tunnel_outer) {
        .type = (uint8_t) ((be16_load(data) - OFPAT_FIRST_TUNNEL) / 2 + 1),
        .may_offload = flags & SET_F_OFFLOAD,
        .is_udp = flags & SET_F_UDP,
        .mtu = be16_load(data + SET_SEGMENT),
        .nw_dst = be32_load(data + SET_NW_DST),
        .nw_src = be32_load(data + SET_NW_SRC),
        .id = id,
    };
    memcpy(o->dl_dst, data + SET_DL_DST, sizeof o->dl_dst);
    memcpy(o->dl_src, data + SET_DL_SRC, sizeof o->dl_src);
    if (o->type != TUNNEL_STT) {
        o->id = id & UINT32_MAX;        /* Before it stands a pad. */
        if (o->id >> 24) {
            return FASTPATH_BAD_ARGUMENT;
        }
    }
    return o->mtu && o->mtu < FASTPATH_MTU_MIN ? FASTPATH_BAD_ARGUMENT : 0;
}

static int
parse_tunnel(struct action *a, const uint8_t *data, size_t size)
{
    uint16_t type = be16_load(data);

    if (type % 2) {
        return (size == SET_TUNNEL_SIZE ? parse_set_tunnel(a, data)
                : FASTPATH_BAD_ACTION_LENGTH);
    }
    a->kind = ACTION_STRIP_TUNNEL;
    a->value = (type - OFPAT_FIRST_TUNNEL - 1u) / 2 + 1;
    return size == SIMPLE_SIZE ? 0 : FASTPATH_BAD_ACTION_LENGTH;
}

/* Takes a value of at most 'max'. */
static int
parse_value(struct action *a, enum action_kind kind, uint32_t value,
            uint32_t max)
{
    a->kind = kind;
    a->value = value;
    return value <= max ? 0 : FASTPATH_BAD_ARGUMENT;
}

static int
parse_mac(struct action *a, enum action_kind kind, const uint8_t *data,
          size_t size)
{
    if (size != DL_SIZE) {
        return FASTPATH_BAD_ACTION_LENGTH;
    }
    a->kind = kind;
    memcpy(a->mac, data + HEADER_SIZE, sizeof a->mac);
    return 0;
}

static int
parse_output(struct action *a, uint16_t port)
{
    a->kind = ACTION_OUTPUT;
    a->value = port;
    return is_port(port) ? 0 : FASTPATH_BAD_OUT_PORT;
}

/* Parses an action of SIMPLE_SIZE bytes. */
static int
parse_simple(struct action *a, const uint8_t *data)
{
    uint16_t value16 = be16_load(data + HEADER_SIZE);
    uint32_t value32 = be32_load(data + HEADER_SIZE);

    switch (be16_load(data)) {
    case OFPAT_OUTPUT:
        return parse_output(a, value16);
    case OFPAT_SET_VLAN_VID:
        return parse_value(a, ACTION_VLAN_VID, value16, 0xfff);
    case OFPAT_SET_VLAN_PCP:
        return parse_value(a, ACTION_VLAN_PCP, data[HEADER_SIZE], 7);
    case OFPAT_STRIP_VLAN:
        return parse_value(a, ACTION_STRIP_VLAN, 0, 0);
    case OFPAT_SET_NW_SRC:
        return parse_value(a, ACTION_NW_SRC, value32, UINT32_MAX);
    case OFPAT_SET_NW_DST:
        return parse_value(a, ACTION_NW_DST, value32, UINT32_MAX);
    case OFPAT_SET_NW_TOS:
        return (data[HEADER_SIZE] & 3 ? FASTPATH_BAD_ARGUMENT
                : parse_value(a, ACTION_NW_TOS, data[HEADER_SIZE], 0xfc));
    case OFPAT_SET_TP_SRC:
        return parse_value(a, ACTION_TP_SRC, value16, UINT16_MAX);
    case OFPAT_SET_TP_DST:
        return parse_value(a, ACTION_TP_DST, value16, UINT16_MAX);
    default:
        return FASTPATH_BAD_ACTION_TYPE;
    }
}

static int
parse_one(struct action *a, const uint8_t *data, size_t size)
{
    uint16_t type = be16_load(data);

    if (type >= OFPAT_FIRST_TUNNEL && type <= OFPAT_LAST_TUNNEL) {
        return parse_tunnel(a, data, size);
    }
    if (type == OFPAT_SET_DL_SRC) {
        return parse_mac(a, ACTION_DL_SRC, data, size);
    }
    if (type == OFPAT_SET_DL_DST) {
        return parse_mac(a, ACTION_DL_DST, data, size);
    }
    if (type > OFPAT_SET_TP_DST) {
        return FASTPATH_BAD_ACTION_TYPE;
    }
    return (size == SIMPLE_SIZE ? parse_simple(a, data)
            : FASTPATH_BAD_ACTION_LENGTH);
}

/* Returns the size of the action of which 'left' bytes are at 'data', or 0 if
 * it is wrong. */
static size_t
action_size(const uint8_t *data, size_t left)
{
    size_t size = left < SIMPLE_SIZE ? 0 : be16_load(data + 2);

    return size >= SIMPLE_SIZE && size <= left && size % 8 == 0 ? size : 0;
}

/* Finds the last output of 'list'.  Returns an error if it puts a tunnel into a
 * tunnel. */
static int
check_order(struct action_list *list)
{
    bool is_in_tunnel = false;

    for (size_t i = 0; i < list->n; i++) {
        if (list->actions[i].kind == ACTION_OUTPUT) {
            list->n_to_last_output = i + 1;
        } else if (list->actions[i].kind == ACTION_SET_TUNNEL) {
            if (is_in_tunnel) {
                return FASTPATH_BAD_ARGUMENT;
            }
            is_in_tunnel = true;
        } else if (list->actions[i].kind == ACTION_STRIP_TUNNEL) {
            is_in_tunnel = false;
        }
    }
    return 0;
}

int
action_parse(struct action_list **listp, const void *data_, size_t size)
{
    const uint8_t *data = data_;
    struct action_list *list;
    int error = 0;

    *listp = NULL;
    list = calloc(1, sizeof *list + size / SIMPLE_SIZE * sizeof(struct action));
    if (!list) {
        return FASTPATH_NO_MEMORY;
    }
    for (size_t ofs = 0, n; ofs < size && !error; ofs += n) {
        n = action_size(data + ofs, size - ofs);
        error = (n ? parse_one(&list->actions[list->n++], data + ofs, n)
                 : FASTPATH_BAD_ACTION_LENGTH);
    }
    if (!error) {
        error = check_order(list);
    }
    if (error) {
        free(list);
        return error;
    }
    *listp = list;
    return 0;
}
