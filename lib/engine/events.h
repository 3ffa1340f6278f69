/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Events: what somebody should know of (promise 38 of remap-promises(7)).
 *
 * Each gets a number that counts up, and goes into a ring of the newest ones.
 * Whoever wants to know reads from there, at any pace; nobody is waited for,
 * and a reader that was too slow sees by the numbers how many it has missed.
 *
 * What can happen often is summed up.  The first of its kind is told at once;
 * those of the next EVENT_SUM_MS become one event, which says how many there
 * were; and so on, until none comes.  So a kind makes no more than two events
 * in EVENT_SUM_MS, whatever a dying disk does.
 *
 * Memory: EVENTS_KEPT events, 3 MiB, all of it there from the beginning; the
 * kernel gives it when it is first used.  Telling something allocates none.
 *
 * All functions may be called from any thread, under any lock: they hold the
 * mutex that guards the ring for some microseconds at most, and nothing is
 * called under it.  EV may be NULL wherever something is told: then nobody
 * wants to know.
 */

#ifndef REMAP_ENGINE_EVENTS_H
#define REMAP_ENGINE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sector.h"

#define EVENTS_KEPT 2048U
#define EVENT_SUM_MS 5000U
#define EVENT_RANGES 16U

enum event_kind {
  /* Never summed up; these come once a second at most, or because an operator
   * has asked for something.
   */
  EVENT_START, EVENT_STOP,
  EVENT_CONFIG,                 /* a switch was turned */
  EVENT_JOB_START, EVENT_JOB_PHASE, EVENT_JOB_END,
  EVENT_HEALTH,
  EVENT_MAIN_LOST, EVENT_MAIN_BACK,
  EVENT_MAIN_READONLY,          /* it refuses to be written */
  EVENT_MAIN_WRITABLE,
  EVENT_MAIN_HANGS, EVENT_MAIN_ANSWERS,
  EVENT_MAIN_OTHER,             /* what answers is another disk */
  EVENT_SPARE_FULL, EVENT_SPARE_ROOM,
  EVENT_SPARE_THIN,             /* more is promised than there is room for */
  EVENT_SPARE_ENOUGH,
  EVENT_SPARE_FAILED, EVENT_SPARE_GONE, EVENT_SPARE_BACK,
  EVENT_COPY_FAILED, EVENT_COPY_FULL,
  EVENT_MAIN_NOT_NEEDED, EVENT_COPY_ALONE,

  /* Summed up. */
  EVENT_LOST,                   /* sectors that main can't read, */
  EVENT_DECLARED_LOST,          /* that an operator says are LOST, */
  EVENT_REMAPPED,               /* that are in the spare now, */
  EVENT_RECOVERED,              /* that were LOST, and were read after all, */
  EVENT_ZEROED,                 /* that are LOST, and were read as zeroes, */
  EVENT_LATE,                   /* that main isn't used for any more, */
  EVENT_VANISHES,               /* with which main was lost, */
  EVENT_WEAK,                   /* and weak ones that had to stay on main */
  EVENT_MAIN_ERROR,             /* one that is about no sector and no loss */
  EVENT_FLUSH_FAILED,
  EVENT_HOLDS,                  /* of background work: too many to be told as
                                 * EVENT_CONFIG one by one */
  EVENT_SPARE_UNREADABLE,       /* slots */
  EVENT_SPARE_WARNING,          /* what else its format's code says */
  NR_EVENT_KINDS
};

enum event_severity {
  EVENT_INFO,                   /* of interest to programs */
  EVENT_NOTICE,                 /* good news */
  EVENT_WARNING,
  EVENT_ERROR,
};

struct event {
  uint64_t number;
  uint64_t time_ms;             /* since 1970, UTC */
  enum event_kind kind;
  enum event_severity severity;

  /* How often it happened, and how many sectors (or slots) it is about, with
   * the first ranges that are known of them; MORE: there were others.
   */
  uint64_t times, count;
  uint64_t why[WHY_LAST + 1];   /* sectors */
  unsigned nr_ranges;
  bool more;
  struct { uint64_t start, count; } range[EVENT_RANGES];

  char subject[128];            /* of a job: its request; of config: its key */
  char from[16], to[16];        /* states: of the health, of a job, of config */
  char text[1024];              /* for people; of the health: its reasons, a
                                 * line each */
};

struct events_config {
  /* Milliseconds of a clock that never goes back.  NULL: the system's. */
  uint64_t (*now_ms) (void *opaque);

  /* There is a new event.  Called without locks of this unit, by the thread
   * that has told it, which may hold others: it must not block.  May be NULL.
   */
  void (*wake) (void *opaque);
  void *opaque;
};

/* NULL: out of memory. */
extern struct events *events_new (const struct events_config *config);
extern void events_free (struct events *ev);

/* As messages are written, for kinds without sectors. */
extern void events_tell (struct events *ev, enum event_kind kind,
                         const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

/* The same with what a program wants to know: each may be NULL. */
extern void events_tell_change (struct events *ev, enum event_kind kind,
                                const char *subject, const char *from,
                                const char *to, const char *text);

/* Something has become of COUNT sectors (or slots) from START on. */
extern void events_tell_sectors (struct events *ev, enum event_kind kind,
                                 enum change_reason why, uint64_t start,
                                 uint64_t count);

/* Tells the sums whose time has come; to be called once a second or so.  ALL:
 * all sums, since nothing more will come.
 */
extern void events_tick (struct events *ev, bool all);

/* The first event whose number is NUMBER or more.  False: there is none yet. */
extern bool events_next (struct events *ev, uint64_t number,
                         struct event *event);

/* The numbers of the first event that this server has told, kept or not, and
 * of the one that will be next.
 */
extern void events_bounds (struct events *ev, uint64_t *first,
                           uint64_t *next);

/* "sector.lost", and so on; "error". */
extern const char *event_kind_name (enum event_kind kind);
extern const char *event_severity_name (enum event_severity severity);

#endif /* REMAP_ENGINE_EVENTS_H */
