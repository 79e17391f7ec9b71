/* SPDX-License-Identifier: Apache-2.0 */

/* What is to be sent, out of the link and to the TAP, until a batch of it is.
 *
 * To the link a message is pieces: headers that were written here, and slices
 * of packets, which are held until the messages have gone.  To the TAP it is a
 * packet. */

#ifndef FASTPATH_TRANSMIT_H
#define FASTPATH_TRANSMIT_H 1

#ifndef _GNU_SOURCE
#error "struct mmsghdr needs _GNU_SOURCE"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "counters.h"
#include "packet.h"

#define TRANSMIT_MESSAGES 256
#define TRANSMIT_PIECES 2048
#define TRANSMIT_HEADERS (96 * 1024)
#define TRANSMIT_HOST 64

/* A batch this large is better sent before more is added: what comes of one
 * packet then fits as a rule. */
#define TRANSMIT_ENOUGH 64

struct transmit {
    int link_fd;
    int tap_fd;
    struct buffers *buffers;
    struct counters *counters;

    bool lacks_uso;             /* The kernel has refused to cut UDP. */

    size_t n_messages;
    size_t n_pieces;
    size_t n_header_bytes;
    struct packet *held;
    struct mmsghdr messages[TRANSMIT_MESSAGES];
    struct iovec pieces[TRANSMIT_PIECES];
    uint8_t headers[TRANSMIT_HEADERS];

    size_t n_host;
    struct packet *host[TRANSMIT_HOST];
};

void transmit_init(struct transmit *, int link_fd, int tap_fd,
                   struct buffers *, struct counters *);

static inline bool
transmit_has_enough(const struct transmit *tx)
{
    return (tx->n_messages >= TRANSMIT_ENOUGH
            || tx->n_host >= TRANSMIT_HOST / 2);
}

/* The first piece of a message begins with a virtio-net header.
 *
 * Begins a message to the link of up to 'n_pieces' pieces, of which up to
 * 'header_size' bytes are written here; what waits is sent first if there is no
 * room. */
void transmit_begin(struct transmit *, size_t header_size, size_t n_pieces);

/* Adds a piece to the message begun last: 'size' bytes at 'data', or 'size'
 * bytes for the caller to write where it returns. */
void transmit_slice(struct transmit *, const void *data, size_t size);
uint8_t *transmit_header(struct transmit *, size_t size);

/* Holds 'packet' until all messages so far are sent, then frees it. */
void transmit_hold(struct transmit *, struct packet *);

/* Sends 'packet' as it is to the link or to the TAP, and takes it. */
void transmit_to_net(struct transmit *, struct packet *);
void transmit_to_host(struct transmit *, struct packet *);

/* Sends what waits. */
void transmit_flush(struct transmit *);

#endif /* transmit.h */
