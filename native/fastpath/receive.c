/* SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE 1
#include "receive.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "be.h"
#include "ip.h"
#include "rewrite.h"

void
receive_init(struct receive *rx, int link_fd, int tap_fd,
             struct buffers *buffers, struct counters *counters)
{
    memset(rx, 0, sizeof *rx);
    rx->link_fd = link_fd;
    rx->tap_fd = tap_fd;
    rx->buffers = buffers;
    rx->counters = counters;
    rx->n_used = RECEIVE_NET;
}

/* A frame arrives with its virtio-net header right before it. */

static uint8_t *
room(struct packet *p)
{
    return p->data - VNET_SIZE;
}

static size_t
room_size(const struct packet *p)
{
    return packet_tailroom(p) + VNET_SIZE;
}

/* Makes 'packet' what the 'n' bytes in its room are.  Returns false if they are
 * no virtio-net header. */
static bool
fill(struct packet *p, size_t n)
{
    if (n < VNET_SIZE) {
        return false;
    }
    memcpy(&p->vnet, room(p), VNET_SIZE);
    p->size = (uint32_t) (n - VNET_SIZE);
    return true;
}

/* Puts the VLAN tag back that the kernel has taken out of the frame. */
static void
restore_tag(struct packet *p, struct msghdr *message)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    struct tpacket_auxdata aux;

    if (!c || c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA
        || p->size < 2 * 6) {
        return;
    }
    memcpy(&aux, CMSG_DATA(c), sizeof aux);
    if (aux.tp_status & TP_STATUS_VLAN_VALID) {
        rewrite_push_vlan(p, aux.tp_vlan_tci);
        if (aux.tp_status & TP_STATUS_VLAN_TPID_VALID) {
            be16_store(p->data + ETH_TYPE_OFS, aux.tp_vlan_tpid);
        }
    }
}

/* Makes the slots ready that were used.  Returns how many are ready, from the
 * first on. */
static size_t
refill(struct receive *rx)
{
    for (size_t i = 0; i < rx->n_used; i++) {
        struct packet *p = rx->slots[i];

        if (!p) {
            p = rx->slots[i] = pool_get(&rx->buffers->large);
        }
        if (!p) {
            return i;
        }
        rx->pieces[i].iov_base = room(p);
        rx->pieces[i].iov_len = room_size(p);
        rx->messages[i].msg_hdr = (struct msghdr) {
            .msg_iov = &rx->pieces[i],
            .msg_iovlen = 1,
            .msg_control = &rx->control[i],
            .msg_controllen = sizeof rx->control[i],
        };
    }
    rx->n_used = 0;
    return RECEIVE_NET;
}

/* Returns true if slot 'i' holds a packet. */
static bool
accept_slot(struct receive *rx, size_t i)
{
    struct packet *p = rx->slots[i];
    struct msghdr *message = &rx->messages[i].msg_hdr;

    if (message->msg_flags & MSG_TRUNC) {
        count(rx->counters, COUNTER_DROP_LONG);
        return false;
    }
    if (!fill(p, rx->messages[i].msg_len)) {
        count(rx->counters, COUNTER_DROP_SHORT);
        return false;
    }
    restore_tag(p, message);
    count(rx->counters, COUNTER_NET_RX_PACKETS);
    count_n(rx->counters, COUNTER_NET_RX_BYTES, p->size);
    return true;
}

/* The link may go down and come back. */
static int
net_error(int error)
{
    switch (error) {
    case EAGAIN:
    case EINTR:
    case ENETDOWN:
    case ENOBUFS:
    case ENOMEM:
        return 0;
    default:
        return error;
    }
}

int
receive_net(struct receive *rx, struct packet **packets, size_t *n_packets)
{
    size_t n = 0, n_ready = refill(rx);
    int received = recvmmsg(rx->link_fd, rx->messages, (unsigned int) n_ready,
                            MSG_DONTWAIT, NULL);

    for (int i = 0; i < received; i++) {
        size_t slot = (size_t) i;

        if (accept_slot(rx, slot)) {
            packets[n++] = rx->slots[slot];
            rx->slots[slot] = NULL;
        }
        if (rx->n_used <= slot) {
            rx->n_used = slot + 1;
        }
    }
    *n_packets = n;
    return received < 0 ? net_error(errno) : 0;
}

int
receive_host(struct receive *rx, struct packet **packets, size_t *n_packets)
{
    size_t n = 0;
    ssize_t size = 0;

    for (size_t i = 0; i < RECEIVE_HOST; i++) {
        struct packet *p = pool_get(&rx->buffers->large);

        if (!p) {
            break;
        }
        size = read(rx->tap_fd, room(p), room_size(p));
        if (size < 0 || !fill(p, (size_t) size)) {
            packet_free(rx->buffers, p);
            if (size < 0) {
                break;
            }
            count(rx->counters, COUNTER_DROP_SHORT);
            continue;
        }
        packets[n++] = p;
        count(rx->counters, COUNTER_HOST_RX_PACKETS);
        count_n(rx->counters, COUNTER_HOST_RX_BYTES, p->size);
    }
    *n_packets = n;
    return size < 0 && errno != EAGAIN && errno != EINTR ? errno : 0;
}
