/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What fuzz targets have in common: taking an input to pieces.
 *
 * A target defines LLVMFuzzerTestOneInput, as libFuzzer calls it.  Every
 * input is legal, and the same input does the same thing each time.  What
 * mustn't be is an abort, a report of a sanitizer, or an endless loop.
 */

#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* What is left of an input.  Where nothing is left, everything is 0. */
struct input {
  const uint8_t *p;
  size_t left;
};

static inline uint8_t
take8 (struct input *in)
{
  if (in->left == 0)
    return 0;
  in->left--;
  return *in->p++;
}

static inline uint16_t
take16 (struct input *in)
{
  uint16_t low = take8 (in);

  return low | (uint16_t) (take8 (in) << 8);
}

/* A number that is often small, often near a power of 2, and sometimes
 * anything.
 */
static inline uint64_t
take_number (struct input *in)
{
  uint8_t how = take8 (in);
  uint64_t n = 0;

  if (how < 0x80)
    return how;
  if (how < 0xa0)
    return take16 (in);
  if (how < 0xe0)
    return (UINT64_C (1) << (how & 63)) - 2 + take8 (in) % 4;
  for (int i = 0; i < 8; i++)
    n |= (uint64_t) take8 (in) << (8 * i);
  return n;
}

/* An assertion that no NDEBUG removes. */
#define MUST(condition)                                                    \
  do {                                                                     \
    if (!(condition)) {                                                    \
      fprintf (stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
      abort ();                                                            \
    }                                                                      \
  } while (0)

#endif /* FUZZ_H */
