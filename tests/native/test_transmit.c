/* SPDX-License-Identifier: Apache-2.0 */

/* Sending where the kernel refuses: sendmmsg() here stands before libc's. */

#define _GNU_SOURCE 1
#include "transmit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "encap.h"

static bool is_ours;
static bool lacks_uso;              /* Refuse super-packets over UDP. */
static bool is_interrupted;         /* The next call only. */
static int max_at_once;
static int n_refusals;              /* Of what comes next. */
static int refusal;
static size_t n_sent;
static size_t n_super;

static bool
is_super(const struct msghdr *message)
{
    struct virtio_net_hdr vnet;

    memcpy(&vnet, message->msg_iov[0].iov_base, sizeof vnet);
    return vnet.gso_type == VIRTIO_NET_HDR_GSO_UDP_L4;
}

int
sendmmsg(int fd, struct mmsghdr *messages, unsigned int n, int flags)
{
    int done = 0;

    if (!is_ours) {
        return (int) syscall(SYS_sendmmsg, fd, messages, n, flags);
    }
    if (is_interrupted) {
        is_interrupted = false;
        errno = EINTR;
        return -1;
    }
    for (unsigned int i = 0; i < n && done < max_at_once; i++) {
        const struct msghdr *message = &messages[i].msg_hdr;

        if (n_refusals || (lacks_uso && is_super(message))) {
            if (done) {
                break;
            }
            errno = n_refusals ? refusal : EINVAL;
            n_refusals -= n_refusals > 0;
            return -1;
        }
        n_super += is_super(message);
        done++;
    }
    n_sent += (size_t) done;
    return done;
}

struct bench {
    struct buffers buffers;
    struct counters counters;
    struct transmit tx;
    struct encap encap;
};

static struct bench *
bench_create(void)
{
    struct bench *b = calloc(1, sizeof *b);

    CHECK(b);
    CHECK_EQ(buffers_init(&b->buffers, 200, 200), 0);
    transmit_init(&b->tx, -1, -1, &b->buffers, &b->counters);
    b->encap.mtu = 1500;
    is_ours = true;
    lacks_uso = is_interrupted = false;
    max_at_once = 1024;
    n_refusals = 0;
    refusal = ENOBUFS;
    n_sent = n_super = 0;
    return b;
}

static void
bench_destroy(struct bench *b)
{
    is_ours = false;
    CHECK_EQ(b->buffers.large.n_used + b->buffers.small.n_used, 0);
    buffers_destroy(&b->buffers);
    free(b);
}

/* Sends a frame of 'size' bytes over SCLP over UDP. */
static void
send_frame(struct bench *b, uint32_t size)
{
    struct tunnel_outer outer = {
        .type = TUNNEL_SCLP, .is_udp = true, .nw_src = 1, .nw_dst = 2,
    };
    struct packet *p = pool_get(&b->buffers.large);

    CHECK(p);
    memset(p->data, 0, size);
    p->size = size;
    encap_send(&b->encap, &b->tx, p, &outer);
}

static size_t
dropped(struct bench *b)
{
    return b->counters.values[COUNTER_DROP_NET_SEND];
}

TEST(transmit_all)
{
    struct bench *b = bench_create();

    for (size_t i = 0; i < 10; i++) {
        send_frame(b, 20000);
    }
    CHECK_EQ(n_sent, 0);
    transmit_flush(&b->tx);
    CHECK_EQ(n_sent, 10);
    CHECK_EQ(n_super, 10);
    CHECK_EQ(dropped(b), 0);
    CHECK_EQ(b->counters.values[COUNTER_NET_TX_PACKETS], 10);
    transmit_flush(&b->tx);
    CHECK_EQ(n_sent, 10);
    bench_destroy(b);
}

/* Linux before 6.2. */
TEST(transmit_without_udp_segmentation)
{
    struct bench *b = bench_create();

    lacks_uso = true;
    send_frame(b, 20000);
    send_frame(b, 200);
    transmit_flush(&b->tx);
    CHECK_EQ(n_sent, 1);
    CHECK_EQ(dropped(b), 1);

    /* From then on frames are cut here. */
    send_frame(b, 20000);
    transmit_flush(&b->tx);
    CHECK_EQ(n_sent, 1 + 14);
    CHECK_EQ(dropped(b), 1);
    bench_destroy(b);
}

TEST(transmit_after_a_refusal)
{
    struct bench *b = bench_create();

    n_refusals = 3;
    for (size_t i = 0; i < 10; i++) {
        send_frame(b, 20000);
    }
    transmit_flush(&b->tx);
    CHECK_EQ(n_sent, 7);
    CHECK_EQ(dropped(b), 3);
    CHECK(!b->tx.lacks_uso);
    bench_destroy(b);
}

/* The link has taken nothing for a while: the rest of the batch does not wait
 * as long for each message. */
TEST(transmit_to_a_link_that_hangs)
{
    struct bench *b = bench_create();

    n_refusals = 1;
    refusal = EAGAIN;
    for (size_t i = 0; i < 10; i++) {
        send_frame(b, 20000);
    }
    transmit_flush(&b->tx);
    CHECK_EQ(n_sent, 0);
    CHECK_EQ(dropped(b), 10);
    send_frame(b, 20000);
    transmit_flush(&b->tx);
    CHECK_EQ(n_sent, 1);
    bench_destroy(b);
}

TEST(transmit_bit_by_bit)
{
    struct bench *b = bench_create();

    max_at_once = 1;
    is_interrupted = true;
    for (size_t i = 0; i < 10; i++) {
        send_frame(b, 20000);
    }
    transmit_flush(&b->tx);
    CHECK_EQ(n_sent, 10);
    CHECK_EQ(dropped(b), 0);
    bench_destroy(b);
}

/* What waits is sent before there is no room for more. */
TEST(transmit_more_than_fits)
{
    struct bench *b = bench_create();

    for (size_t i = 0; i < 150; i++) {
        send_frame(b, 60000);
    }
    CHECK(n_sent > 0);
    transmit_flush(&b->tx);
    CHECK_EQ(n_sent, 150);
    CHECK_EQ(dropped(b), 0);
    bench_destroy(b);
}

TEST(transmit_without_buffers)
{
    struct bench *b = bench_create();
    struct packet *taken[200];
    struct tunnel_outer outer = { .type = TUNNEL_SCLP };
    struct packet *p = pool_get(&b->buffers.large);

    /* A TCP frame that is to be cut, where no small buffer is left. */
    CHECK(p);
    memset(p->data, 0, 4000);
    p->data[12] = 8;
    p->data[14] = 0x45;
    p->data[16] = 3986 >> 8;
    p->data[17] = 3986 & 0xff;
    p->data[23] = 6;
    p->data[46] = 0x50;
    p->size = 4000;
    p->vnet = (struct virtio_net_hdr) {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_size = 1000,
        .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .csum_start = 34,
        .csum_offset = 16,
    };
    for (size_t i = 0; i < 200; i++) {
        taken[i] = pool_get(&b->buffers.small);
        CHECK(taken[i]);
    }
    CHECK(!pool_get(&b->buffers.small));
    encap_send(&b->encap, &b->tx, p, &outer);
    CHECK_EQ(b->counters.values[COUNTER_DROP_NO_BUFFER], 4);
    for (size_t i = 0; i < 200; i++) {
        packet_free(&b->buffers, taken[i]);
    }
    transmit_flush(&b->tx);
    CHECK_EQ(n_sent, 0);
    bench_destroy(b);
}
