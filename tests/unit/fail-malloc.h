/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Memory that runs out on command.  Programs that use this are linked with
 * --wrap for all functions that allocate (fail_malloc_ldflags in
 * Makefile.am).  Each thread has its own failures.
 */

#ifndef FAIL_MALLOC_H
#define FAIL_MALLOC_H

#include <stdbool.h>

/* The Nth allocation from now on fails (1: the next one); 0: none does.
 * With FOREVER all after it do, too.
 */
extern _Thread_local unsigned malloc_countdown;
extern _Thread_local bool malloc_forever;

/* How many have failed, and how many there were. */
extern _Thread_local unsigned malloc_hits, malloc_calls;

#endif /* FAIL_MALLOC_H */
