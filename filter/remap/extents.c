/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "extents.h"
#include "next.h"

/* An answer that grows: all before POS has been said, and nothing is to be said
 * from END on.
 */
struct answer {
  struct engine *engine;
  struct nbdkit_extents *extents;
  uint64_t pos, end;            /* bytes */
  bool one;                     /* the client asked for one extent */
  uint32_t type;                /* of the last extent, if there is one */
  uint64_t given_back;          /* of the engine, before main was asked */
};

/* What is between POS and UPTO is of this type.  Ends the answer if the client
 * doesn't want to know, or if nbdkit keeps no more: after about a million
 * extents it drops the rest without a word.
 */
static int
say (struct answer *a, uint64_t upto, uint32_t type)
{
  const size_t n = nbdkit_extents_count (a->extents);
  const bool another = n == 0 || type != a->type;

  if (a->one && n > 0 && another) {
    a->end = a->pos;
    return 0;
  }
  if (nbdkit_add_extent (a->extents, a->pos, upto - a->pos, type) == -1)
    return -1;
  a->pos = another && nbdkit_extents_count (a->extents) == n ? a->end : upto;
  a->type = type;
  return 0;
}

/* For this main's answer isn't needed. */
static int
say_what_is_mapped (struct answer *a)
{
  uint32_t len;
  int r = 0;

  while (a->pos < a->end && r == 0 &&
         engine_extent (a->engine, a->end - a->pos, a->pos, &len) != DIRECT)
    r = say (a, a->pos + len, 0);
  return r;
}

/* Main has a hole as far as UPTO: that counts for DIRECT sectors.  If any were
 * given back to main after it was asked, it may have answered before it had
 * their content.
 */
static int
say_hole (struct answer *a, uint64_t upto, uint32_t type)
{
  enum sector_state state;
  uint32_t len;
  int r = 0;

  while (a->pos < upto && a->pos < a->end && r == 0) {
    state = engine_extent (a->engine, upto - a->pos, a->pos, &len);
    if (state != DIRECT || engine_given_back (a->engine) != a->given_back)
      r = say (a, a->pos + len, 0);
    else
      r = say (a, a->pos + len, type);
  }
  return r;
}

static int
say_what_main_says (struct answer *a, const struct nbdkit_extents *main_says)
{
  const uint32_t block = engine_main_block (a->engine);
  const uint64_t start = a->pos;
  int r = 0;

  for (size_t i = 0; i < nbdkit_extents_count (main_says) && r == 0; i++) {
    const struct nbdkit_extent e = nbdkit_get_extent (main_says, i);
    const uint64_t upto = min_u64 (e.offset + e.length, a->end);

    if (upto > a->pos)
      r = e.type == 0 ? say (a, upto, 0) : say_hole (a, upto, e.type);
  }
  /* It may have spoken of the beginning of the first block only. */
  if (r == 0 && a->pos == start)
    r = say (a, min_u64 (round_down (start, block) + block, a->end), 0);
  return r;
}

/* Main is asked about whole blocks, since a plugin that serves nothing smaller
 * would refuse the question.  An answer that is shorter than the question is
 * passed on: the client asks for the rest.
 */
static int
ask_main (struct answer *a, nbdkit_next *next, uint32_t flags,
          pthread_mutex_t *lock)
{
  const uint32_t block = engine_main_block (a->engine);
  const uint64_t first = round_down (a->pos, block);
  const uint64_t last = min_u64 (min_u64 (round_up (a->end, block),
                                          engine_main_size (a->engine)),
                                 first + round_down (UINT32_MAX, block));
  struct nbdkit_extents *main_says = nbdkit_extents_new (first, last);
  int err = 0, r;

  if (main_says == NULL)
    return -1;
  a->given_back = engine_given_back (a->engine);
  lock_below (lock);
  r = next->extents (next, last - first, first, flags, main_says, &err);
  unlock_below (lock);
  if (r == 0)
    r = say_what_main_says (a, main_says);
  else
    r = say (a, a->end, 0);
  nbdkit_extents_free (main_says);
  return r;
}

int
extents_get (const struct remap *remap, nbdkit_next *next, uint32_t count,
             uint64_t offset, uint32_t flags, struct nbdkit_extents *extents,
             int *err)
{
  struct answer a = {
    .engine = remap->engine, .extents = extents,
    .pos = offset, .end = offset + count,
    .one = flags & NBDKIT_FLAG_REQ_ONE
  };
  int r;

  r = say_what_is_mapped (&a);
  if (r == 0 && a.pos < a.end && !(a.one && a.pos > offset))
    r = ask_main (&a, next, flags, remap->all_requests_lock);
  if (r == -1 && err)
    *err = errno;
  return r;
}
