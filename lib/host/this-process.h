/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * This process as the owner of a spare, and what can be seen of others
 * (promise 22 of remap-promises(7)).
 *
 * A process of this boot of this kernel, in the same namespaces, is alive if
 * there is one of its number that started when it did.  One of an earlier boot
 * of this machine is dead if nobody but this machine can have the spare open:
 * machine-id(5) alone doesn't tell two copies of one virtual machine apart, so
 * the name of the host must be the same as well.
 */

#ifndef REMAP_THIS_PROCESS_H
#define REMAP_THIS_PROCESS_H

#include "base/owner.h"

/* Fills in all of ENV but WAITS and OPAQUE; OPAQUE must be ENV itself. */
extern void this_process_init (struct owner_env *env, bool local);

/* Where the kernel shows processes ("/proc"), and where the machine's number
 * is; tests put something else here.
 */
extern const char *this_process_proc, *this_process_machine_id;

#endif /* REMAP_THIS_PROCESS_H */
