/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What outlives a spare: which spare a disk has, so that it is missed when it
 * isn't there, and how far it had got, so that an older copy of it is noticed
 * (promise 20 of remap-promises(7)).
 *
 * One small file for each disk, JSON, in a folder that only its user can read:
 *
 *   $REMAP_STATE_DIR
 *   /var/lib/nbdkit-remap            root
 *   $XDG_STATE_HOME/nbdkit-remap
 *   ~/.local/state/nbdkit-remap
 *
 * A file is written beside its place, brought to the disk, and renamed: so it
 * is the old one or the new one.  Any thread; two who write the same file don't
 * disturb each other, and the last one wins.
 */

#ifndef REMAP_STATE_FOLDER_H
#define REMAP_STATE_FOLDER_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "base/message.h"

#define STATE_NAME 1024         /* bytes of a disk's name */

struct disk_state {
  char uuid[40];                /* of its spare, as people write it */
  char spare[PATH_MAX];         /* where that was; "" if it isn't known */
  uint64_t commit;              /* the last one known: it may have more */
  uint64_t size;                /* of the disk, bytes */
  uint64_t remapped, lost, zero; /* sectors, when last seen */
};

/* Where the folder is, absolute.  It isn't made.  Returns 0, or an errno with
 * MESSAGE set: there is no place for one.
 */
extern int state_folder (char path[PATH_MAX], struct message *message);

/* What a disk is called in the folder: its LABEL of its own (WWN, serial
 * number), or else what its PATH leads to; and the label that it was GIVEN, if
 * that is another one.  Each of them may be NULL or "".  0, or EINVAL: then
 * nothing tells this disk from others, or the names are too long.
 */
extern int state_name (const char *label, const char *path, const char *given,
                       char name[STATE_NAME]);

/* Returns 0; ENOENT: nothing is known of this disk; or another errno: then
 * MESSAGE says what is wrong with which file.
 */
extern int state_read (const char *folder, const char *name,
                       struct disk_state *state, struct message *message);

/* Makes the folder if it is missing (but nothing above it).  Returns 0, or an
 * errno with MESSAGE set; then the file is as it was.
 */
extern int state_write (const char *folder, const char *name,
                        const struct disk_state *state,
                        struct message *message);

#endif /* REMAP_STATE_FOLDER_H */
