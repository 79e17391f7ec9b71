/* SPDX-License-Identifier: Apache-2.0 */

/* What has arrived, from the link and from the TAP. */

#ifndef FASTPATH_RECEIVE_H
#define FASTPATH_RECEIVE_H 1

#ifndef _GNU_SOURCE
#error "struct mmsghdr needs _GNU_SOURCE"
#endif

#include <stddef.h>
#include <sys/socket.h>

#include <linux/if_packet.h>

#include "counters.h"
#include "packet.h"

#define RECEIVE_NET 64              /* Frames of a batch. */
#define RECEIVE_HOST 32
#define RECEIVE_MAX RECEIVE_NET

struct receive {
    int link_fd;
    int tap_fd;
    struct buffers *buffers;
    struct counters *counters;

    /* Packets to be filled; of the first 'n_used' some were taken. */
    struct packet *slots[RECEIVE_NET];
    size_t n_used;
    struct mmsghdr messages[RECEIVE_NET];
    struct iovec pieces[RECEIVE_NET];
    union {
        char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
        struct cmsghdr alignment;
    } control[RECEIVE_NET];
};

void receive_init(struct receive *, int link_fd, int tap_fd, struct buffers *,
                  struct counters *);

/* Stores what can be had without waiting in 'packets', of RECEIVE_MAX, for the
 * caller to take, and how many in '*n'.  Returns 0 or the errno of a device that
 * is gone. */
int receive_net(struct receive *, struct packet **packets, size_t *n);
int receive_host(struct receive *, struct packet **packets, size_t *n);

#endif /* receive.h */
