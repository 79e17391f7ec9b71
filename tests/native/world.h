/* SPDX-License-Identifier: Apache-2.0 */

/* A fast path whose link and TAP are sockets that a test holds the other ends
 * of: frames in and out, each behind its virtio-net header, without devices. */

#ifndef WORLD_H
#define WORLD_H 1

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fastpath.h"

#define WORLD_FRAME_MAX (1 << 17)

struct world {
    struct fastpath *path;
    int fds[3][2];          /* By port: the fast path's end, and ours. */
};

/* Exits where there is no memory or no socket. */
void world_init(struct world *, uint32_t max_entries);
void world_destroy(struct world *);

/* Lets a frame of 'size' bytes, virtio-net header included, arrive at 'port',
 * to be forwarded with others by fastpath_step(). */
void world_put(struct world *, int port, const void *frame, size_t size);

/* Takes the next frame that came out of 'port' to 'frame' of WORLD_FRAME_MAX
 * bytes.  Returns its size, or -1 if there is none. */
ssize_t world_get(struct world *, int port, void *frame);

#endif /* world.h */
