/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The reply to the request table.
 */

#ifndef REMAP_CONTROL_TABLE_H
#define REMAP_CONTROL_TABLE_H

#include <stdatomic.h>
#include <stddef.h>

#include "control/protocol.h"
#include "control/target.h"

/* A page of the table, in malloc'd memory: a line of LEN bytes.  Ends early
 * when STOP has become true.  Any thread.  NULL: out of memory.
 */
extern char *control_table (struct control_target *t,
                            const struct control_request *rq,
                            const atomic_bool *stop, size_t *len);

#endif /* REMAP_CONTROL_TABLE_H */
