/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A spare in memory, made by a fuzzer.
 *
 * An input is a little program: it makes headers and commits that are
 * right, changes some of their fields, and says which pages get their
 * checksums fixed afterwards (all but those that it names).  So what is
 * wrong with a page is seldom its checksum alone, and the fuzzer gets at
 * what is behind.
 */

#ifndef FUZZ_IMAGE_H
#define FUZZ_IMAGE_H

#include "base/device.h"
#include "fuzz.h"

#define IMAGE_SIZE (UINT64_C (1) << 20)         /* at the start */
#define IMAGE_MAX (3 * IMAGE_SIZE)              /* after growing */

/* The device: reads or writes beyond LIMIT, or a write while it isn't
 * allowed, abort.
 */
struct image {
  struct device dev;
  uint64_t limit;       /* bytes */
  bool writable;

  /* Failures: the Nth operation of this kind from now on, 0 for none. */
  unsigned fail_read, fail_write, fail_flush;
  int fail_err;
  uint64_t bad_start, bad_end;  /* writes to these bytes fail */
  bool failed;          /* something failed on command */
};

extern struct image image;

/* Makes the image anew from the first part of the input.  Returns true if
 * all of it is as a server would have made it.
 */
extern bool image_build (struct input *in);

#endif /* FUZZ_IMAGE_H */
