/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Samples of a main that nothing names (promise 20): of what they are taken,
 * when they are struck out, and how a start judges by them, and a main that was
 * lost and comes back (promise 12).  What a crash
 * leaves of them is crash-explorer's.
 */

#include <config.h>

#include <string.h>

#include "engine/recognise.h"
#include "engine/samples.h"
#include "engine-rig.h"

#define HOUR SAMPLE_INTERVAL_MS
#define REGION (256 * KIB)

static struct engine_rig rig;
static uint64_t wall = 1700000000;      /* seconds */

static uint64_t
wall_time (void *opaque)
{
  return wall;
}

static void
begin (uint64_t size)
{
  rig_init (&rig, &(struct rig_options) { .size = size });
  rig.config.new_samples = true;
  rig.config.main_flushed = true;
  rig.config.time = wall_time;
  rig_restart (&rig);
}

static void
tick (uint64_t ms)
{
  rig.now_ms += ms;
  wall += ms / 1000;
  engine_tick (rig.e);
  engine_tick_spare (rig.e);
}

/* How many the spare has, and where the first one is. */
static unsigned
recorded (uint64_t *offset)
{
  struct sample v[SAMPLES_MAX];
  unsigned n;

  CU_ASSERT_EQUAL_FATAL (recognise_list (rig.spare, v, &n), 0);
  if (offset)
    *offset = n > 0 ? v[0].offset : UINT64_MAX;
  return n;
}

/* When the first one was, by the clock of the spare. */
static uint64_t
taken_at (void)
{
  struct sample v[SAMPLES_MAX];
  unsigned n;

  CU_ASSERT_EQUAL_FATAL (recognise_list (rig.spare, v, &n), 0);
  CU_ASSERT_FATAL (n > 0);
  return v[0].time;
}

/* A client reads these bytes, whatever they are. */
static void
look (uint64_t offset, uint32_t count)
{
  static uint8_t buf[MIB];

  CU_ASSERT_EQUAL (engine_pread (&rig.conn, buf, count, offset), 0);
}

static uint64_t
reader_now (void *opaque)
{
  return rig.now_ms;
}

static struct recognition
judge (void)
{
  struct main_reader main = {
    .dev = &rig.main->dev, .size = rig.config.main_size,
    .block = rig.config.main_block, .now_ms = reader_now,
  };
  struct recognition found;

  CU_ASSERT_EQUAL (recognise (rig.spare, rig.map, &main, &found), 0);
  return found;
}

/* N samples, a region of main apart: one is taken in an hour at most. */
static void
take (unsigned n)
{
  for (unsigned i = 0; i < n; i++) {
    look (i * REGION + 64 * KIB, 4096);
    tick (0);
    tick (HOUR);
  }
}

/* What is read becomes one: the first block that is whole, not blank, and not
 * like another one; and no other for an hour, also across a restart.
 */
static void
test_taken (void)
{
  uint64_t offset;

  begin (16 * MIB);
  memset (rig.main->data + 8192, 0, 4096);
  memset (rig.main->data + 3 * REGION, 0xff, 64 * KIB);
  look (512, 4096);                     /* no whole block */
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 0);
  look (3 * REGION, 64 * KIB);          /* blank ones */
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 0);
  tick (HOUR);
  look (7680, 512 + 4096 + 8192);       /* a blank one, and a good one */
  tick (0);
  CU_ASSERT_EQUAL (recorded (&offset), 1);
  CU_ASSERT_EQUAL (offset, 12288);

  tick (HOUR - 1);
  look (5 * REGION, 8192);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 1);
  wall = taken_at () + HOUR / 1000 - 1;
  rig_restart (&rig);
  look (5 * REGION, 8192);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 1);
  wall++;
  rig_restart (&rig);
  look (12288, 8192);                   /* too near to the other one */
  memcpy (rig.main->data + 5 * REGION, rig.main->data + 12288, 4096);
  look (5 * REGION, 4096);              /* the same as the other one */
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 1);
  look (6 * REGION, 4096);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 2);
  /* A clock that was set back keeps nobody from it. */
  wall = taken_at () - 100000;
  rig_restart (&rig);
  look (7 * REGION, 4096);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 3);
  rig_end (&rig);
}

/* All of 64, and not more; those of a region that was touched before. */
static void
test_many (void)
{
  begin (32 * MIB);
  look (0, MIB);
  tick (0);
  take (70);
  CU_ASSERT_EQUAL (recorded (NULL), SAMPLES_MAX);
  CU_ASSERT_EQUAL (samples_count (rig.e), SAMPLES_MAX);
  CU_ASSERT_EQUAL (judge ().compared, RECOGNISE_READS);
  CU_ASSERT_EQUAL (judge ().different, 0);
  rig_restart (&rig);
  CU_ASSERT_EQUAL (samples_count (rig.e), SAMPLES_MAX);

  /* One is struck out, and another one takes its place. */
  CU_ASSERT_EQUAL (rig_write (&rig, 5 * REGION + 64 * KIB, 512, 2), 0);
  CU_ASSERT_EQUAL (recorded (NULL), SAMPLES_MAX - 1);
  tick (HOUR);
  look (100 * REGION, 4096);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), SAMPLES_MAX);
  rig_end (&rig);
}

static void
during_flush (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  if (op != SIM_FLUSH)
    return;
  rig.main->hook = NULL;
  look (8 * REGION, 4096);
}

/* What may be unflushed isn't one before a flush that began later has
 * succeeded, and never if it was written meanwhile.
 */
static void
test_unflushed (void)
{
  uint64_t offset;

  begin (16 * MIB);
  CU_ASSERT_EQUAL (rig_write (&rig, 0, 8192, 2), 0);
  look (0, 4096);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 0);
  CU_ASSERT_EQUAL (rig_write (&rig, 512, 512, 3), 0);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 0);
  tick (HOUR);
  look (4096, 4096);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  CU_ASSERT_EQUAL (rig_write (&rig, 0, 512, 4), 0);
  tick (0);
  CU_ASSERT_EQUAL (recorded (&offset), 1);
  CU_ASSERT_EQUAL (offset, 4096);

  /* One that had begun before may not have seen all of it. */
  tick (HOUR);
  rig.main->hook = during_flush;
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 1);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 2);

  /* A flush of another connection says nothing. */
  engine_flush_is_per_conn (rig.e);
  tick (HOUR);
  look (4 * REGION, 4096);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 2);
  rig_end (&rig);

  /* Before a server has written anything: what another one may have left. */
  begin (16 * MIB);
  rig.config.main_flushed = false;
  rig_restart (&rig);
  look (0, 4096);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 0);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 1);

  /* After a flush that failed only a cache may have what is read. */
  tick (HOUR);
  look (4 * REGION, 4096);
  sim_fail (rig.main, SIM_FLUSH, 1, EIO);
  CU_ASSERT_EQUAL (rig_flush (&rig), EIO);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  tick (HOUR);
  look (5 * REGION, 4096);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 1);
  rig_end (&rig);
}

/* Only of a healthy and honest disk: not where a read failed, what isn't
 * main's, what was trimmed, or may still be written by a call that timed out;
 * and not at all if the server takes none.
 */
static void
test_not_taken (void)
{
  begin (16 * MIB);
  set_state (&rig, 8, 1, REMAPPED, 3);
  sim_bad (rig.main, SIM_READ, 3 * REGION / 512, 1, EIO);
  engine_pread (&rig.conn, (uint8_t[4096]) { 0 }, 4096, 3 * REGION);
  look (4096, 4096);
  CU_ASSERT_EQUAL (engine_trim (&rig.conn, 4096, 5 * REGION, false), 0);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  look (5 * REGION + 8192, 4096);
  sim_bad (rig.main, SIM_WRITE, 6 * REGION / 512, 8, ETIMEDOUT);
  CU_ASSERT_EQUAL (rig_write (&rig, 6 * REGION, 4096, 5), 0);
  look (6 * REGION, 4096);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 0);
  rig.config.new_samples = false;
  rig_restart (&rig);
  look (7 * REGION, 4096);
  CU_ASSERT_EQUAL (rig_flush (&rig), 0);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 0);
  rig_end (&rig);
}

/* What the spare's disk has when main is asked to change. */
static unsigned seen, unflushed;

static void
before_change (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  if (op & (SIM_MODIFY | SIM_TRIM)) {
    seen = recorded (NULL);
    unflushed = memdev_unflushed (rig.mem, rig.mem->nevents);
  }
}

/* It is durably out of the spare before anything that may change it reaches
 * main, whatever it is, and whatever becomes of it.
 */
static void
test_struck_out (void)
{
  const uint64_t at = 64 * KIB;

  for (int how = 0; how < 6; how++) {
    begin (16 * MIB);
    take (2);
    CU_ASSERT_EQUAL (recorded (NULL), 2);
    seen = unflushed = 99;
    rig.main->hook = before_change;
    memdev_record (rig.mem, true);
    if (how == 4)
      sim_bad (rig.main, SIM_WRITE, at / 512 + 7, 1, EIO);
    /* What is beside it is no reason. */
    CU_ASSERT_EQUAL (rig_write (&rig, at + 4096, 4096, 7), 0);
    CU_ASSERT_EQUAL (rig_write (&rig, at - 512, 512, 7), 0);
    CU_ASSERT_EQUAL (seen, 2);
    switch (how) {
    case 0: CU_ASSERT_EQUAL (rig_write (&rig, at, 4096, 7), 0); break;
    case 1: CU_ASSERT_EQUAL (rig_write_fua (&rig, at + 3584, 9, 7), 0); break;
    case 2: CU_ASSERT_EQUAL (rig_zero (&rig, 0, 100 * KIB), 0); break;
    case 3:
      CU_ASSERT_EQUAL (engine_trim (&rig.conn, 8192, at - 4096, false), 0);
      break;
    case 4: CU_ASSERT_EQUAL (rig_write (&rig, at + 2048, 2048, 7), 0); break;
    case 5:
      set_state (&rig, at / 512, 1, REMAPPED, 9);
      CU_ASSERT_EQUAL (engine_unmap (&rig.conn, at / 512, 1, NULL,
                                     &(struct engine_result) { 0 }), 0);
      break;
    }
    CU_ASSERT_EQUAL (seen, 1);
    CU_ASSERT_EQUAL (unflushed, 0);
    CU_ASSERT_EQUAL (recorded (NULL), 1);
    memdev_record (rig.mem, false);
    rig.main->hook = NULL;
    rig_restart (&rig);
    CU_ASSERT_EQUAL (recorded (NULL), 1);
    rig_end (&rig);
  }
}

/* Two that lie in one region: a main that has grown has larger ones than it had
 * when they were taken.
 */
static void
test_one_region (void)
{
  struct sample samples[2] = {
    { .key = 0, .offset = 64 * KIB }, { .key = 1, .offset = 128 * KIB },
  };
  uint8_t content[SAMPLE_CONTENT];
  struct change_list list;
  struct attribute a;

  begin (16 * MIB);
  for (unsigned i = 0; i < 2; i++) {
    list = (struct change_list) { 0 };
    sample_to_attribute (&samples[i], &a, content);
    CU_ASSERT_EQUAL (change_list_add_attribute (&list, &a), 0);
    CU_ASSERT_EQUAL (spare_commit (rig.spare, &list, NULL), 0);
    change_list_free (&list);
  }
  rig_restart (&rig);
  CU_ASSERT_EQUAL (recorded (NULL), 2);
  CU_ASSERT_EQUAL (rig_write (&rig, 64 * KIB, 4096, 7), 0);
  CU_ASSERT_EQUAL (recorded (NULL), 1);
  CU_ASSERT_EQUAL (rig_write (&rig, 128 * KIB, 4096, 7), 0);
  CU_ASSERT_EQUAL (recorded (NULL), 0);
  /* Nothing is left of them that would cost anything. */
  CU_ASSERT_EQUAL (rig_write (&rig, 64 * KIB, 4096, 7), 0);
  CU_ASSERT (canaries_quiet (&rig.e->canaries, 64 * KIB, 4096));
  rig_end (&rig);
}

/* A spare that hangs holds up neither the log nor what sees to main. */
static void
test_not_waited_for (void)
{
  uint64_t writes, flushes;

  begin (16 * MIB);
  look (64 * KIB, 4096);
  writes = rig.mem->writes;
  flushes = rig.mem->flushes;
  engine_tick (rig.e);
  CU_ASSERT_EQUAL (rig.mem->writes, writes);
  CU_ASSERT_EQUAL (rig.mem->flushes, flushes);
  engine_tick_spare (rig.e);
  CU_ASSERT (rig.mem->writes > writes);
  CU_ASSERT_EQUAL (recorded (NULL), 1);
  rig_end (&rig);
}

/* If that can't be recorded the write goes on, it is told, and the next start
 * finds it.
 */
static void
test_not_struck_out (void)
{
  struct recognition found;
  unsigned warnings;

  begin (16 * MIB);
  take (1);
  warnings = rig.warnings;
  memdev_fail (rig.mem, MEMDEV_FLUSH, 1, EIO, true);
  CU_ASSERT_EQUAL (rig_write (&rig, 64 * KIB, 512, 2), 0);
  CU_ASSERT (main_holds (&rig, 64 * KIB, 512, 2));
  CU_ASSERT (rig.warnings > warnings);
  CU_ASSERT_PTR_NOT_NULL (strstr (rig.warning, "0x10000"));
  warnings = rig.warnings;
  CU_ASSERT_EQUAL (rig_write (&rig, 64 * KIB, 512, 3), 0);
  CU_ASSERT_EQUAL (rig.warnings, warnings);
  tick (HOUR);
  memdev_fail (rig.mem, 0, 0, 0, false);
  /* The strike-out itself may have reached the disk, but not its flush. */
  rig_restart (&rig);
  found = judge ();
  CU_ASSERT (found.known == 0 || found.different == 1);
  rig_end (&rig);

  /* Where there was no memory it is repeated. */
  begin (16 * MIB);
  take (1);
  pthread_mutex_lock (&rig.e->samples.mutex);
  rig.e->samples.v[0].state = SAMPLE_STALE;
  pthread_mutex_unlock (&rig.e->samples.mutex);
  tick (0);
  CU_ASSERT_EQUAL (recorded (NULL), 0);
  CU_ASSERT_EQUAL (rig.e->samples.n, 0);
  rig_end (&rig);
}

/* A start: what differs, what isn't read, and when it ends. */
static void
slow_read (void *opaque, enum sim_op op, uint64_t offset, uint64_t count)
{
  rig.now_ms += 6000;
}

static void
test_recognised (void)
{
  struct recognition found;
  uint8_t byte;

  begin (64 * MIB);
  CU_ASSERT_EQUAL (judge ().known, 0);
  take (20);
  sim_reset (rig.main);
  found = judge ();
  CU_ASSERT_EQUAL (found.known, 20);
  CU_ASSERT_EQUAL (found.compared, RECOGNISE_READS);
  CU_ASSERT_EQUAL (sim_calls (rig.main, SIM_READ), RECOGNISE_READS);
  CU_ASSERT_EQUAL (found.different, 0);
  CU_ASSERT_FALSE (found.entries);

  /* Another start looks at others, so that one byte is found in the end. */
  byte = rig.main->data[3 * REGION + 64 * KIB + 4095] ^= 1;
  for (int i = 0; i < 20 && found.different == 0; i++) {
    set_state (&rig, 130000 - i, 1, LOST, 0);
    found = judge ();
  }
  CU_ASSERT_EQUAL (found.different, 1);
  CU_ASSERT_EQUAL (found.where, 3 * REGION + 64 * KIB);
  CU_ASSERT (found.entries);
  rig.main->data[3 * REGION + 64 * KIB + 4095] = byte ^ 1;

  /* Not near known errors, not when it takes long, not when main is gone. */
  set_state (&rig, 2 * MIB / 512, 1, LOST, 0);
  sim_reset (rig.main);
  found = judge ();
  CU_ASSERT_EQUAL (found.compared, RECOGNISE_READS);
  for (sector_t s = MIB / 512; s < 3 * MIB / 512; s++)
    CU_ASSERT_EQUAL (rig.main->sector[s].reads, 0);
  rig.main->hook = slow_read;
  CU_ASSERT_EQUAL (judge ().compared, 2);
  rig.main->hook = NULL;
  sim_gone (rig.main, ENODEV);
  sim_reset (rig.main);
  found = judge ();
  CU_ASSERT_EQUAL (found.compared + found.failed + found.different, 0);
  CU_ASSERT_EQUAL (sim_calls (rig.main, SIM_READ), 1);
  sim_gone (rig.main, 0);

  /* Two that can't be read are enough, and are struck out. */
  sim_bad (rig.main, SIM_READ, 0, 64 * MIB / 512, EIO);
  found = judge ();
  CU_ASSERT_EQUAL (found.failed, RECOGNISE_FAILURES);
  CU_ASSERT_EQUAL (recognise_forget (rig.spare, found.key, found.failed), 0);
  CU_ASSERT_EQUAL (recorded (NULL), 18);
  sim_bad (rig.main, 0, 0, 64 * MIB / 512, 0);
  CU_ASSERT_EQUAL (recognise_forget_all (rig.spare), 0);
  CU_ASSERT_EQUAL (recorded (NULL), 0);
  rig_end (&rig);
}

/* Main is lost, and there again after HOW has changed it: what a read returns
 * then.
 */
static int
go_and_return (void (*how) (void))
{
  static uint8_t buf[512];

  sim_gone (rig.main, ENODEV);
  CU_ASSERT_EQUAL (engine_pread (&rig.conn, buf, 512, 10 * MIB), ESHUTDOWN);
  sim_gone (rig.main, 0);
  if (how)
    how ();
  sim_reset (rig.main);
  rig.now_ms += 1000;
  return engine_pread (&rig.conn, buf, 512, 10 * MIB);
}

static void
change_all (void)
{
  for (int i = 0; i < 5; i++)
    rig.main->data[i * REGION + 64 * KIB + 4095] ^= 1;
}

static void
bad_places (void)
{
  sim_bad (rig.main, SIM_READ, 0, 4 * MIB / 512, EIO);
}

/* A write that was under way reaches main while that is looked at. */
static void
written_meanwhile (void *opaque, enum sim_op op, uint64_t offset,
                   uint64_t count)
{
  if (op == SIM_READ && offset < 5 * REGION &&
      offset % REGION == 64 * KIB) {
    samples_strike (rig.e, offset, offset + 4096);
    rig.main->data[offset] ^= 1;
  }
}

static void
write_meanwhile (void)
{
  rig.main->hook = written_meanwhile;
}

static void
test_returned (void)
{
  unsigned warnings;

  begin (16 * MIB);
  take (5);
  CU_ASSERT_EQUAL (go_and_return (NULL), 0);
  CU_ASSERT (sim_calls (rig.main, SIM_READ) <= 8);
  /* Another disk stays lost, and nothing is written to it. */
  CU_ASSERT_EQUAL (go_and_return (change_all), ESHUTDOWN);
  CU_ASSERT_PTR_NOT_NULL (strstr (rig.warning, "holds something else at 0x"));
  warnings = rig.warnings;
  rig.now_ms += 1000;
  CU_ASSERT_EQUAL (rig_write (&rig, 11 * MIB, 512, 2), ESHUTDOWN);
  CU_ASSERT_EQUAL (rig_flush (&rig), ESHUTDOWN);
  CU_ASSERT_EQUAL (sim_calls (rig.main, SIM_MODIFY | SIM_FLUSH), 0);
  CU_ASSERT_EQUAL (rig.warnings, warnings);
  CU_ASSERT_EQUAL (recorded (NULL), 5);
  /* The right one is back. */
  change_all ();
  rig.now_ms += 1000;
  CU_ASSERT_EQUAL (rig_read (&rig, 11 * MIB, 512, 1), 0);
  /* What can't be read is no difference. */
  CU_ASSERT_EQUAL (go_and_return (bad_places), 0);
  sim_bad (rig.main, 0, 0, 4 * MIB / 512, 0);
  /* Nor is what is written. */
  CU_ASSERT_EQUAL (go_and_return (write_meanwhile), 0);
  CU_ASSERT (recorded (NULL) < 5);
  rig.main->hook = NULL;
  rig_end (&rig);
}

/* One that makes the disk vanish isn't read each time. */
static void
test_returned_vanishing (void)
{
  static uint8_t buf[512];
  int tries = 0;

  begin (16 * MIB);
  take (3);
  sim_vanish (rig.main, SIM_READ, (REGION + 64 * KIB) / 512, 8, ENODEV);
  if (go_and_return (NULL) != 0)
    for (tries = 1; tries < 10; tries++) {
      sim_gone (rig.main, 0);
      rig.now_ms += 1000;
      if (engine_pread (&rig.conn, buf, 512, 10 * MIB) == 0)
        break;
    }
  CU_ASSERT (tries < 10);
  rig_end (&rig);
}

/* A hash is of the content and the spare, nothing else, and of all of it. */
static void
test_hash (void)
{
  static const uint8_t expected[SAMPLE_HASH] = {
    0x66, 0x2e, 0xc7, 0xe6, 0x96, 0xf4, 0xef, 0x34,
    0x29, 0x02, 0xda, 0x2e, 0x45, 0x72, 0x29, 0x03,
  };
  uint8_t data[SAMPLE_SIZE], uuid[16], hash[SAMPLE_HASH], other[SAMPLE_HASH];

  memset (data, 'a', sizeof data);
  memset (uuid, 'u', sizeof uuid);
  CU_ASSERT (sample_is_blank (data));
  sample_hash (uuid, data, hash);
  CU_ASSERT_EQUAL (memcmp (hash, expected, sizeof hash), 0);
  data[SAMPLE_SIZE - 1]++;
  CU_ASSERT_FALSE (sample_is_blank (data));
  sample_hash (uuid, data, other);
  CU_ASSERT_NOT_EQUAL (memcmp (hash, other, sizeof hash), 0);
  data[SAMPLE_SIZE - 1]--;
  uuid[15]++;
  sample_hash (uuid, data, other);
  CU_ASSERT_NOT_EQUAL (memcmp (hash, other, sizeof hash), 0);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "the hash (promise 20)", test_hash },
    { "one is taken (promise 20)", test_taken },
    { "64 are (promise 20)", test_many },
    { "what isn't flushed (promise 20)", test_unflushed },
    { "what is none (promise 20)", test_not_taken },
    { "struck out before it is written (promise 20)", test_struck_out },
    { "two in one region (promise 20)", test_one_region },
    { "the tick doesn't wait for the spare", test_not_waited_for },
    { "not struck out (promise 20)", test_not_struck_out },
    { "main is recognised (promise 20)", test_recognised },
    { "main comes back (promises 12, 20)", test_returned },
    { "a sample makes main vanish (promise 12)", test_returned_vanishing },
    { NULL }
  };

  return run_tests (argc, argv, "engine-samples", tests);
}
