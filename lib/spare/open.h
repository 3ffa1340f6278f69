/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a spare that is opened and one that is made have in common.
 *
 * spare_load, spare_start, spare_close, spare_get_identity and
 * spare_get_status, in spare.h, are of this unit as well.
 */

#ifndef REMAP_SPARE_OPEN_H
#define REMAP_SPARE_OPEN_H

#include "spare/internal.h"

/* A spare without a header.  DEV and MAP stay the caller's, ENV is copied
 * and may be NULL.  NULL: out of memory.
 */
extern struct spare *spare_new (const struct device *dev, struct map *map,
                                const struct spare_env *env, bool read_only);
extern void spare_free (struct spare *s);

/* Once s->hdr is known: where the slots are, all of them free; and the
 * identity.  Returns 0 or ENOMEM.
 */
extern int spare_set_up (struct spare *s, struct message *message);

#endif /* REMAP_SPARE_OPEN_H */
