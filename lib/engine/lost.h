/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Whether main is there (promises 10 to 12 of remap-promises(7)).
 *
 * It is lost when it says so, or when its canaries don't answer, and stays so
 * until they answer again.  While it is lost nothing is asked of it but, once
 * a second, whether it is back.
 */

#ifndef REMAP_ENGINE_LOST_H
#define REMAP_ENGINE_LOST_H

#include "engine/internal.h"
#include "engine/request.h"

/* Any thread, at any time. */
static inline bool
main_is_lost (const struct engine *e)
{
  return atomic_load (&e->main_lost);
}

/* Main has said ERR: it is gone.
 *
 * Until this has been called the loss isn't known here.  If main were back by
 * then, a FLUSH in between could end well although writes from before it were
 * lost.  That is for the layer below to rule out, since the error may just as
 * well be on its way through that layer: a device that went away is another
 * one when it is back.  So either the layer's descriptor stays dead, and no
 * flush of it succeeds; or the layer opens the device anew, knows that, and
 * fails the next flush itself, as the direct plugin does.  Such a flush fails
 * for everybody as any other (flush.c), and the error that comes later counts
 * nothing twice.
 */
extern void main_went_away (struct engine *e, int err);

/* A call of this request has failed, and main is lost: it was under way when
 * that happened, since nothing is asked of a main that is lost.
 */
extern void failed_with_main (struct request *r);

/* A call to main has failed with ERR.  True if that is a media error, and main
 * is alive: something else could be read from it after that.  The calls of
 * several requests that have failed by then are judged together.
 */
extern bool main_is_alive (struct request *r, int err);

/* The same where no state changes for it: nothing being left that could tell
 * counts as alive.
 */
extern bool main_seems_alive (struct request *r, int err);

/* As main_is_alive, and automatic remapping is on: states may change for it
 * (promise 7).
 */
extern bool may_act_on (struct request *r, int err);

/* A call of many sectors has failed with ERR: is it worthwhile to find out
 * which of them are bad?  Main is asked for a sign of life only once a second
 * here; whoever changes a state after that asks may_act_on.
 */
extern bool may_go_on (struct request *r, int err);

/* May DIRECT sectors be moved without main being asked about them?  Not
 * while main is lost.
 */
extern bool may_move (struct request *r);

/* The same for blocks that main is not asked about because something may
 * still land there: as if it had timed out once more, since nothing else has
 * shown that it is alive.
 */
extern bool may_move_late (struct request *r);

/* The same for the data of a write that main refused: where nothing is left
 * that could tell whether main is alive, it is better off in the spare; and so
 * it is if main is read-only, and the configuration says that.
 */
extern bool may_move_data (struct request *r, int err);

/* May what a main that has turned read-only refused with ERR go to the spare?
 */
extern bool may_move_refused (const struct engine *e, int err);

/* R, which holds no lock, needs a main that is lost: waits until it is back,
 * but not longer than WAIT_MS after the loss.  Returns whether it is back.
 */
extern bool main_wait (struct request *r, uint64_t wait_ms);

/* A request of a client, which holds no lock, has ended with *ERR.  True if
 * that was because main is lost, and it is back now: the request is to be
 * tried again.  Else *ERR says what the client is told.
 */
extern bool lost_again_slowly (struct request *r, int *err);

static inline bool
lost_again (struct request *r, int *err)
{
  return *err != 0 && r->met_lost && lost_again_slowly (r, err);
}

#endif /* REMAP_ENGINE_LOST_H */
