/* SPDX-License-Identifier: Apache-2.0 */

/* The commands of tool.c for a fast path, of which there is one at a time.
 * Frames have their virtio-net header; what comes out of ports and of the
 * control queue is {"host": [HEX, ...], "net": [...], "control": [...]}.
 *
 *     path-new MAX_ENTRIES
 *     path-underlay ADDRESS MAC MTU
 *     path-miss DROPS
 *     path-add PRIORITY MATCH [ACTIONS]
 *                               {"error": N, "id": N}
 *     path-modify ID [ACTIONS]  the error
 *     path-delete ID            the error
 *     path-clear
 *     path-read ID ...          [[packets, bytes, is_there], ...]
 *     path-host HEX ...         frames arrive in one batch
 *     path-net HEX ...
 *     path-send HEX
 *     path-step TIMEOUT_MS
 *     path-counters             {"name": N, ...}
 *     path-end                  destroys it */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tool.h"
#include "world.h"

static struct world world;

static const char *
next_word(void)
{
    return strtok(NULL, " \n");
}

static uint64_t
next_id(void)
{
    return strtoull(next_word(), NULL, 10);
}

static uint8_t *
next_bytes(size_t *size)
{
    const char *hex = next_word();

    return from_hex(hex ? hex : "", size);
}

static void
print_frames(const char *name, int port)
{
    static uint8_t frame[WORLD_FRAME_MAX];
    const char *separator = "";
    ssize_t size;

    printf("\"%s\": [", name);
    while ((size = (port ? world_get(&world, port, frame)
                    : recv(fastpath_control_fd(world.path), frame,
                           sizeof frame, 0))) >= 0) {
        printf("%s\"", separator);
        print_hex(frame, (size_t) size);
        printf("\"");
        separator = ", ";
    }
    printf("]");
}

static void
print_out(void)
{
    printf("{");
    print_frames("host", FASTPATH_HOST);
    printf(", ");
    print_frames("net", FASTPATH_NET);
    printf(", ");
    print_frames("control", 0);
    printf("}\n");
}

static void
step(int timeout_ms)
{
    if (fastpath_step(world.path, timeout_ms)) {
        die("the fast path has failed");
    }
    print_out();
}

static void
do_frames(int port)
{
    const char *hex;

    while ((hex = next_word())) {
        size_t size;
        uint8_t *frame = from_hex(hex, &size);

        world_put(&world, port, frame, size);
        free(frame);
    }
    step(0);
}

static void
do_add(void)
{
    unsigned long int priority = next_number();
    size_t match_size, actions_size;
    uint8_t *match = next_bytes(&match_size);
    uint8_t *actions = next_bytes(&actions_size);
    uint64_t id = 0;
    int error = fastpath_add(world.path, match, (uint16_t) priority, actions,
                             actions_size, &id);

    printf("{\"error\": %d, \"id\": %"PRIu64"}\n", error, id);
    free(match);
    free(actions);
}

static void
do_modify(void)
{
    uint64_t id = next_id();
    size_t size;
    uint8_t *actions = next_bytes(&size);

    printf("%d\n", fastpath_modify(world.path, id, actions, size));
    free(actions);
}

static void
do_read(void)
{
    const char *separator = "", *word;

    printf("[");
    while ((word = next_word())) {
        uint64_t id = strtoull(word, NULL, 10);
        struct fastpath_flow_stats stats;

        fastpath_read(world.path, &id, 1, &stats);
        printf("%s[%"PRIu64", %"PRIu64", %s]", separator, stats.n_packets,
               stats.n_bytes, boolean(stats.used_ms >= 0));
        separator = ", ";
    }
    printf("]\n");
}

static void
do_counters(void)
{
    size_t n = fastpath_n_counters();
    uint64_t *values = calloc(n, sizeof *values);

    if (!values) {
        die("out of memory");
    }
    fastpath_read_counters(world.path, values);
    printf("{");
    for (size_t i = 0; i < n; i++) {
        printf("%s\"%s\": %"PRIu64, i ? ", " : "", fastpath_counter_name(i),
               values[i]);
    }
    printf("}\n");
    free(values);
}

static void
do_underlay(void)
{
    uint32_t address = (uint32_t) next_number();
    size_t size;
    uint8_t *mac = next_bytes(&size);

    fastpath_set_underlay(world.path, address, mac, (uint32_t) next_number());
    free(mac);
    printf("0\n");
}

static void
do_send(void)
{
    size_t size;
    uint8_t *frame = next_bytes(&size);

    if (fastpath_send(world.path, frame, size)) {
        die("cannot send");
    }
    free(frame);
    step(0);
}

bool
run_fastpath(const char *command)
{
    if (!strcmp(command, "path-new")) {
        world_init(&world, (uint32_t) next_number());
        printf("0\n");
    } else if (!strcmp(command, "path-underlay")) {
        do_underlay();
    } else if (!strcmp(command, "path-miss")) {
        fastpath_set_miss(world.path, (int) next_number());
        printf("0\n");
    } else if (!strcmp(command, "path-add")) {
        do_add();
    } else if (!strcmp(command, "path-modify")) {
        do_modify();
    } else if (!strcmp(command, "path-delete")) {
        printf("%d\n", fastpath_delete(world.path, next_id(), NULL));
    } else if (!strcmp(command, "path-clear")) {
        fastpath_clear(world.path);
        printf("0\n");
    } else if (!strcmp(command, "path-read")) {
        do_read();
    } else if (!strcmp(command, "path-host")) {
        do_frames(FASTPATH_HOST);
    } else if (!strcmp(command, "path-net")) {
        do_frames(FASTPATH_NET);
    } else if (!strcmp(command, "path-send")) {
        do_send();
    } else if (!strcmp(command, "path-step")) {
        step((int) next_number());
    } else if (!strcmp(command, "path-counters")) {
        do_counters();
    } else if (!strcmp(command, "path-end")) {
        world_destroy(&world);
        printf("0\n");
    } else {
        return false;
    }
    return true;
}
