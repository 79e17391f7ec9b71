/* SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE 1
#include "transmit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void
transmit_init(struct transmit *tx, int link_fd, int tap_fd,
              struct buffers *buffers, struct counters *counters)
{
    memset(tx, 0, sizeof *tx);
    tx->link_fd = link_fd;
    tx->tap_fd = tap_fd;
    tx->buffers = buffers;
    tx->counters = counters;
}

static size_t
message_size(const struct msghdr *message)
{
    size_t size = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++) {
        size += message->msg_iov[i].iov_len;
    }
    return size;
}

static bool
is_udp_gso(const struct msghdr *message)
{
    struct virtio_net_hdr vnet;

    memcpy(&vnet, message->msg_iov[0].iov_base, sizeof vnet);
    return vnet.gso_type == VIRTIO_NET_HDR_GSO_UDP_L4;
}

/* Sends all messages.  One that cannot be sent does not keep the others, but
 * for a link that takes nothing: then they all are lost. */
static void
flush_net(struct transmit *tx)
{
    size_t sent = 0;

    while (sent < tx->n_messages) {
        int n = sendmmsg(tx->link_fd, &tx->messages[sent],
                         (unsigned int) (tx->n_messages - sent), MSG_NOSIGNAL);

        for (int i = 0; i < n; i++) {
            count(tx->counters, COUNTER_NET_TX_PACKETS);
            count_n(tx->counters, COUNTER_NET_TX_BYTES,
                    message_size(&tx->messages[sent++].msg_hdr) - VNET_SIZE);
        }
        if (n < 0 && errno != EINTR) {
            size_t n_lost = errno == EAGAIN ? tx->n_messages - sent : 1;

            if (errno == EINVAL && is_udp_gso(&tx->messages[sent].msg_hdr)) {
                tx->lacks_uso = true;
            }
            count_n(tx->counters, COUNTER_DROP_NET_SEND, n_lost);
            sent += n_lost;
        }
    }
    while (tx->held) {
        struct packet *p = tx->held;

        tx->held = p->next;
        packet_free(tx->buffers, p);
    }
    tx->n_messages = tx->n_pieces = tx->n_header_bytes = 0;
}

/* Writes the virtio-net header of 'packet' in front of it and returns where
 * that is. */
static uint8_t *
put_vnet(struct packet *p)
{
    return memcpy(p->data - VNET_SIZE, &p->vnet, VNET_SIZE);
}

static void
flush_host(struct transmit *tx)
{
    for (size_t i = 0; i < tx->n_host; i++) {
        struct packet *p = tx->host[i];
        const uint8_t *data = put_vnet(p);
        ssize_t n;

        do {
            n = write(tx->tap_fd, data, VNET_SIZE + p->size);
        } while (n < 0 && errno == EINTR);
        if (n < 0) {
            count(tx->counters, COUNTER_DROP_HOST_SEND);
        } else {
            count(tx->counters, COUNTER_HOST_TX_PACKETS);
            count_n(tx->counters, COUNTER_HOST_TX_BYTES, p->size);
        }
        packet_free(tx->buffers, p);
    }
    tx->n_host = 0;
}

void
transmit_flush(struct transmit *tx)
{
    flush_net(tx);
    flush_host(tx);
}

void
transmit_begin(struct transmit *tx, size_t header_size, size_t n_pieces)
{
    struct msghdr *message;

    if (tx->n_messages == TRANSMIT_MESSAGES
        || tx->n_pieces + n_pieces > TRANSMIT_PIECES
        || tx->n_header_bytes + header_size > TRANSMIT_HEADERS) {
        flush_net(tx);
    }
    message = &tx->messages[tx->n_messages++].msg_hdr;
    memset(message, 0, sizeof *message);
    message->msg_iov = &tx->pieces[tx->n_pieces];
}

void
transmit_slice(struct transmit *tx, const void *data, size_t size)
{
    struct iovec *piece = &tx->pieces[tx->n_pieces++];

    piece->iov_base = (void *) (uintptr_t) data;
    piece->iov_len = size;
    tx->messages[tx->n_messages - 1].msg_hdr.msg_iovlen++;
}

uint8_t *
transmit_header(struct transmit *tx, size_t size)
{
    uint8_t *header = tx->headers + tx->n_header_bytes;

    tx->n_header_bytes += size;
    transmit_slice(tx, header, size);
    return header;
}

void
transmit_hold(struct transmit *tx, struct packet *p)
{
    p->next = tx->held;
    tx->held = p;
}

void
transmit_to_net(struct transmit *tx, struct packet *p)
{
    transmit_begin(tx, 0, 1);
    transmit_slice(tx, put_vnet(p), VNET_SIZE + p->size);
    transmit_hold(tx, p);
}

void
transmit_to_host(struct transmit *tx, struct packet *p)
{
    if (tx->n_host == TRANSMIT_HOST) {
        flush_host(tx);
    }
    tx->host[tx->n_host++] = p;
}
