/* A cable that harms what it carries: drops, duplicates, reorders and corrupts IPv4 packets between two network interfaces.
 *
 * Usage: lossy INTERFACE INTERFACE SEED DROP DUPLICATE REORDER CORRUPT
 *
 * The last four are probabilities, 0 to 1, of each packet, independent of one another; one that is dropped meets nothing else.  Frames that
 * are not IPv4 pass.  SEED decides what happens to the nth packet of a direction.  Says "ready" when it forwards; at SIGTERM or SIGINT it
 * lets go what it holds and prints, for each direction, a line "NAME:COUNT ..." of what it did.
 *
 * A frame must be as on a real wire, of at most MAX_FRAME bytes and with its checksum in it: one that still awaits segmentation or a
 * checksum ends the program, since a NIC would have done that before the cable. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define MAX_FRAME (ETH_HLEN + 1500)
#define BATCH 64                /* Packets taken and sent by one system call. */
#define MAX_HELD 64             /* Of a direction. */
#define MAX_LATER 64            /* A reordered packet goes out after 1 to this many others ... */
#define HOLD_MS 2               /* ... or when nothing else came for this long. */
#define SOCKET_BYTES (64 << 20) /* What comes while others run must not be lost here. */

enum count { RECEIVED, SENT, DROPPED, DUPLICATED, REORDERED, CORRUPTED, OVERRUN, N_COUNTS };
static const char *const count_names[N_COUNTS] = {
    "received", "sent", "dropped", "duplicated", "reordered", "corrupted", "overrun",
};

struct frame {
    uint8_t data[MAX_FRAME + 1]; /* One more shows a frame that is too long. */
    size_t size;
};

struct direction {
    int in, out;
    uint64_t random;
    uint64_t counts[N_COUNTS];
    struct frame received[BATCH];
    int64_t received_ms; /* When, last. */
    struct frame held[MAX_HELD];
    unsigned int later[MAX_HELD]; /* Packets until held[i] goes; 0: free. */
    const struct frame *outgoing[BATCH];
    size_t n_outgoing;
};

static struct direction directions[2];
static uint64_t drop, duplicate, reorder, corrupt; /* Probabilities, of 2^64. */
static volatile sig_atomic_t ended;

static void
die(const char *what)
{
    fprintf(stderr, "lossy: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void
end(int number)
{
    (void) number;
    ended = 1;
}

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1000 * (int64_t) now.tv_sec + now.tv_nsec / 1000000;
}

/* SplitMix64 (Steele, Lea and Flood, 2014). */
static uint64_t
draw(struct direction *direction)
{
    uint64_t z = direction->random += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void
flush(struct direction *direction)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    size_t sent = 0;

    for (size_t i = 0; i < direction->n_outgoing; i++) {
        const struct frame *frame = direction->outgoing[i];

        parts[i] = (struct iovec) { .iov_base = (void *) frame->data, .iov_len = frame->size };
        messages[i] = (struct mmsghdr) { .msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1 } };
    }
    while (sent < direction->n_outgoing) {
        int n = sendmmsg(direction->out, messages + sent, (unsigned int) (direction->n_outgoing - sent), 0);

        if (n > 0) {
            sent += (size_t) n;
            direction->counts[SENT] += (uint64_t) n;
        } else if (errno == ENOBUFS) {
            sent++;
            direction->counts[OVERRUN]++;
        } else if (errno != EINTR) {
            die("sendmmsg");
        }
    }
    direction->n_outgoing = 0;
}

/* Sends 'frame', which must stay until the next flush. */
static void
emit(struct direction *direction, const struct frame *frame)
{
    if (direction->n_outgoing == BATCH) {
        flush(direction);
    }
    direction->outgoing[direction->n_outgoing++] = frame;
}

/* Sends the held packets whose time has come, all of them if 'all'. */
static void
release(struct direction *direction, bool all)
{
    for (size_t i = 0; i < MAX_HELD; i++) {
        if (direction->later[i] && (!--direction->later[i] || all)) {
            direction->later[i] = 0;
            emit(direction, &direction->held[i]);
            flush(direction); /* The place may be taken again at once. */
        }
    }
}

static bool
hold(struct direction *direction, const struct frame *frame)
{
    for (size_t i = 0; i < MAX_HELD; i++) {
        if (!direction->later[i]) {
            direction->held[i] = *frame;
            direction->later[i] = 2 + (unsigned int) (draw(direction) % MAX_LATER); /* This packet counts as one. */
            return true;
        }
    }
    return false;
}

/* Inverts some bits, the outermost of them at most 15 apart, anywhere behind the IPv4 header.  The checksum finds every burst of up to 15
 * bits, and not every worse damage: a test that asks for none to be missed may not ask for more. */
static void
damage(struct direction *direction, struct frame *frame)
{
    size_t start = ETH_HLEN + 4u * (frame->data[ETH_HLEN] & 15);
    size_t end = ETH_HLEN + (size_t) (frame->data[ETH_HLEN + 2] << 8 | frame->data[ETH_HLEN + 3]);
    uint64_t burst = (draw(direction) & 0x7fff) | 1;
    size_t n_bits, bit;

    if (end > frame->size || start >= end) {
        return;
    }
    n_bits = 8 * (end - start);
    bit = draw(direction) % n_bits;
    for (; burst && bit < n_bits; burst >>= 1, bit++) {
        frame->data[start + bit / 8] ^= (uint8_t) ((burst & 1) << (7 - bit % 8));
    }
    direction->counts[CORRUPTED]++;
}

static void
carry(struct direction *direction, struct frame *frame)
{
    uint16_t type = (uint16_t) (frame->data[12] << 8 | frame->data[13]);
    bool twice;

    if (frame->size < ETH_HLEN + 20 || type != ETH_P_IP) {
        emit(direction, frame);
        return;
    }
    if (draw(direction) < drop) {
        direction->counts[DROPPED]++;
        return;
    }
    if (draw(direction) < corrupt) {
        damage(direction, frame);
    }
    twice = draw(direction) < duplicate;
    if (draw(direction) < reorder && hold(direction, frame)) {
        direction->counts[REORDERED]++;
    } else {
        emit(direction, frame);
    }
    if (twice) {
        direction->counts[DUPLICATED]++;
        emit(direction, frame);
    }
}

/* Ends the program where the kernel says that a packet is not as on a wire. */
static void
check(const struct frame *frame, struct msghdr *header)
{
    const struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);

    if (frame->size > MAX_FRAME) {
        fprintf(stderr, "lossy: a frame of more than %d bytes: segmentation offload is on\n", MAX_FRAME);
        exit(1);
    }
    if (cmsg && cmsg->cmsg_type == PACKET_AUXDATA) {
        struct tpacket_auxdata aux;

        memcpy(&aux, CMSG_DATA(cmsg), sizeof aux);
        if (aux.tp_status & TP_STATUS_CSUMNOTREADY) {
            fprintf(stderr, "lossy: a frame without its checksum: checksum offload is on\n");
            exit(1);
        }
    }
}

static void
forward(struct direction *direction)
{
    char control[BATCH][CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    int n;

    for (size_t i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec) { .iov_base = direction->received[i].data, .iov_len = sizeof direction->received[i].data };
        messages[i] = (struct mmsghdr) {
            .msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = sizeof control[i] },
        };
    }
    n = recvmmsg(direction->in, messages, BATCH, MSG_DONTWAIT, NULL);
    if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN) {
        die("recvmmsg");
    }
    for (int i = 0; i < n; i++) {
        struct frame *frame = &direction->received[i];

        frame->size = messages[i].msg_len;
        check(frame, &messages[i].msg_hdr);
        direction->counts[RECEIVED]++;
        direction->received_ms = now_ms();
        carry(direction, frame);
        release(direction, false);
    }
    flush(direction);
}

static int
open_socket(const char *interface)
{
    struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
    int one = 1, bytes = SOCKET_BYTES;
    int fd = socket(AF_PACKET, SOCK_RAW, 0); /* Nothing comes before bind(). */

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes)
        || setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes)
        || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one)
        || setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one)) {
        die("socket");
    }
    address.sll_ifindex = (int) if_nametoindex(interface);
    if (!address.sll_ifindex || bind(fd, (struct sockaddr *) &address, sizeof address)) {
        die(interface);
    }
    return fd;
}

static void
report(struct direction *direction)
{
    struct tpacket_stats stats;
    socklen_t size = sizeof stats;

    if (!getsockopt(direction->in, SOL_PACKET, PACKET_STATISTICS, &stats, &size)) {
        direction->counts[OVERRUN] += stats.tp_drops;
    }
    for (size_t i = 0; i < N_COUNTS; i++) {
        printf("%s:%llu%c", count_names[i], (unsigned long long) direction->counts[i], i + 1 < N_COUNTS ? ' ' : '\n');
    }
}

static uint64_t
probability(const char *text)
{
    double value = strtod(text, NULL);

    return value >= 1 ? UINT64_MAX : (uint64_t) (value * 0x1p64);
}

int
main(int argc, char *argv[])
{
    struct pollfd polled[2];
    uint64_t seed;

    if (argc != 8) {
        fprintf(stderr, "usage: lossy INTERFACE INTERFACE SEED DROP DUPLICATE REORDER CORRUPT\n");
        return 2;
    }
    seed = strtoull(argv[3], NULL, 0);
    drop = probability(argv[4]);
    duplicate = probability(argv[5]);
    reorder = probability(argv[6]);
    corrupt = probability(argv[7]);
    for (size_t i = 0; i < 2; i++) {
        directions[i].in = directions[!i].out = open_socket(argv[1 + i]);
        directions[i].random = 2 * seed + i;
        polled[i] = (struct pollfd) { .fd = directions[i].in, .events = POLLIN };
    }
    signal(SIGTERM, end);
    signal(SIGINT, end);
    puts("ready");
    fflush(stdout);

    while (!ended) {
        if (poll(polled, 2, HOLD_MS) < 0 && errno != EINTR) {
            die("poll");
        }
        for (size_t i = 0; i < 2; i++) {
            if (polled[i].revents) {
                forward(&directions[i]);
            } else if (now_ms() - directions[i].received_ms >= HOLD_MS) {
                release(&directions[i], true);
            }
        }
    }
    for (size_t i = 0; i < 2; i++) {
        release(&directions[i], true);
        report(&directions[i]);
    }
    return 0;
}
