/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare of a server: found, judged, formatted or replayed, and enlarged.
 * It owns the file, the map and the spare.
 */

#ifndef REMAP_SPARE_SETUP_H
#define REMAP_SPARE_SETUP_H

#include "base/message.h"
#include "engine/events.h"
#include "engine/recognise.h"
#include "map/map.h"
#include "spare/spare.h"
#include "parameters.h"

/* In get_ready: all that can be done without main's size.  Nothing is
 * written to what is there.  CONFIG and EVENTS must live as long.  Returns
 * NULL after nbdkit_error.
 */
extern struct spare_setup *spare_setup_open (
  const struct remap_config *config, struct events *events);

/* After that: NULL if what is there isn't a spare yet. */
extern struct spare *spare_setup_loaded (const struct spare_setup *setup);

/* In after_fork: the rest.  WRITABLE: the server isn't read-only, for certain.
 * Returns 0, or -1 after nbdkit_error.
 */
extern int spare_setup_start (struct spare_setup *setup,
                              const struct main_reader *main, bool writable);

/* From spare_setup_start on. */
extern struct map *spare_setup_map (const struct spare_setup *setup);
extern struct spare *spare_setup_spare (const struct spare_setup *setup);

/* Enlarges the spare to SIZE bytes, while it is in use.  Any thread.
 * Returns 0, or an errno with MESSAGE set.
 */
extern int spare_setup_grow (struct spare_setup *setup, uint64_t size,
                             struct message *message);

/* What the filesystem of the spare has free, and what of the free slots has
 * no storage yet, in bytes; a device has all of it.  Any thread.
 */
extern void spare_setup_get_room (const struct spare_setup *setup,
                                  uint64_t *free, uint64_t *promised);

/* Is the spare where it was, and all of it?  If not, MESSAGE says what has
 * happened; and if it has lost a part it fails.  One thread at a time.
 */
extern bool spare_setup_is_in_place (struct spare_setup *setup,
                                     struct message *message);

/* Renews the owner stamp; to be called every second. */
extern void spare_setup_renew (struct spare_setup *setup);

/* From now on the spare grows by itself, if it is to; GROWN is called after
 * each growth, in a thread of its own.  Returns 0, or -1 after nbdkit_error.
 */
extern int spare_setup_start_growing (struct spare_setup *setup,
                                      void (*grown) (void *opaque),
                                      void *opaque);
extern void spare_setup_stop_growing (struct spare_setup *setup);

/* Does it? */
extern bool spare_setup_grows (const struct spare_setup *setup);

/* Closes everything.  A file that was created and never became a spare is
 * removed again.
 */
extern void spare_setup_free (struct spare_setup *setup);

#endif /* REMAP_SPARE_SETUP_H */
