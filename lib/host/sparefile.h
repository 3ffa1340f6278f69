/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A file or block device as the spare: opened, locked, and wrapped as a
 * struct device whose offset 0 is the beginning of the spare.  Or as a copy of
 * main, which wants the same of it.
 *
 * The struct is the caller's, which opens and closes it and may read its
 * fields.  It must not move while it is open, since the device points to it.
 * The device may be used from any number of threads at once.  The other
 * functions are for one thread at a time, except spare_file_next_data and
 * spare_file_room.
 */

#ifndef REMAP_SPAREFILE_H
#define REMAP_SPAREFILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/device.h"
#include "base/message.h"

struct spare_file {
  const char *what;    /* in messages: "spare", "copy" */
  char *path;
  int fd;
  bool is_block;       /* a block device, else a regular file */
  bool created;        /* by this open */
  bool read_only;
  dev_t dev;           /* of the file, or the device itself */
  ino_t ino;           /* 0 for a block device */
  uint32_t sector;     /* bytes: of a block device, used with O_DIRECT; or 0 */
  uint64_t offset;     /* bytes, where the spare begins */
  _Atomic uint64_t size; /* bytes from there to the end; it may grow */

  /* Guards what is on the disk.  Writes of whole sectors hold it shared, as
   * they may run side by side.  What reads, modifies and writes holds it
   * exclusively: nothing else may be written in between, or it would be
   * undone.  Readers don't take it, but for those who must see a
   * sector whole while somebody may write it.
   */
  pthread_rwlock_t writing;
  atomic_uint_fast64_t begun, ended;    /* writes so far */
  struct device device;
};

/* Opens PATH for reading and writing, or only for reading.  A missing file
 * is created (mode 0600, empty) if CREATE is set.  Takes a lock that a
 * second server can't get, and O_EXCL for a device.  Symbolic links are
 * followed (device links are made of them), but nothing is created through
 * one.  Returns 0 or an errno; then MESSAGE is set and nothing stays open:
 * ENOENT (and CREATE isn't set), EEXIST (a symbolic link to nothing), EBUSY
 * (locked, a device in use, or replaced meanwhile), EINVAL (neither file nor
 * device, or OFFSET lies beyond a device's end), or what open(2) returned.
 */
extern int spare_file_open (struct spare_file *sf, const char *path,
                            uint64_t offset, bool create, bool read_only,
                            struct message *message);

/* The same for a copy of main, which begins at the beginning. */
extern int spare_file_open_copy (struct spare_file *sf, const char *path,
                                 bool create, struct message *message);

/* Closes, and removes the file if REMOVE is set, this open created it, and
 * the path is still its own.
 */
extern void spare_file_close (struct spare_file *sf, bool remove);

/* Finds the size anew: files and devices can be enlarged while they are
 * open.  Returns 0 or an errno.
 */
extern int spare_file_find_size (struct spare_file *sf,
                                 struct message *message);

/* Can no other host have it open?  That of a disk of this machine, or of a
 * file on one, as far as can be told; not what a network or FUSE shows.
 */
extern bool spare_file_is_local (const struct spare_file *sf);

/* What the filesystem of a regular file has, in bytes. */
struct spare_room {
  uint64_t total, free;         /* FREE: for whoever runs this */
  uint64_t allocated;           /* to the file */
};

/* Any thread.  Returns 0 or an errno; ENOTBLK for a device, of which all is
 * there.
 */
extern int spare_file_room (const struct spare_file *sf,
                            struct spare_room *room);

/* Makes a regular file long enough for SIZE bytes from the offset on. */
extern int spare_file_extend (struct spare_file *sf, uint64_t size,
                              struct message *message);

/* Writes back what the page cache holds and drops it, so that what is read
 * next comes from the disk: a cache may hold what a failed write never
 * brought there.
 */
extern int spare_file_drop_cache (struct spare_file *sf,
                                  struct message *message);

/* For spare_probe: where the next data begins. */
extern uint64_t spare_file_next_data (void *ctx, uint64_t offset);

/* Do the bytes from START to END read as zeroes?  0, EIO ... or EEXIST if
 * they don't.
 */
extern int spare_file_is_blank (struct spare_file *sf, uint64_t start,
                                uint64_t end);

#endif /* REMAP_SPAREFILE_H */
