/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The copy's beginning and end, and its keeper; engine_attach_copy and what
 * follows it in engine.h is here.
 *
 * How it hangs together.  With a copy requests go other ways: what is read from
 * main is kept (keep.c), what is written goes to the copy alone
 * (rescue-write.c, merge.c), and what changes by that is pending
 * (map/pending.c, states.c) until a batch records it (settle.c).  Nothing is
 * sent to main that writes (promise 25 of remap-promises(7)).  Without a copy
 * nothing of all this is even looked at: simple requests (pwrite.c, read.c)
 * have limits that are 0 with one, and the others find rescue_of to be NULL.
 */

#ifndef REMAP_ENGINE_RESCUE_H
#define REMAP_ENGINE_RESCUE_H

#include "engine/engine.h"

/* No thread uses it any more. */
extern void rescue_free (struct engine *e);

#endif /* REMAP_ENGINE_RESCUE_H */
