/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Classes of errors, the error numbers of NBD, and the choice of canaries
 * (promises 10 to 12 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/errors.h"
#include "engine-rig.h"

static void
test_classes (void)
{
  static const int media[] = { EIO, ENODATA, EILSEQ, EREMOTEIO, ETIMEDOUT };
  static const int gone[] = { ENODEV, ENXIO, ENOLINK };
  unsigned n[3] = { 0 };

  for (int err = 1; err < 200; err++)
    n[error_classify (err)]++;
  for (size_t i = 0; i < sizeof media / sizeof media[0]; i++)
    CU_ASSERT_EQUAL (error_classify (media[i]), ERROR_MEDIA);
  for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
    CU_ASSERT_EQUAL (error_classify (gone[i]), ERROR_GONE);
  CU_ASSERT_EQUAL (n[ERROR_MEDIA], 5);
  CU_ASSERT_EQUAL (n[ERROR_GONE], 3);
}

/* What nbdkit doesn't translate would be EINVAL for the client. */
static void
test_nbd (void)
{
  static const int carried[] = {
    EPERM, EROFS, EIO, ENOMEM, EINVAL, ENOSPC, ESHUTDOWN
  };

  CU_ASSERT_EQUAL (error_for_nbd (0), 0);
  for (int err = 1; err < 200; err++) {
    int expected = err == EDQUOT || err == EFBIG ? ENOSPC : EIO;

    for (size_t i = 0; i < sizeof carried / sizeof carried[0]; i++)
      if (err == carried[i])
        expected = err;
    CU_ASSERT_EQUAL (error_for_nbd (err), expected);
  }
}

/* A round of NR_CANARIES.  Returns how many there are. */
static unsigned
pick_some (struct canaries *c, const struct map *map, uint64_t avoid_start,
           uint64_t avoid_end, uint64_t at[NR_CANARIES])
{
  struct canary_choice choice = { .map = map, .avoid_start = avoid_start,
                                  .avoid_end = avoid_end };

  while (choice.n < NR_CANARIES && canaries_pick (c, &choice))
    at[choice.n - 1] = choice.picked[choice.n - 1];
  return choice.n;
}

/* Three, far apart, aligned, within main, on a fresh disk of any size. */
static void
test_pick (void)
{
  static const uint64_t sizes[] = {
    512, 513, 1024, 5000, 65536, MIB + 77, 100 * MIB, 1024 * MIB * 1024,
    (UINT64_C (1) << 50) + 512,
  };
  struct map *map = map_new ();

  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    for (uint32_t block = 512; block <= 2097152; block *= 8) {
      uint64_t at[NR_CANARIES];
      struct canaries c;
      unsigned n;

      canaries_init (&c, sizes[i], block, MAIN_CACHE_UNKNOWN);
      CU_ASSERT (c.nr_regions <= CANARY_REGIONS);
      CU_ASSERT (UINT64_C (1) << c.region_shift >= block);
      n = pick_some (&c, map, 0, 0, at);
      CU_ASSERT (n <= NR_CANARIES);
      CU_ASSERT (n > 0 || sizes[i] < block);
      if (sizes[i] / block >= 8) {
        CU_ASSERT_EQUAL (n, NR_CANARIES);
        for (unsigned j = 1; j < n; j++)
          CU_ASSERT ((at[j] > at[j - 1] ? at[j] - at[j - 1]
                      : at[j - 1] - at[j]) >= sizes[i] / 16);
      }
      for (unsigned j = 0; j < n; j++) {
        CU_ASSERT_EQUAL (at[j] % block, 0);
        CU_ASSERT (at[j] + block <= sizes[i]);
      }
      canaries_destroy (&c);
    }
  map_free (map);
}

/* Not in the request itself, nor where it isn't DIRECT; untouched ones as
 * long as there are some.
 */
static void
test_choice (void)
{
  struct map *map = map_new ();
  struct run run = { .start = 0, .count = 100 * MIB / 512 / 2, .state = ZERO,
                     .slot = NO_SLOT };
  uint64_t at[NR_CANARIES];
  struct canaries c;
  unsigned n;

  canaries_init (&c, 100 * MIB, 4096, MAIN_CACHE_UNKNOWN);
  for (int round = 0; round < 100; round++) {
    n = pick_some (&c, map, 0, 60 * MIB, at);
    CU_ASSERT (n > 0);
    for (unsigned i = 0; i < n; i++)
      CU_ASSERT (at[i] >= 60 * MIB);
  }
  map_begin (map);
  CU_ASSERT_EQUAL_FATAL (map_set (map, &run), 0);
  map_publish (map);
  canaries_touch (&c, 50 * MIB, 40 * MIB);
  for (int round = 0; round < 100; round++) {
    n = pick_some (&c, map, 0, 0, at);
    CU_ASSERT (n > 0);
    for (unsigned i = 0; i < n; i++)
      CU_ASSERT (at[i] >= 90 * MIB);
  }
  /* All are touched: then these will do. */
  canaries_touch (&c, 0, 100 * MIB);
  n = pick_some (&c, map, 99 * MIB, 100 * MIB, at);
  CU_ASSERT_EQUAL (n, NR_CANARIES);
  for (unsigned i = 0; i < n; i++)
    CU_ASSERT (at[i] >= 50 * MIB && at[i] < 99 * MIB);

  /* Nothing is DIRECT: none. */
  run.count *= 2;
  map_begin (map);
  CU_ASSERT_EQUAL_FATAL (map_set (map, &run), 0);
  map_publish (map);
  CU_ASSERT_EQUAL (pick_some (&c, map, 0, 0, at), 0);
  canaries_destroy (&c);
  map_free (map);
}

/* The first and the last byte of a range count. */
static void
test_touch (void)
{
  struct map *map = map_new ();
  uint64_t at[NR_CANARIES];
  struct canaries c;

  canaries_init (&c, 8 * MIB, 512, MAIN_CACHE_UNKNOWN);
  for (uint64_t i = 0; i < c.nr_regions; i++)
    if (i != 5)
      canaries_touch (&c, ((i + 1) << c.region_shift) - 1, 1);
  pick_some (&c, map, 0, 0, at);
  CU_ASSERT_EQUAL (at[0] >> c.region_shift, 5);
  canaries_destroy (&c);

  canaries_init (&c, 8 * MIB, 512, MAIN_CACHE_UNKNOWN);
  canaries_touch (&c, (UINT64_C (1) << c.region_shift) - 1, 2);
  CU_ASSERT (atomic_load (&c.region[0]) & REGION_TOUCHED);
  CU_ASSERT (atomic_load (&c.region[1]) & REGION_TOUCHED);
  CU_ASSERT_FALSE (atomic_load (&c.region[2]) & REGION_TOUCHED);
  canaries_destroy (&c);
  map_free (map);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "classes of errors (promise 10)", test_classes },
    { "error numbers of NBD (promise 11)", test_nbd },
    { "canaries of any disk (promise 12)", test_pick },
    { "which canaries (promise 12)", test_choice },
    { "what is touched (promise 12)", test_touch },
    { NULL }
  };

  return run_tests (argc, argv, "media", tests);
}
