/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Is the spare that is in use still where it was, and all of it?  Somebody may
 * delete, rename, replace or cut off its file, unmount what it lies on, or
 * unplug its disk.  The server goes on with what it has opened, but who starts
 * one the next time doesn't find it (promise 22 of remap-promises(7)).
 */

#ifndef REMAP_HOST_SPARE_PLACE_H
#define REMAP_HOST_SPARE_PLACE_H

#include "host/sparefile.h"

enum spare_place {
  SPARE_IN_PLACE,
  SPARE_ELSEWHERE,              /* its path leads nowhere, or elsewhere */
  SPARE_DELETED,                /* its file has no name any more */
  SPARE_CUT_OFF,                /* its file is shorter than it has to be */
  SPARE_UNPLUGGED,              /* its device isn't there any more */
};

/* Looks, without reading or writing anything of it.  NEEDED: bytes that it has
 * to have, from its offset on.  Unless it is in place, MESSAGE says what has
 * happened and what can be done.  What can't be found out counts as well.  Any
 * thread.
 */
extern enum spare_place spare_place_look (const struct spare_file *sf,
                                          uint64_t needed,
                                          struct message *message);

#endif /* REMAP_HOST_SPARE_PLACE_H */
