/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The monitor's memory, an SQLite database: which events it has seen, what it
 * has told, and what it still has to tell.  What belongs together is one
 * transaction, so that after a crash nothing is told twice and nothing is
 * forgotten: an event and the number to ask for next; a message, its
 * deliveries, and which events it was about.
 *
 * Times are seconds since 1970 (unix), of events milliseconds.  Functions that
 * return false have logged why; nothing has changed then.
 */

#ifndef REMAP_MONITOR_STORE_H
#define REMAP_MONITOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;

/* Opens the database in the folder DIR, and makes it if it is missing.  One
 * that can't be read is put aside.  NULL after a message.
 */
extern struct store *store_open (const char *dir);
extern void store_close (struct store *s);

/* What is done between these is done together, or not at all: end with KEEP
 * false, and if it returns false, undoes it.
 */
extern bool store_begin (struct store *s);
extern bool store_end (struct store *s, bool keep);

/* How bad something is. */
enum level { LEVEL_OK, LEVEL_WARNING, LEVEL_ERROR };

struct stored_server {
  int64_t id;
  uint64_t next;                        /* the event to ask for */
  enum level level;
  uint64_t level_since;
  enum level told;                      /* LEVEL_OK: all is well, it was said */
  uint64_t told_at;                     /* the last message; 0: none yet */
};

/* Reads what is known of the server NAME; all zero if it is new. */
extern bool store_read_server (struct store *s, const char *name,
                               struct stored_server *st);
extern bool store_write_server (struct store *s,
                                const struct stored_server *st);

/* The name of the first server after AFTER (an id) of which was told that it
 * isn't well, in new memory; NULL: there is none.  *ID is its own.
 */
extern char *store_next_told (struct store *s, int64_t after, int64_t *id);

struct stored_event {
  uint64_t number, time_ms;
  const char *kind, *text;
  enum level level;                     /* LEVEL_OK isn't told */
};

/* An event that is there already changes nothing. */
extern bool store_add_event (struct store *s, int64_t server,
                             const struct stored_event *e);

/* The events of a server that were not told yet, the newest first.  *COUNT is
 * how many there are, *WORST how bad; FN is called for up to MAX of them, and
 * may be NULL if that is 0.
 */
extern bool store_untold (struct store *s, int64_t server, unsigned max,
                          void (*fn) (void *opaque,
                                      const struct stored_event *e),
                          void *opaque, uint64_t *count, enum level *worst);
extern bool store_mark_told (struct store *s, int64_t server);

/* The newest events of a server, told or not, the newest first. */
extern bool store_events (struct store *s, int64_t server, unsigned max,
                          void (*fn) (void *opaque,
                                      const struct stored_event *e),
                          void *opaque);

/* A message, which is then due for each of the hooks. */
struct stored_alert {
  int64_t id;
  uint64_t time;
  const char *server;                   /* name */
  const char *kind, *severity;          /* as hooks see them */
  const char *subject, *text, *json;
};

extern bool store_add_alert (struct store *s, const struct stored_alert *a,
                             const char *const *hooks, size_t nr_hooks);

/* A message that is to be delivered now, the oldest first, for a hook that
 * is not in BUSY.  False: there is none, or an error.  The strings are the
 * caller's: store_free_delivery.
 */
struct stored_delivery {
  struct stored_alert alert;
  char *hook;
  unsigned tries;
  char *strings[6];                     /* what alert points to */
};

extern bool store_due (struct store *s, uint64_t now, const char *const *busy,
                       size_t nr_busy, struct stored_delivery *d);
extern void store_free_delivery (struct stored_delivery *d);

/* When the next one is due; UINT64_MAX: none is. */
extern uint64_t store_next_due (struct store *s);
extern bool store_delivered (struct store *s, int64_t alert, const char *hook);
extern bool store_postpone (struct store *s, int64_t alert, const char *hook,
                            uint64_t due);

/* How many deliveries are to be made, now or later. */
extern uint64_t store_pending (struct store *s);

/* Can it be written?  (What was written last could be, if nothing was.) */
extern bool store_works (const struct store *s);

/* Removes what is old. */
extern void store_prune_events (struct store *s, int64_t server);
extern void store_prune_alerts (struct store *s);

#endif /* REMAP_MONITOR_STORE_H */
