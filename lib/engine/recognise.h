/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Is main the disk that the spare's samples were taken of (promise 20 of
 * remap-promises(7))?  Asked before anything is served, and before there is an
 * engine.
 *
 * Few places are read, none near known errors, and none any more when it takes
 * long: a dying disk pays for each.
 */

#ifndef REMAP_ENGINE_RECOGNISE_H
#define REMAP_ENGINE_RECOGNISE_H

#include "base/device.h"
#include "map/map.h"
#include "spare/sample.h"
#include "spare/spare.h"

/* Samples that are read at a start, and those of them that may fail. */
#define RECOGNISE_READS 8U
#define RECOGNISE_FAILURES 2U

/* No read begins when so much time has gone.  Milliseconds. */
#define RECOGNISE_MS 10000U

/* Bytes around a sample in which everything is to be DIRECT; on a small main a
 * 64th of it.
 */
#define RECOGNISE_NEAR (UINT64_C (1) << 20)

/* Main as it is before there is an engine. */
struct main_reader {
  const struct device *dev;     /* read and flushed */
  uint64_t size;                /* bytes, */
  uint32_t block;               /* a power of 2, to which reads are aligned */

  /* Milliseconds of a clock that never goes back.  NULL: the system's. */
  uint64_t (*now_ms) (void *opaque);
  void *opaque;

  /* Set when main says that it is gone: even if it is back a moment later, what
   * it held unflushed may be lost.  NULL: nobody wants to know.
   */
  bool *was_gone;
};

struct recognition {
  unsigned known;               /* samples that the spare has */
  unsigned compared;            /* those that could be read, and of these */
  unsigned different;           /* those that main doesn't have any more; */
  uint64_t where;               /* the first one's byte offset */
  unsigned failed;              /* those that main failed to read: their keys */
  uint32_t key[RECOGNISE_FAILURES];
  bool entries;                 /* the spare holds sectors of main */
};

/* The spare is loaded.  Returns 0 or ENOMEM. */
extern int recognise (struct spare *spare, const struct map *map,
                      const struct main_reader *main,
                      struct recognition *found);

/* Is something near the sample at OFFSET, of a main of SIZE bytes, not DIRECT?
 */
extern bool recognise_is_near_error (const struct map *map, uint64_t offset,
                                     uint64_t size);

/* Does main hold what the sample says?  Returns 0, an errno of main, or ENOMEM.
 */
extern int recognise_one (const struct main_reader *main,
                          const uint8_t uuid[16], const struct sample *s,
                          bool *same);

/* The samples of a spare, ascending by offset, in V, and how many in *N.
 * Returns 0 or ENOMEM.
 */
extern int recognise_list (struct spare *spare,
                           struct sample v[SAMPLES_MAX], unsigned *n);

/* Strikes out the samples with these keys, or all of them.  Returns 0 or an
 * errno, as spare_commit.
 */
extern int recognise_forget (struct spare *spare, const uint32_t *keys,
                             unsigned n);
extern int recognise_forget_all (struct spare *spare);

#endif /* REMAP_ENGINE_RECOGNISE_H */
