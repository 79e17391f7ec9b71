/* SPDX-License-Identifier: Apache-2.0 */

/* Fuzz target of the whole fast path: its input is a list of things that
 * happen, each a byte that says what, two that say how long the rest is, and
 * the rest:
 *
 *     0  a frame from HOST, with its virtio-net header; 1  from NET
 *     2  an entry: priority 16, match, actions; 3  new actions for the last one
 *     4  the last entry is deleted; 5  what the underlay is; 6  the batch ends
 *
 * What comes out must make sense, and no buffer may be lost. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "be.h"
#include "match.h"
#include "packet.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS 64                    /* Buffers that wait for the link. */
#define MATCH_AT 2                  /* Behind the priority. */

static void
check_frame(const uint8_t *data, size_t size)
{
    struct virtio_net_hdr vnet;
    size_t left = size - sizeof vnet;

    assert(size >= sizeof vnet + ETH_HEADER_SIZE);
    memcpy(&vnet, data, sizeof vnet);
    assert(left <= UINT16_MAX + 64);
    if (vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        assert((size_t) vnet.csum_start + vnet.csum_offset + 2 <= left);
    }
    assert(!vnet.gso_type || vnet.gso_size);
}

static uint64_t
counter(const struct world *w, const char *name)
{
    uint64_t values[256];

    assert(fastpath_n_counters() <= 256);
    fastpath_read_counters(w->path, values);
    for (size_t i = 0; i < fastpath_n_counters(); i++) {
        if (!strcmp(fastpath_counter_name(i), name)) {
            return values[i];
        }
    }
    abort();
}

static void
step(struct world *w)
{
    static uint8_t frame[WORLD_FRAME_MAX];
    ssize_t n;

    assert(!fastpath_step(w->path, 0));
    for (int port = FASTPATH_HOST; port <= FASTPATH_NET; port++) {
        while ((n = world_get(w, port, frame)) >= 0) {
            check_frame(frame, (size_t) n);
        }
    }
    while (recv(fastpath_control_fd(w->path), frame, sizeof frame, 0) > 0) {
        continue;
    }
    assert(counter(w, "buffers_large_now") + counter(w, "buffers_small_now")
           <= SLOTS + counter(w, "reassembly_segments_now"));
}

static void
set_underlay(struct world *w, const uint8_t *data, size_t size)
{
    if (size >= 8) {
        fastpath_set_underlay(w->path, be32_load(data), data + 2,
                              be16_load(data + 6));
    }
}

/* Lets 'what' happen.  The rest is in a block of its own. */
static void
happen(struct world *w, uint64_t *id, uint8_t what, const uint8_t *data,
       size_t size)
{
    switch (what % 7) {
    case 0:
        world_put(w, FASTPATH_HOST, data, size);
        break;
    case 1:
        world_put(w, FASTPATH_NET, data, size);
        break;
    case 2:
        if (size >= MATCH_AT + MATCH_SIZE) {
            fastpath_add(w->path, data + MATCH_AT, be16_load(data),
                         data + MATCH_AT + MATCH_SIZE,
                         size - MATCH_AT - MATCH_SIZE, id);
        }
        break;
    case 3:
        fastpath_modify(w->path, *id, data, size);
        break;
    case 4:
        fastpath_delete(w->path, *id, NULL);
        break;
    case 5:
        set_underlay(w, data, size);
        break;
    default:
        step(w);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    uint64_t id = 0;

    world_init(&w, 64);
    for (size_t n_waiting = 0; size >= 3; n_waiting++) {
        size_t n = be16_load(data + 1);
        uint8_t *copy;

        n = n < size - 3 ? n : size - 3;
        copy = malloc(n ? n : 1);
        assert(copy);
        memcpy(copy, data + 3, n);
        if (n_waiting % 32 == 31) {
            step(&w);
        }
        happen(&w, &id, data[0], copy, n);
        free(copy);
        data += 3 + n;
        size -= 3 + n;
    }
    step(&w);
    world_destroy(&w);
    return 0;
}
