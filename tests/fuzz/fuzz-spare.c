/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A hostile spare (promise 23): it is opened as the server does it, and if
 * it opens, the rest of the input is what clients and operators then do.
 * Nothing may crash or leave the spare; what was written must be read; and
 * a spare that was as a server makes it must open again, whatever failed,
 * with the same map.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/keep.h"
#include "engine/recognise.h"
#include "fuzz-image.h"
#include "spare/spare.h"

#define SECTORS_MAX 16U

/* What is open. */
static struct map *map;
static struct spare *spare;
static struct engine *engine;
static struct engine_conn conn;
static uint64_t main_size;
static bool has_copy;
static uint8_t badness;         /* of main: 0 none, 16 everything */

/* ---- main: only its errors matter ------------------------------------- */

static bool
main_fails (uint64_t count, uint64_t offset)
{
  MUST (count > 0 && offset <= main_size && count <= main_size - offset);
  for (uint64_t s = offset / 4096; s <= (offset + count - 1) / 4096; s++)
    if (((uint32_t) s * UINT32_C (2654435761)) >> 28 < badness)
      return true;
  return false;
}

static int
main_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  if (main_fails (count, offset))
    return EIO;
  memset (buf, 0xaa, count);
  *(uint8_t *) buf = offset >> 12;      /* not blank: it may be a sample */
  return 0;
}

static int
main_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  return main_fails (count, offset) ? EIO : 0;
}

static int
main_flush (void *ctx)
{
  return 0;
}

static int
main_zero (void *ctx, uint32_t count, uint64_t offset, unsigned flags)
{
  return main_pwrite (ctx, NULL, count, offset);
}

static const struct device_ops main_ops = {
  .pread = main_pread, .pwrite = main_pwrite, .flush = main_flush,
  .zero = main_zero,
};
static const struct device main_dev = { .ops = &main_ops };

/* ---- a copy of it, which takes anything ------------------------------- */

static int
copy_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  MUST (count > 0 && offset <= main_size + 4096 &&
        count <= main_size + 4096 - offset);
  memset (buf, 0xbb, count);
  return 0;
}

static int
copy_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  MUST (count > 0 && offset <= main_size + 4096 &&
        count <= main_size + 4096 - offset);
  return 0;
}

static const struct device_ops copy_ops = {
  .pread = copy_pread, .pwrite = copy_pwrite, .flush = main_flush,
};

/* ---- the environment: the same each time ------------------------------ */

static uint64_t
the_time (void *opaque)
{
  return 1000000;
}

static void
the_random (void *opaque, void *buf, size_t len)
{
  static uint8_t n;

  memset (buf, ++n, len);
}

/* Who uses the spare: a process of which it is known what has become of the
 * others, by their numbers.
 */
static enum owner_fate
fate (void *opaque, const struct owner *other)
{
  return other->pid % 3 == 0 ? OWNER_DEAD
    : other->pid % 3 == 1 ? OWNER_UNKNOWN : OWNER_ALIVE;
}

static uint64_t slept;

static uint64_t
owner_now (void *opaque)
{
  return 1000000 + slept;
}

static void
owner_sleep (void *opaque, unsigned ms)
{
  slept += ms;
}

static const struct owner_env owner = {
  .self = { .pid = 9, .host = "fuzz" }, .fate = fate, .now_ms = owner_now,
  .sleep_ms = owner_sleep,
};

/* ---- opening and closing ---------------------------------------------- */

static void
close_all (void)
{
  engine_free (engine);
  engine = NULL;
  spare_close (spare);
  spare = NULL;
  map_free (map);
  map = NULL;
}

static int
attach_copy (uint32_t block)
{
  const struct rescue_config config = {
    .dev = { .ops = &copy_ops }, .block = block,
    .size = (main_size + block - 1) / block * block,
  };

  return engine_attach_copy (&conn, &config);
}

/* As filter/remap/server.c does it.  Returns 0 or an errno. */
static int
open_all (uint64_t size, uint8_t how)
{
  const struct spare_env env = {
    .now = the_time, .random = the_random, .owner = how & 32 ? &owner : NULL,
  };
  struct engine_config ec = {
    .main_block = how & 1 ? 4096 : 512, .retries = how >> 1 & 1,
    .auto_remap = !(how & 4), .lost_zero = (how & 24) == 24,
    .now_ms = the_time, .time = the_time, .new_samples = how & 32,
    .copy_block = how & 64 ? 4096 : 512,
  };
  struct message message = { "" };
  enum spare_content content;
  struct recognition found;
  struct spare_identity id;
  struct spare_status st;
  int err;

  image.writable = false;
  image.limit = size;
  err = spare_probe (&image.dev, size, NULL, &content, &id, &message);
  MUST (err == 0 || message.text[0] != '\0');
  if (err || content != SPARE_VALID)
    return EINVAL;
  map = map_new ();
  MUST (map != NULL);
  err = spare_load (&image.dev, size, false, &env, map, &spare, &message);
  if (err) {
    MUST (message.text[0] != '\0');
    map_free (map);
    map = NULL;
    return err;
  }
  MUST (strlen (id.label) <= SPARE_LABEL_MAX);
  main_size = ec.main_size = id.main_size;
  spare_get_status (spare, &st);
  MUST (st.size <= size);
  MUST (st.slots_used + st.slots_free + st.slots_retired == st.slots_total);
  /* From now on it may only use what is its own. */
  if (st.claimed < size)
    image.limit = st.claimed;
  image.writable = true;
  MUST (recognise (spare, map, &(struct main_reader) {
          .dev = &main_dev, .size = main_size, .block = ec.main_block,
          .now_ms = the_time }, &found) == 0);
  MUST (found.different <= found.compared &&
        found.compared + found.failed <= found.known);
  err = spare_start (spare, &message);
  if (err || main_size == 0) {
    close_all ();
    return EINVAL;
  }
  engine = engine_new (&ec, map, spare);
  MUST (engine != NULL);
  engine_conn_init (&conn, engine, &main_dev);
  /* Main may be too large for it, or its marks in the spare make no sense. */
  has_copy = (how & 32) && attach_copy (ec.copy_block) == 0;
  return 0;
}

/* A number that stands for all states, without the contents of slots. */
static uint64_t
digest (void)
{
  uint64_t h = 0;
  struct run run;
  uint64_t at;

  for (at = 0; map_next (map, at, &run); at = run.start + run.count)
    h = ((h * 31 + run.start) * 31 + run.count) * 31 + run.state +
      (run.state == REMAPPED ? run.slot * 7 : 0);
  return h;
}

/* Closes and opens again, with all failures over.  CLEAN: it was a proper
 * spare from the beginning, so it must open.
 */
static bool
reopen (bool clean, uint8_t how)
{
  bool failed = spare_failed (spare) || image.failed;
  uint64_t before = digest (), size = image.limit;

  close_all ();
  image.fail_read = image.fail_write = image.fail_flush = 0;
  image.bad_start = image.bad_end = 0;
  image.failed = false;
  if (open_all (size, how) != 0) {
    MUST (!clean);
    return false;
  }
  MUST (!clean || failed || digest () == before);
  return true;
}

/* ---- requests --------------------------------------------------------- */

static _Alignas (4096) uint8_t buf[SECTORS_MAX * SECTOR_SIZE];
static _Alignas (4096) uint8_t again[SECTORS_MAX * SECTOR_SIZE];

/* Chooses some bytes of main: often where the map has something. */
static void
take_range (struct input *in, uint32_t *count, uint64_t *offset)
{
  uint8_t where = take8 (in), len = take8 (in);
  struct run run = { .start = 0 };
  uint64_t n = len < 0xc0 ? (1 + len % SECTORS_MAX) * SECTOR_SIZE
    : 1U + (len & 63) * 37U;

  switch (where & 3) {
  case 0:
    run.start = take_number (in);
    break;
  case 1:
    for (unsigned i = 0; i <= where >> 5; i++)
      if (!map_next (map, run.start + run.count, &run))
        break;
    run.start -= run.start > 0 && where & 4;
    run.start += where & 8 ? run.count : 0;
    break;
  case 2:
    run.start = bytes_to_sectors (main_size) - (where >> 2);
    break;
  case 3:
    run.start = where >> 2;
    break;
  }
  *offset = run.start % bytes_to_sectors (main_size) * SECTOR_SIZE;
  if (len >= 0xe0)
    *offset += len;
  if (*offset >= main_size)
    *offset = main_size - 1;
  *count = n < main_size - *offset ? n : main_size - *offset;
}

/* What the engine may answer a client. */
static void
check_errno (int err)
{
  MUST (err == 0 || err == EIO || err == ENOSPC || err == ENOMEM ||
        err == EINVAL || err == EPERM || err == EROFS || err == ESHUTDOWN);
}

static void
do_write (uint32_t count, uint64_t offset, uint8_t tag, bool fua)
{
  uint32_t n;
  int err;

  for (uint32_t i = 0; i < count; i += SECTOR_SIZE)
    memset (buf + i, tag ^ (uint8_t) (i >> SECTOR_SHIFT),
            count - i < SECTOR_SIZE ? count - i : SECTOR_SIZE);
  err = engine_pwrite (&conn, buf, count, offset, fua);
  check_errno (err);
  /* Main forgets; the spare doesn't. */
  if (err == 0 &&
      engine_extent (engine, count, offset, &n) == REMAPPED &&
      engine_pread (&conn, again, n, offset) == 0)
    MUST (memcmp (buf, again, n) == 0);
}

static void
do_zero (uint32_t count, uint64_t offset, bool fua)
{
  uint32_t n;
  int err = engine_zero (&conn, count, offset, 0, fua);

  check_errno (err);
  if (err == 0 && engine_extent (engine, count, offset, &n) == ZERO) {
    MUST (engine_pread (&conn, again, n, offset) == 0);
    for (uint32_t i = 0; i < n; i++)
      MUST (again[i] == 0);
  }
}

static void
do_operator (uint8_t what, uint32_t count, uint64_t offset)
{
  const sector_t start = offset >> SECTOR_SHIFT;
  const uint64_t n = bytes_to_sectors (offset + count) - start;
  struct engine_result res;
  int err = 0;

  switch (what % 6) {
  case 0:
    err = engine_remap (&conn, start, n, WHY_MANUAL, NULL, &res);
    break;
  case 1:
    err = engine_unmap (&conn, start, n, NULL, &res);
    break;
  case 2:
    err = engine_retry (&conn, start, n, NULL, &res);
    break;
  case 3:
    err = engine_forget_lost (engine, start, n, NULL, &res);
    break;
  case 4:
    err = engine_declare_lost (engine, start, n, WHY_IMPORT, NULL, &res);
    break;
  case 5:
    err = engine_verify (&conn, start, n, NULL, &res);
    break;
  }
  if (!has_copy || err != ENOTSUP)
    check_errno (err);
}

/* All that is mapped, from one end to the other. */
static void
read_everything (void)
{
  struct run run;
  uint64_t at = 0, offset, end, n;

  for (; map_next (map, at, &run); at = run.start + run.count) {
    offset = run.start << SECTOR_SHIFT;
    end = (run.start + run.count) << SECTOR_SHIFT;
    end = end < main_size ? end : main_size;
    if (run.state != REMAPPED && end - offset > sizeof again)
      end = offset + sizeof again;
    for (; offset < end; offset += n) {
      n = end - offset < sizeof again ? end - offset : sizeof again;
      check_errno (engine_pread (&conn, again, n, offset));
    }
  }
}

static void
grow (struct input *in)
{
  uint64_t size = IMAGE_SIZE + take8 (in) * UINT64_C (8192);
  struct spare_status st;
  struct message message;
  bool blank = false;

  spare_get_status (spare, &st);
  if (size > IMAGE_MAX || size <= st.claimed)
    return;
  /* A file isn't cut off again because growing the spare has failed. */
  if (size > image.limit)
    image.limit = size;
  if (spare_check_blank (&image.dev, st.claimed, size, NULL, &blank,
                         &message) == 0 && blank)
    spare_grow (spare, size, &message);
}

static void
fail_soon (struct input *in)
{
  static const int errors[] = { EIO, ENOSPC, EIO, EFBIG };
  uint8_t what = take8 (in), n = take8 (in);

  image.fail_err = errors[what >> 6];
  switch (what % 4) {
  case 0: image.fail_read = n; break;
  case 1: image.fail_write = n; break;
  case 2: image.fail_flush = n; break;
  case 3:
    image.bad_start = IMAGE_SIZE / 256 * n;
    image.bad_end = image.bad_start + 512 * (1 + (what >> 2) % 16);
    break;
  }
}

/* Returns false if the spare isn't open any more. */
static bool
one_request (struct input *in, bool clean)
{
  uint8_t op = take8 (in);
  struct engine_status st;
  uint64_t offset = 0;
  uint32_t count = 0;

  if (op % 16 < 10)
    take_range (in, &count, &offset);
  switch (op % 16) {
  case 0: case 1: case 2:
    do_write (count, offset, op, op & 128);
    break;
  case 3: case 4:
    check_errno (engine_pread (&conn, buf, count, offset));
    break;
  case 5: case 6:
    do_zero (count, offset, op & 128);
    break;
  case 7: case 8:
    do_operator (op >> 4, count, offset);
    break;
  case 9:
    check_errno (engine_trim (&conn, count, offset, op & 128));
    break;
  case 10:
    while (has_copy && (op & 16) && keep_one (&conn))
      ;
    check_errno (engine_flush (&conn));
    slept += (op >> 4) * UINT64_C (1000);
    spare_renew (spare);
    engine_tick_spare (engine);
    break;
  case 11:
    spare_checkpoint (spare);
    break;
  case 12:
    grow (in);
    break;
  case 13:
    fail_soon (in);
    break;
  case 14:
    badness = take8 (in) % 18;
    break;
  case 15:
    engine_get_status (engine, &st);
    return reopen (clean, op);
  }
  return true;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  struct input in = { data, size };
  uint8_t how = take8 (&in);
  /* The last bits: a device that was cut off. */
  uint64_t dev_size = IMAGE_SIZE - (how >> 6 == 3 ? take16 (&in) : 0);
  bool clean = image_build (&in) && dev_size == IMAGE_SIZE;
  unsigned n = 0;

  badness = how % 4 ? 0 : 4;
  slept = 0;
  if (open_all (dev_size, how) != 0)
    return 0;
  read_everything ();
  while (in.left > 0 && n++ < 24)
    if (!one_request (&in, clean))
      return 0;
  if (reopen (clean, how)) {
    read_everything ();
    close_all ();
  }
  return 0;
}
