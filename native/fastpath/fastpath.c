/* SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE 1
#include "fastpath.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "forward.h"
#include "receive.h"

#define MTU_DEFAULT 1500
#define SEND_TIMEOUT_US 100000      /* That the link may take nothing. */
#define CONTROL_BYTES (1 << 20)     /* Of control frames that nobody reads. */

/* Clones, and what waits for the TAP, beside what batches and reassembly
 * hold. */
#define N_SPARE 128
#define LARGE_SIZE (PACKET_HEADROOM + PACKET_SIZE_MAX)
#define N_LARGE (RECEIVE_NET + RECEIVE_HOST + TRANSMIT_HOST + N_SPARE \
                 + ASSEMBLY_BYTES / LARGE_SIZE)
#define N_SMALL (ASSEMBLY_SEGMENTS + 4 * N_SPARE)

struct fastpath {
    /* Who changes the table waits for 'gate' first, and so does the loop, so
     * that the loop cannot take 'lock' again and again before others. */
    pthread_mutex_t gate;
    pthread_mutex_t lock;       /* For what is in 'forward'. */

    struct forward forward;
    struct buffers buffers;
    struct counters counters;
    struct transmit tx;
    struct receive rx;
    int link_fd;
    int tap_fd;
    int wake_fd;
    int control_fds[2];         /* Ours, and the reader's. */
    atomic_bool is_stopped;
};

static void
lock(struct fastpath *fp)
{
    pthread_mutex_lock(&fp->gate);
    pthread_mutex_lock(&fp->lock);
    pthread_mutex_unlock(&fp->gate);
}

static void
unlock(struct fastpath *fp)
{
    pthread_mutex_unlock(&fp->lock);
}

static int64_t
time_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Making and destroying. */

static int
init_forward(struct fastpath *fp, const struct fastpath_config *config)
{
    struct forward *f = &fp->forward;
    uint64_t random[3];
    int error;

    if (getrandom(random, sizeof random, 0) != sizeof random) {
        return errno;
    }
    f->buffers = &fp->buffers;
    f->counters = &fp->counters;
    f->tx = &fp->tx;
    f->merge.tx = &fp->tx;
    f->control_fd = fp->control_fds[0];
    f->encap = (struct encap) {
        .frame_id = (uint32_t) random[2],
        .ip_id = (uint16_t) (random[2] >> 32),
        .mtu = MTU_DEFAULT,
    };
    error = flow_table_init(&f->table, config->max_entries);
    return error ? error : assembly_init(&f->assembly, &fp->buffers,
                                         &fp->counters, random);
}

/* Makes the queue of control frames; who may gets a long one. */
static int
init_control(struct fastpath *fp)
{
    int size = CONTROL_BYTES;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                   fp->control_fds)) {
        return errno;
    }
    if (setsockopt(fp->control_fds[0], SOL_SOCKET, SO_SNDBUFFORCE, &size,
                   sizeof size)) {
        setsockopt(fp->control_fds[0], SOL_SOCKET, SO_SNDBUF, &size,
                   sizeof size);
    }
    return 0;
}

static int
init(struct fastpath *fp, const struct fastpath_config *config)
{
    int error;

    pthread_mutex_init(&fp->gate, NULL);
    pthread_mutex_init(&fp->lock, NULL);
    fp->link_fd = config->link_fd;
    fp->tap_fd = config->tap_fd;
    setsockopt(fp->link_fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval) {
        .tv_usec = SEND_TIMEOUT_US,
    }, sizeof(struct timeval));
    fp->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fp->wake_fd < 0) {
        return errno;
    }
    error = init_control(fp);
    if (error) {
        return error;
    }
    error = buffers_init(&fp->buffers, N_LARGE, N_SMALL);
    if (error) {
        return error;
    }
    transmit_init(&fp->tx, fp->link_fd, fp->tap_fd, &fp->buffers,
                  &fp->counters);
    receive_init(&fp->rx, fp->link_fd, fp->tap_fd, &fp->buffers,
                 &fp->counters);
    return init_forward(fp, config);
}

int
fastpath_create(struct fastpath **fpp, const struct fastpath_config *config)
{
    struct fastpath *fp;
    int error;

    *fpp = NULL;
    if (!config->max_entries) {
        return EINVAL;
    }
    fp = calloc(1, sizeof *fp);
    if (!fp) {
        return ENOMEM;
    }
    fp->wake_fd = fp->control_fds[0] = fp->control_fds[1] = -1;
    error = init(fp, config);
    if (error) {
        fastpath_destroy(fp);
        return error;
    }
    *fpp = fp;
    return 0;
}

static void
close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void
fastpath_destroy(struct fastpath *fp)
{
    if (fp->forward.table.entries) {
        flow_table_destroy(&fp->forward.table);
    }
    assembly_destroy(&fp->forward.assembly);
    buffers_destroy(&fp->buffers);
    close_fd(fp->wake_fd);
    close_fd(fp->control_fds[0]);
    close_fd(fp->control_fds[1]);
    pthread_mutex_destroy(&fp->gate);
    pthread_mutex_destroy(&fp->lock);
    free(fp);
}

/* The loop. */

/* Sends what waits, with the table free for others meanwhile, if that is much.
 * The lock is held before and afterwards. */
static void
relieve(struct fastpath *fp)
{
    if (transmit_has_enough(&fp->tx)) {
        unlock(fp);
        transmit_flush(&fp->tx);
        lock(fp);
    }
}

static void
forward_batch(struct fastpath *fp, struct packet **packets, size_t n,
              void (*forward)(struct forward *, struct packet *))
{
    lock(fp);
    fp->forward.now_ms = time_ms();
    for (size_t i = 0; i < n; i++) {
        forward(&fp->forward, packets[i]);
        relieve(fp);
    }
    forward_finish(&fp->forward);
    unlock(fp);
    transmit_flush(&fp->tx);
}

/* Returns how long to wait for packets, at most 'timeout_ms': until the next
 * unfinished frame expires. */
static int
wait_ms(struct fastpath *fp, int timeout_ms)
{
    long long int at, left;

    at = reassembly_next_expiry_ms(fp->forward.assembly.engine);
    if (at == LLONG_MAX) {
        return timeout_ms;
    }
    left = at - time_ms();
    left = left < 0 ? 0 : left;
    return timeout_ms < 0 || left < timeout_ms ? (int) left : timeout_ms;
}

int
fastpath_step(struct fastpath *fp, int timeout_ms)
{
    struct pollfd fds[3] = {
        { .fd = fp->link_fd, .events = POLLIN },
        { .fd = fp->tap_fd, .events = POLLIN },
        { .fd = fp->wake_fd, .events = POLLIN },
    };
    struct packet *packets[RECEIVE_MAX];
    size_t n_net = 0, n_host = 0;
    int error = 0;
    uint64_t value;

    if (poll(fds, 3, wait_ms(fp, timeout_ms)) < 0) {
        return errno == EINTR ? 0 : errno;
    }
    if (fds[2].revents && read(fp->wake_fd, &value, sizeof value) < 0
        && errno != EAGAIN) {
        return errno;
    }
    if (fds[0].revents) {
        error = receive_net(&fp->rx, packets, &n_net);
    }
    forward_batch(fp, packets, n_net, forward_from_net);
    if (!error && fds[1].revents) {
        error = receive_host(&fp->rx, packets, &n_host);
        forward_batch(fp, packets, n_host, forward_from_host);
    }
    return error;
}

int
fastpath_run(struct fastpath *fp)
{
    int error = 0;

    while (!error && !atomic_load(&fp->is_stopped)) {
        error = fastpath_step(fp, -1);
    }
    return error;
}

void
fastpath_stop(struct fastpath *fp)
{
    uint64_t one = 1;
    ssize_t n;

    atomic_store(&fp->is_stopped, true);
    do {
        n = write(fp->wake_fd, &one, sizeof one);
    } while (n < 0 && errno == EINTR);
}

/* Settings and the table. */

void
fastpath_set_underlay(struct fastpath *fp, uint32_t address,
                      const uint8_t *mac, uint32_t mtu)
{
    lock(fp);
    fp->forward.underlay = address;
    memcpy(fp->forward.mac, mac, sizeof fp->forward.mac);
    fp->forward.encap.mtu = (mtu < FASTPATH_MTU_MIN ? FASTPATH_MTU_MIN
                             : mtu > UINT16_MAX ? UINT16_MAX : mtu);
    unlock(fp);
}

void
fastpath_set_miss(struct fastpath *fp, int drops)
{
    lock(fp);
    fp->forward.miss_drops = drops;
    unlock(fp);
}

int
fastpath_add(struct fastpath *fp, const uint8_t *match, uint16_t priority,
             const uint8_t *actions, size_t actions_size, uint64_t *id)
{
    int error;

    lock(fp);
    error = flow_table_add(&fp->forward.table, match, priority, actions,
                           actions_size, time_ms(), id);
    unlock(fp);
    return error;
}

int
fastpath_modify(struct fastpath *fp, uint64_t id, const uint8_t *actions,
                size_t actions_size)
{
    int error;

    lock(fp);
    error = flow_table_modify(&fp->forward.table, id, actions, actions_size);
    unlock(fp);
    return error;
}

int
fastpath_delete(struct fastpath *fp, uint64_t id,
                struct fastpath_flow_stats *stats)
{
    int error;

    lock(fp);
    error = flow_table_delete(&fp->forward.table, id, stats);
    unlock(fp);
    return error;
}

void
fastpath_clear(struct fastpath *fp)
{
    lock(fp);
    flow_table_clear(&fp->forward.table);
    unlock(fp);
}

void
fastpath_read(struct fastpath *fp, const uint64_t *ids, size_t n,
              struct fastpath_flow_stats *stats)
{
    lock(fp);
    for (size_t i = 0; i < n; i++) {
        const struct flow_entry *e = flow_table_get(&fp->forward.table,
                                                    ids[i]);

        stats[i] = e ? e->stats : (struct fastpath_flow_stats) {
            .used_ms = -1,
        };
    }
    unlock(fp);
}

/* Counters: our own, then those of reassembly, then what is in use now and
 * what the table's cache did not know. */

static const char *const names[] = {
#define COUNTER(NAME, TEXT) TEXT,
    FASTPATH_COUNTERS
#undef COUNTER
#define STT_VERDICT(NAME, SHORT, TEXT) "stt_" SHORT,
    STT_VERDICTS
#undef STT_VERDICT
#define SCLP_VERDICT(NAME, SHORT, TEXT) "sclp_" SHORT,
    SCLP_VERDICTS
#undef SCLP_VERDICT
#define REASSEMBLY_RESULT(NAME, SHORT, TEXT) "reassembly_" SHORT,
    REASSEMBLY_RESULTS
#undef REASSEMBLY_RESULT
    "reassembly_expired",
    "reassembly_evicted",
    "reassembly_frames_now",
    "reassembly_segments_now",
    "reassembly_bytes_now",
    "buffers_large_now",
    "buffers_small_now",
    "classifier_lookups",
    "classifier_compared",
};

size_t
fastpath_n_counters(void)
{
    return sizeof names / sizeof names[0];
}

const char *
fastpath_counter_name(size_t i)
{
    return i < fastpath_n_counters() ? names[i] : NULL;
}

void
fastpath_read_counters(struct fastpath *fp, uint64_t *values)
{
    const struct reassembly_stats *stats;

    for (size_t i = 0; i < COUNTER_N; i++) {
        *values++ = atomic_load_explicit(&fp->counters.values[i],
                                         memory_order_relaxed);
    }
    lock(fp);
    stats = reassembly_stats(fp->forward.assembly.engine);
    memcpy(values, stats->results, sizeof stats->results);
    values += REASSEMBLY_N_RESULTS;
    *values++ = stats->expired_segments;
    *values++ = stats->evicted_segments;
    *values++ = stats->frames;
    *values++ = stats->segments;
    *values++ = stats->charge_bytes;
    *values++ = fp->buffers.large.n_used;
    *values++ = fp->buffers.small.n_used;
    *values++ = fp->forward.table.classifier.n_lookups;
    *values++ = fp->forward.table.classifier.n_compared;
    unlock(fp);
}

/* Control. */

int
fastpath_control_fd(const struct fastpath *fp)
{
    return fp->control_fds[1];
}

int
fastpath_send(struct fastpath *fp, const uint8_t *frame, size_t size)
{
    struct virtio_net_hdr vnet = { .flags = 0 };
    struct iovec pieces[2] = {
        { .iov_base = &vnet, .iov_len = sizeof vnet },
        { .iov_base = (void *) (uintptr_t) frame, .iov_len = size },
    };
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };
    ssize_t n;

    do {
        n = sendmsg(fp->link_fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? errno : 0;
}
