/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sqlite3.h>

#include "base/bytes.h"
#include "ctl/text.h"
#include "log.h"
#include "store.h"

/* How much is kept. */
#define MAX_EVENTS 10000                /* of one server */
#define MAX_ALERTS 1000

#define SCHEMA_VERSION 1

static const char schema[] =
"CREATE TABLE server (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
"  next INTEGER NOT NULL, level INTEGER NOT NULL, since INTEGER NOT NULL,"
"  told INTEGER NOT NULL, told_at INTEGER NOT NULL);"
"CREATE TABLE event (server INTEGER NOT NULL, number INTEGER NOT NULL,"
"  time INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,"
"  level INTEGER NOT NULL, told INTEGER NOT NULL,"
"  PRIMARY KEY (server, number, time)) WITHOUT ROWID;"
"CREATE INDEX untold ON event (server, told) WHERE told = 0;"
"CREATE TABLE alert (id INTEGER PRIMARY KEY AUTOINCREMENT,"
"  time INTEGER NOT NULL, server TEXT NOT NULL, kind TEXT NOT NULL,"
"  severity TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL,"
"  json TEXT NOT NULL);"
"CREATE TABLE delivery (alert INTEGER NOT NULL, hook TEXT NOT NULL,"
"  tries INTEGER NOT NULL, due INTEGER NOT NULL,"
"  PRIMARY KEY (alert, hook)) WITHOUT ROWID;"
"PRAGMA user_version = 1;";

enum statement {
  BEGIN, COMMIT, ROLLBACK, MAKE_SERVER, READ_SERVER, WRITE_SERVER, NEXT_TOLD,
  ADD_EVENT, COUNT_UNTOLD, UNTOLD, MARK_TOLD, ADD_ALERT, ADD_DELIVERY, DUE,
  NEXT_DUE, EVENTS, PENDING, DELIVERED, POSTPONE, PRUNE_EVENTS, PRUNE_ALERTS,
  NR_STATEMENTS
};

/* Events that were not told stay longer than others, but not for ever: a
 * server may be anything that listens there.
 */
static const char *const sql[NR_STATEMENTS] = {
  [BEGIN] = "BEGIN IMMEDIATE",
  [COMMIT] = "COMMIT",
  [ROLLBACK] = "ROLLBACK",
  [MAKE_SERVER] = "INSERT OR IGNORE INTO server (name, next, level, since, "
  "told, told_at) VALUES (?, 0, 0, 0, 0, 0)",
  [READ_SERVER] = "SELECT id, next, level, since, told, told_at FROM server "
  "WHERE name = ?",
  [WRITE_SERVER] = "UPDATE server SET next = ?2, level = ?3, since = ?4, "
  "told = ?5, told_at = ?6 WHERE id = ?1",
  [NEXT_TOLD] = "SELECT id, name FROM server WHERE told > 0 AND id > ? "
  "ORDER BY id LIMIT 1",
  [ADD_EVENT] = "INSERT OR IGNORE INTO event (server, number, time, kind, "
  "text, level, told) VALUES (?, ?, ?, ?, ?, ?, ?6 = 0)",
  [COUNT_UNTOLD] = "SELECT count(*), max(level) FROM event "
  "WHERE server = ? AND told = 0",
  [UNTOLD] = "SELECT number, time, kind, text, level FROM event "
  "WHERE server = ? AND told = 0 ORDER BY number DESC LIMIT ?",
  [MARK_TOLD] = "UPDATE event SET told = 1 WHERE server = ? AND told = 0",
  [ADD_ALERT] = "INSERT INTO alert (time, server, kind, severity, subject, "
  "text, json) VALUES (?, ?, ?, ?, ?, ?, ?)",
  [ADD_DELIVERY] = "INSERT INTO delivery (alert, hook, tries, due) "
  "VALUES (?, ?, 0, 0)",
  [DUE] = "SELECT id, time, hook, tries, server, kind, severity, subject, "
  "text, json FROM delivery JOIN alert ON alert.id = delivery.alert "
  "WHERE due <= ? AND instr (?, '/' || hook || '/') = 0 "
  "ORDER BY delivery.alert LIMIT 1",
  [NEXT_DUE] = "SELECT min(due) FROM delivery",
  [EVENTS] = "SELECT number, time, kind, text, level FROM event "
  "WHERE server = ? ORDER BY number DESC LIMIT ?",
  [PENDING] = "SELECT count(*) FROM delivery",
  [DELIVERED] = "DELETE FROM delivery WHERE alert = ? AND hook = ?",
  [POSTPONE] = "UPDATE delivery SET due = ?3, tries = tries + 1 "
  "WHERE alert = ?1 AND hook = ?2",
  [PRUNE_EVENTS] = "DELETE FROM event WHERE server = ?1 AND number <= "
  "(SELECT number FROM event WHERE server = ?1 ORDER BY number DESC "
  "LIMIT 1 OFFSET ?2) AND (told = 1 OR number <= (SELECT number FROM event "
  "WHERE server = ?1 ORDER BY number DESC LIMIT 1 OFFSET 2 * ?2))",
  [PRUNE_ALERTS] = "DELETE FROM alert WHERE id <= (SELECT max(id) - ? "
  "FROM alert) AND id NOT IN (SELECT alert FROM delivery)",
};

struct store {
  sqlite3 *db;
  sqlite3_stmt *statement[NR_STATEMENTS];       /* NULL: not needed yet */
  time_t complained;
  bool broken;                          /* the last thing done has failed */
};

/* A full disk fails every few seconds. */
static bool
failed (struct store *s)
{
  const time_t now = time (NULL);

  if (now - s->complained >= 60 || now < s->complained)
    log_line (LOG_IS_ERROR, "the history can't be read or written: %s",
              sqlite3_errmsg (s->db));
  s->complained = now;
  s->broken = true;
  return false;
}

/* A statement with its first parameters, numbers.  NULL after a message. */
static sqlite3_stmt *
prepare (struct store *s, enum statement which, unsigned n,
         const int64_t *numbers)
{
  sqlite3_stmt **st = &s->statement[which];

  if (*st == NULL && sqlite3_prepare_v3 (s->db, sql[which], -1,
                                         SQLITE_PREPARE_PERSISTENT, st,
                                         NULL) != SQLITE_OK) {
    failed (s);
    return NULL;
  }
  for (unsigned i = 0; i < n; i++)
    sqlite3_bind_int64 (*st, i + 1, numbers[i]);
  return *st;
}

/* The strings live until the statement is reset. */
static void
bind_text (sqlite3_stmt *st, int at, const char *text)
{
  sqlite3_bind_text (st, at, text, -1, SQLITE_STATIC);
}

/* Runs a statement that returns nothing; ST may be NULL. */
static bool
run (struct store *s, sqlite3_stmt *st)
{
  bool ok;

  if (st == NULL)
    return false;
  ok = sqlite3_step (st) == SQLITE_DONE;
  if (!ok)
    failed (s);
  else
    s->broken = false;
  sqlite3_reset (st);
  sqlite3_clear_bindings (st);
  return ok;
}

static void
finish (sqlite3_stmt *st)
{
  sqlite3_reset (st);
  sqlite3_clear_bindings (st);
}

static int64_t
number_of (uint64_t n)
{
  return min_u64 (n, INT64_MAX);
}

static const char *
text_at (sqlite3_stmt *st, int column)
{
  const char *text = (const char *) sqlite3_column_text (st, column);

  return text ? text : "";
}

static enum level
level_at (sqlite3_stmt *st, int column)
{
  const int n = sqlite3_column_int (st, column);

  return n <= LEVEL_OK ? LEVEL_OK
    : n == LEVEL_WARNING ? LEVEL_WARNING : LEVEL_ERROR;
}

/* The rows of a statement that selects events; ST may be NULL. */
static bool
for_each (struct store *s, sqlite3_stmt *st,
          void (*fn) (void *opaque, const struct stored_event *e),
          void *opaque)
{
  int r;

  if (st == NULL)
    return false;
  while ((r = sqlite3_step (st)) == SQLITE_ROW) {
    const struct stored_event e = {
      .number = sqlite3_column_int64 (st, 0),
      .time_ms = sqlite3_column_int64 (st, 1), .kind = text_at (st, 2),
      .text = text_at (st, 3), .level = level_at (st, 4),
    };

    fn (opaque, &e);
  }
  finish (st);
  return r == SQLITE_DONE || failed (s);
}

static int
user_version (sqlite3 *db)
{
  sqlite3_stmt *st;
  int version = -1;

  if (sqlite3_prepare_v2 (db, "PRAGMA user_version", -1, &st, NULL)
      == SQLITE_OK && sqlite3_step (st) == SQLITE_ROW)
    version = sqlite3_column_int (st, 0);
  sqlite3_finalize (st);
  return version;
}

/* Opens and makes it ready; returns 0, or SQLite's error. */
static int
try_open (const char *path, sqlite3 **db)
{
  int r = sqlite3_open_v2 (path, db, SQLITE_OPEN_READWRITE |
                           SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

  if (r != SQLITE_OK)
    return r;
  sqlite3_extended_result_codes (*db, 1);
  sqlite3_busy_timeout (*db, 2000);
  /* One process alone: and a second monitor with the same history is refused.
   * Each commit is durable before anything is told.
   */
  r = sqlite3_exec (*db, "PRAGMA locking_mode = EXCLUSIVE;"
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                    "PRAGMA cache_size = -512; PRAGMA trusted_schema = OFF;"
                    "BEGIN EXCLUSIVE; COMMIT", NULL, NULL, NULL);
  if (r == SQLITE_OK && user_version (*db) == 0)
    r = sqlite3_exec (*db, schema, NULL, NULL, NULL);
  if (r == SQLITE_OK && user_version (*db) != SCHEMA_VERSION)
    r = SQLITE_SCHEMA;
  return r;
}

static void
put_aside (const char *path)
{
  char *aside = text_of ("%s.broken", path);
  char *wal = text_of ("%s-wal", path), *shm = text_of ("%s-shm", path);

  if (rename (path, aside) == 0)
    log_line (LOG_IS_ERROR, "%s can't be used, and is %s now: the history "
              "begins anew", path, aside);
  remove (wal);
  remove (shm);
  free (aside);
  free (wal);
  free (shm);
}

struct store *
store_open (const char *dir)
{
  struct store *s = allocate (1, sizeof *s);
  char *path = text_of ("%s/history.db", dir);
  int r = try_open (path, &s->db);

  if ((r & 0xff) == SQLITE_NOTADB || (r & 0xff) == SQLITE_CORRUPT) {
    sqlite3_close (s->db);
    put_aside (path);
    r = try_open (path, &s->db);
  }
  if (r == SQLITE_OK)
    goto out;
  if ((r & 0xff) == SQLITE_BUSY)
    error ("%s: another monitor is using it", path);
  else if (r == SQLITE_SCHEMA)
    error ("%s: it was made by a newer version", path);
  else
    error ("%s: %s", path, sqlite3_errmsg (s->db));
  sqlite3_close (s->db);
  free (s);
  s = NULL;
 out:
  free (path);
  return s;
}

void
store_close (struct store *s)
{
  for (int i = 0; i < NR_STATEMENTS; i++)
    sqlite3_finalize (s->statement[i]);
  sqlite3_close (s->db);
  free (s);
}

bool
store_begin (struct store *s)
{
  return run (s, prepare (s, BEGIN, 0, NULL));
}

bool
store_end (struct store *s, bool keep)
{
  if (keep && run (s, prepare (s, COMMIT, 0, NULL)))
    return true;
  /* SQLite may have rolled it back by itself. */
  if (!sqlite3_get_autocommit (s->db))
    run (s, prepare (s, ROLLBACK, 0, NULL));
  return false;
}

bool
store_read_server (struct store *s, const char *name,
                   struct stored_server *stored)
{
  sqlite3_stmt *st = prepare (s, MAKE_SERVER, 0, NULL);
  bool ok;

  if (st)
    bind_text (st, 1, name);
  if (!run (s, st) || (st = prepare (s, READ_SERVER, 0, NULL)) == NULL)
    return false;
  bind_text (st, 1, name);
  ok = sqlite3_step (st) == SQLITE_ROW;
  if (ok)
    *stored = (struct stored_server) {
      .id = sqlite3_column_int64 (st, 0), .next = sqlite3_column_int64 (st, 1),
      .level = level_at (st, 2), .level_since = sqlite3_column_int64 (st, 3),
      .told = level_at (st, 4), .told_at = sqlite3_column_int64 (st, 5),
    };
  else
    failed (s);
  finish (st);
  return ok;
}

bool
store_write_server (struct store *s, const struct stored_server *stored)
{
  return run (s, prepare (s, WRITE_SERVER, 6, (int64_t[]) {
        stored->id, number_of (stored->next), stored->level,
        number_of (stored->level_since), stored->told,
        number_of (stored->told_at) }));
}

char *
store_next_told (struct store *s, int64_t after, int64_t *id)
{
  sqlite3_stmt *st = prepare (s, NEXT_TOLD, 1, &after);
  char *name = NULL;

  if (st == NULL)
    return NULL;
  if (sqlite3_step (st) == SQLITE_ROW) {
    *id = sqlite3_column_int64 (st, 0);
    name = copy_text (text_at (st, 1));
  }
  finish (st);
  return name;
}

bool
store_add_event (struct store *s, int64_t server, const struct stored_event *e)
{
  sqlite3_stmt *st = prepare (s, ADD_EVENT, 3, (int64_t[]) {
      server, number_of (e->number), number_of (e->time_ms) });

  if (st) {
    bind_text (st, 4, e->kind);
    bind_text (st, 5, e->text);
    sqlite3_bind_int (st, 6, e->level);
  }
  return run (s, st);
}

bool
store_untold (struct store *s, int64_t server, unsigned max,
              void (*fn) (void *opaque, const struct stored_event *e),
              void *opaque, uint64_t *count, enum level *worst)
{
  sqlite3_stmt *st = prepare (s, COUNT_UNTOLD, 1, &server);
  int r;

  if (st == NULL)
    return false;
  r = sqlite3_step (st);
  *count = r == SQLITE_ROW ? sqlite3_column_int64 (st, 0) : 0;
  *worst = r == SQLITE_ROW ? level_at (st, 1) : LEVEL_OK;
  finish (st);
  if (r != SQLITE_ROW)
    return failed (s);
  if (*count == 0 || max == 0)
    return true;
  return for_each (s, prepare (s, UNTOLD, 2, (int64_t[]) { server, max }), fn,
                   opaque);
}

bool
store_events (struct store *s, int64_t server, unsigned max,
              void (*fn) (void *opaque, const struct stored_event *e),
              void *opaque)
{
  return for_each (s, prepare (s, EVENTS, 2, (int64_t[]) { server, max }), fn,
                   opaque);
}

bool
store_mark_told (struct store *s, int64_t server)
{
  return run (s, prepare (s, MARK_TOLD, 1, &server));
}

bool
store_add_alert (struct store *s, const struct stored_alert *a,
                 const char *const *hooks, size_t nr_hooks)
{
  sqlite3_stmt *st = prepare (s, ADD_ALERT, 1,
                              (int64_t[]) { number_of (a->time) });
  int64_t id;

  if (st) {
    bind_text (st, 2, a->server);
    bind_text (st, 3, a->kind);
    bind_text (st, 4, a->severity);
    bind_text (st, 5, a->subject);
    bind_text (st, 6, a->text);
    bind_text (st, 7, a->json);
  }
  if (!run (s, st))
    return false;
  id = sqlite3_last_insert_rowid (s->db);
  for (size_t i = 0; i < nr_hooks; i++) {
    st = prepare (s, ADD_DELIVERY, 1, &id);
    if (st)
      bind_text (st, 2, hooks[i]);
    if (!run (s, st))
      return false;
  }
  return true;
}

/* /hook/hook/ */
static char *
joined (const char *const *v, size_t n)
{
  char *all = copy_text ("/"), *more;

  for (size_t i = 0; i < n; i++) {
    more = text_of ("%s%s/", all, v[i]);
    free (all);
    all = more;
  }
  return all;
}

bool
store_due (struct store *s, uint64_t now, const char *const *busy,
           size_t nr_busy, struct stored_delivery *d)
{
  sqlite3_stmt *st = prepare (s, DUE, 1, (int64_t[]) { number_of (now) });
  char *names;
  int r;

  if (st == NULL)
    return false;
  names = joined (busy, nr_busy);
  bind_text (st, 2, names);
  r = sqlite3_step (st);
  if (r == SQLITE_ROW) {
    for (int i = 0; i < 6; i++)
      d->strings[i] = copy_text (text_at (st, 4 + i));
    d->alert = (struct stored_alert) {
      .id = sqlite3_column_int64 (st, 0), .time = sqlite3_column_int64 (st, 1),
      .server = d->strings[0], .kind = d->strings[1],
      .severity = d->strings[2], .subject = d->strings[3],
      .text = d->strings[4], .json = d->strings[5],
    };
    d->hook = copy_text (text_at (st, 2));
    d->tries = sqlite3_column_int (st, 3);
  }
  finish (st);
  free (names);
  return r == SQLITE_ROW || (r != SQLITE_DONE && failed (s));
}

void
store_free_delivery (struct stored_delivery *d)
{
  for (int i = 0; i < 6; i++)
    free (d->strings[i]);
  free (d->hook);
}

uint64_t
store_next_due (struct store *s)
{
  sqlite3_stmt *st = prepare (s, NEXT_DUE, 0, NULL);
  uint64_t due = UINT64_MAX;

  if (st == NULL)
    return due;
  if (sqlite3_step (st) == SQLITE_ROW &&
      sqlite3_column_type (st, 0) != SQLITE_NULL)
    due = sqlite3_column_int64 (st, 0);
  finish (st);
  return due;
}

uint64_t
store_pending (struct store *s)
{
  sqlite3_stmt *st = prepare (s, PENDING, 0, NULL);
  uint64_t n = 0;

  if (st == NULL)
    return 0;
  if (sqlite3_step (st) == SQLITE_ROW)
    n = sqlite3_column_int64 (st, 0);
  finish (st);
  return n;
}

bool
store_works (const struct store *s)
{
  return !s->broken;
}

bool
store_delivered (struct store *s, int64_t alert, const char *hook)
{
  sqlite3_stmt *st = prepare (s, DELIVERED, 1, &alert);

  if (st)
    bind_text (st, 2, hook);
  return run (s, st);
}

bool
store_postpone (struct store *s, int64_t alert, const char *hook, uint64_t due)
{
  sqlite3_stmt *st = prepare (s, POSTPONE, 1, &alert);

  if (st) {
    bind_text (st, 2, hook);
    sqlite3_bind_int64 (st, 3, number_of (due));
  }
  return run (s, st);
}

void
store_prune_events (struct store *s, int64_t server)
{
  run (s, prepare (s, PRUNE_EVENTS, 2, (int64_t[]) { server, MAX_EVENTS }));
}

void
store_prune_alerts (struct store *s)
{
  run (s, prepare (s, PRUNE_ALERTS, 1, (int64_t[]) { MAX_ALERTS }));
}
