/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Samples: what a few places of main held, by which a spare recognises a main
 * that nothing names (promise 20 of remap-promises(7)).
 *
 * A spare has a hash of each, not its content.  The hash is one that nobody
 * meets by chance (SHA-256, of which 128 bits are kept), and begins with the
 * spare's UUID: so it says nothing to whoever has seen the content elsewhere.
 * Samples are attributes of the spare; the bytes are in remap-spare(5).
 */

#ifndef REMAP_SPARE_SAMPLE_H
#define REMAP_SPARE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "spare/attribute.h"

#define SAMPLE_SIZE 4096U       /* bytes of main, and what it is aligned to */
#define SAMPLES_MAX 64U         /* their keys are smaller */
#define SAMPLE_HASH 16          /* bytes */
#define SAMPLE_TAG "sample"
#define SAMPLE_CONTENT 32       /* bytes of the attribute */

struct sample {
  uint32_t key;
  uint64_t offset;              /* of main, bytes */
  uint64_t time;                /* seconds since 1970, UTC; set by the commit */
  uint8_t hash[SAMPLE_HASH];
};

/* Would it tell nothing: is each byte of the SAMPLE_SIZE the same? */
extern bool sample_is_blank (const void *data);

extern void sample_hash (const uint8_t uuid[16], const void *data,
                         uint8_t hash[SAMPLE_HASH]);

/* An attribute, whose content goes to CONTENT; and back. */
extern void sample_to_attribute (const struct sample *s, struct attribute *a,
                                 uint8_t content[SAMPLE_CONTENT]);
extern void sample_of_attribute (const struct attribute *a,
                                 struct sample *s);

/* One that removes the sample KEY. */
extern void sample_removal (uint32_t key, struct attribute *a);

/* What is wrong with an attribute, if it is a sample of a main of so many
 * bytes; else NULL.
 */
extern const char *sample_problem (const struct attribute *a,
                                   uint64_t main_size);

#endif /* REMAP_SPARE_SAMPLE_H */
