/* SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE 1
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (8 << 20)

static void
need(int is_fine, const char *what)
{
    if (!is_fine) {
        perror(what);
        exit(EXIT_FAILURE);
    }
}

/* Who may has room for all that becomes of a large frame. */
static void
enlarge(int fd)
{
    int size = BUFFER_BYTES;

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size)) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
}

void
world_init(struct world *w, uint32_t max_entries)
{
    for (int port = FASTPATH_HOST; port <= FASTPATH_NET; port++) {
        need(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0,
                         w->fds[port]), "socketpair");
        enlarge(w->fds[port][0]);
        enlarge(w->fds[port][1]);
    }
    need(!fastpath_create(&w->path, &(struct fastpath_config) {
        .link_fd = w->fds[FASTPATH_NET][0],
        .tap_fd = w->fds[FASTPATH_HOST][0],
        .max_entries = max_entries,
    }), "fastpath_create");
}

void
world_destroy(struct world *w)
{
    fastpath_destroy(w->path);
    for (int port = FASTPATH_HOST; port <= FASTPATH_NET; port++) {
        close(w->fds[port][0]);
        close(w->fds[port][1]);
    }
}

void
world_put(struct world *w, int port, const void *frame, size_t size)
{
    need(send(w->fds[port][1], frame, size, 0) == (ssize_t) size, "send");
}

ssize_t
world_get(struct world *w, int port, void *frame)
{
    return recv(w->fds[port][1], frame, WORLD_FRAME_MAX, 0);
}
