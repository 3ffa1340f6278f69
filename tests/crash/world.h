/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A small world for crashes, faults and interleavings: main and a spare in
 * memory that are wound back in no time, and the shipped core over them.
 *
 * A setup says how main and spare look at first: a letter for each sector.
 *
 *   D  DIRECT and good       B  DIRECT; writes fail
 *   r  DIRECT; reads fail    w  DIRECT; a read fails, the next one succeeds
 *   A  DIRECT; all fails     R  REMAPPED, main is good and holds old data
 *   Q  REMAPPED, all fails   L  LOST, but main can be read again
 *   Z  ZERO, main holds old data
 *   T  DIRECT; writes time out
 */

#ifndef CRASH_WORLD_H
#define CRASH_WORLD_H

#include "engine/internal.h"
#include "memdev.h"
#include "spare/internal.h"

#define MAX_SECTORS 320         /* of main */
#define MAX_EVENTS 512          /* of a run, both devices together */
#define SEC(n) ((uint64_t) (n) * SECTOR_SIZE)

struct setup {
  const char *name;
  const char *sectors;          /* the letters; repeated TIMES times */
  unsigned times;               /* 0: once */
  const char *rest;             /* those that follow; may be NULL */
  uint32_t block;               /* of main, bytes */
  unsigned tail;                /* bytes of the last sector; 0: all */
  enum memdev_partial partial;
  unsigned free_slots;          /* all others are retired; 0: all are free */
  unsigned log_left;            /* free pages of the log; 0: all */
  bool low_high_water;          /* the next commit has to raise it */
  unsigned piece;               /* pages of a checkpoint that one commit waits
                                 * for, and it is due at once; 0: not before
                                 * the log is nearly full */
  bool blank;                   /* the spare isn't formatted yet */
  bool samples;                 /* of main are taken; it begins with one, of the
                                 * first 4 KiB */
  bool stamps;                  /* the spare has owners, each another process;
                                 * some of them can't be seen to be dead */
  unsigned share;               /* of the time, twentieths */
};

extern const struct setup setups[];
extern const struct setup *setup_find (const char *name, size_t len);

/* What the map showed from event CLOCK on (until the next one): what a
 * request could have been answered by, and so what must be durable.
 */
struct snapshot {
  uint64_t clock;
  uint64_t step;                /* when the oldest request then active began */
  uint64_t digest;              /* of map, retired slots, counters, size */
  uint64_t state[MAX_SECTORS];  /* state and slot of each sector */
};
#define MAX_SNAPSHOTS 80

struct world {
  const struct setup *setup;
  unsigned nsectors;
  struct memdev *main, *mem;    /* mem: the spare */
  uint64_t clock;               /* events of both so far */

  struct engine_config config;
  uint64_t now_ms;
  struct spare_env env;
  struct owner_env owner;
  uint64_t seed;                /* of nonces: another one at each opening */
  struct message message;
  struct map *map;              /* NULL: not opened */
  struct spare *spare;
  struct engine *e;
  struct engine_conn conn;

  /* Faults may keep a sample from being struck out.  That is told, and then the
   * next start may take main for another disk (promise 20).
   */
  bool may_differ;
  uint64_t next_event, events_ms;

  /* Snapshots are taken before each event if WATCH is set. */
  bool watch;
  void (*failing) (bool on);    /* around calls of the core; may be NULL */
  uint64_t active_step;         /* copied to new snapshots */
  struct snapshot *snapshot;
  unsigned nsnapshots;
};

/* Aborts with the text: the tests' own machinery is at fault. */
extern void bug (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2), noreturn));

extern struct world *world_new (const struct setup *setup);
extern struct world *world_clone (struct world *w);
extern void world_free (struct world *w);

/* Back to how the setup is; closed.  SEED: of the nonces to come. */
extern void world_rewind (struct world *w, uint64_t seed);

/* Starts the server.  MAY_FORMAT: the spare may be blank or a format
 * interrupted, which is then repeated.  Returns 0 or an errno; then
 * MESSAGE says why.
 */
extern int world_open (struct world *w, bool may_format);

/* Ends it: CLEAN as with SIGTERM, otherwise as with SIGKILL. */
extern void world_close (struct world *w, bool clean);

/* Sets MAY_DIFFER if it was told since the last call. */
extern void world_hear (struct world *w);

/* Does the spare's stamp say that it is this server's? */
extern bool world_is_owner (struct world *w);

/* The first sector with that letter. */
extern unsigned sector_with (const struct world *w, char c);
extern char sector_letter (const struct world *w, unsigned s);
extern uint32_t sector_len (const struct world *w, unsigned s);

/* Takes a snapshot if something has changed. */
extern void world_look (struct world *w);
extern uint64_t world_digest (struct world *w);
extern uint64_t sector_state_of (struct world *w, unsigned s);
#define STATE_OF(v) ((enum sector_state) ((v) & 7))
#define SLOT_OF(v) ((v) >> 3)

/* What the sector holds now, read past the engine; NULL if it is LOST. */
extern const uint8_t *world_peek (struct world *w, unsigned s);

/* Can main not read it, or a sector of its block? */
extern bool block_unreadable (const struct world *w, unsigned s);
extern bool block_weak (const struct world *w, unsigned s);
extern bool block_mixed (struct world *w, unsigned s);
extern bool sector_writable (const struct world *w, unsigned s);

/* Fills BUF with version V of a sector; V is less than 64. */
#define STALE 60                /* what main holds of sectors that left it */
extern void pattern (uint8_t buf[SECTOR_SIZE], unsigned s, unsigned v);

/* Hashes. */
static inline uint64_t
mix (uint64_t h, uint64_t v)
{
  h = (h ^ v) * UINT64_C (0x9e3779b97f4a7c15);
  return h ^ (h >> 29);
}

extern uint64_t hash_bytes (const void *buf, size_t len);

#endif /* CRASH_WORLD_H */
