/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * "The copy alone is the disk" (promise 30 of remap-promises(7)): a word in the
 * spare, which is durable before anybody hears it, and is taken back, durably,
 * before a sector becomes REMAPPED or ZERO again.
 *
 * Whoever is about to make such a change calls complete_withdraw before; for a
 * change that is pending also after: then either it sees that the word was
 * given, or whoever gives it sees the change.
 */

#ifndef REMAP_ENGINE_COMPLETE_H
#define REMAP_ENGINE_COMPLETE_H

#include "engine/states.h"

/* What the spare says.  Returns 0, ENOMEM or EINVAL. */
extern int complete_init (struct engine *e, struct complete *c);
extern void complete_destroy (struct complete *c);

/* Says so if it is so: *SAID.  Returns 0, or an errno of the spare or copy. */
extern int complete_say (struct engine *e, bool *said);

extern int complete_withdraw_it (struct engine *e);

/* Costs nothing where there is nothing to take back.  Returns 0, or what the
 * commit returned: then the change mustn't be made.
 */
static inline int
complete_withdraw (struct engine *e)
{
  const struct rescue *rescue = rescue_of (e);

  return rescue && atomic_load (&rescue->complete.said)
    ? complete_withdraw_it (e) : 0;
}

#endif /* REMAP_ENGINE_COMPLETE_H */
