/* SPDX-License-Identifier: Apache-2.0 */

#ifndef NETDEV_INNER_H
#define NETDEV_INNER_H 1

/* What of an inner frame's checksum and segmentation is still to be done, for
 * tunnels that can say so on the wire: STT in its header, SCLP in that of its
 * payload.  Both say it in the terms of struct stt_header. */

#include <stdbool.h>

struct dp_packet;
struct stt_header;
struct stt_inner;

/* Takes what the offload flags of the inner frame 'packet' leave to be done
 * into '*offload'.  Returns false, and has changed nothing, if there is
 * nothing or if it cannot be said. */
bool netdev_inner_take_offload(struct dp_packet *packet,
                               struct stt_header *offload);

/* Makes 'packet', which begins with an inner frame as it came from a tunnel,
 * say what 'offload' leaves to be done, as netdev-linux would have received
 * it.  stt_inner_check() has found 'inner', if 'offload' has any flags. */
void netdev_inner_put_offload(struct dp_packet *packet,
                              const struct stt_inner *inner,
                              const struct stt_header *offload);

#endif /* netdev-inner.h */
