/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of a packet: control and ARP aside, reassembly, the flow table,
 * its entry's actions, and out again. */

#ifndef FASTPATH_FORWARD_H
#define FASTPATH_FORWARD_H 1

#include <stdbool.h>
#include <stdint.h>

#include "assembly.h"
#include "encap.h"
#include "flow-table.h"
#include "merge.h"
#include "transmit.h"

struct forward {
    struct flow_table table;
    uint32_t underlay;              /* This vNIC's address there, or 0. */
    uint8_t mac[6];
    bool miss_drops;

    int control_fd;                 /* For control frames from NET. */
    struct buffers *buffers;
    struct counters *counters;
    struct transmit *tx;
    struct assembly assembly;
    struct encap encap;
    struct merge merge;
    int64_t now_ms;
};

/* Forward 'packet', which they take, from the guest's stack and from the
 * link. */
void forward_from_host(struct forward *, struct packet *);
void forward_from_net(struct forward *, struct packet *);

/* Ends a batch from the link. */
void forward_finish(struct forward *);

#endif /* forward.h */
