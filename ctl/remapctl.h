/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * remapctl: what its parts share.
 */

#ifndef REMAPCTL_H
#define REMAPCTL_H

#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "base/sector.h"
#include "exit-status.h"
#include "numbers.h"
#include "options.h"
#include "terminal.h"
#include "text.h"
#include "units.h"

/* ---- client.c ---- */

struct client;

/* Connects to the server that CTL says.  NULL after a message: then *STATUS
 * is what the program ends with.
 */
extern struct client *client_open (const struct ctl *ctl, int *status);

/* The same, without messages: 0 or an errno. */
extern int client_try (const char *path, unsigned timeout,
                       struct client **client);
extern void client_close (struct client *c);

/* Sends a line, and returns the reply if it is a JSON object whose "ok" is
 * true; json_decref is the caller's.  Otherwise prints an error and returns
 * NULL, with *STATUS set.
 */
extern json_t *client_request (struct client *c, int *status,
                               const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

/* The same, but a reply that says no is returned as well. */
extern json_t *client_ask (struct client *c, int *status,
                           const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

/* The error of a request that the server didn't, or not wholly, do. */
extern void print_refusal (const json_t *reply);

/* One line of JSON, as it came. */
extern void print_json (const json_t *reply);

/* ---- reply.c ---- */

/* Reads fields by path ("main.size").  What is missing or of another type
 * sets BAD, with one message, and reads as zero, false or "".
 */
struct reader {
  const json_t *root;
  bool bad;
};
extern uint64_t get_uint (struct reader *r, const char *path);
extern bool get_bool (struct reader *r, const char *path);
extern const char *get_string (struct reader *r, const char *path);
extern const json_t *get_array (struct reader *r, const char *path);

/* The same in a numbered element of an array. */
extern struct reader array_reader (const json_t *array, size_t i);

/* ---- commands.c ---- */

extern int command_ping (struct ctl *, int, char **);
extern int command_remap (struct ctl *, int, char **);
extern int command_verify (struct ctl *, int, char **);
extern int command_unmap (struct ctl *, int, char **);
extern int command_retry (struct ctl *, int, char **);
extern int command_forget_lost (struct ctl *, int, char **);
extern int command_set_auto_remap (struct ctl *, int, char **);
extern int command_clear_stats (struct ctl *, int, char **);
extern int command_sync (struct ctl *, int, char **);

/* grow is for a server, or offline if --spare is given. */
extern int command_grow (struct ctl *, int, char **);

/* ---- status ---- */

struct status_rate {
  uint64_t seconds, reads, read_bytes, writes, write_bytes;
  uint64_t read_errors, write_errors, remaps, lost;
};

enum { KIND_READ, KIND_WRITE, KIND_ZERO, KIND_TRIM, KIND_CACHE, KIND_FLUSH,
       KIND_FUA, NR_KINDS };
#define NR_KINDS_WITH_BYTES KIND_FLUSH
#define NR_RATES 3

extern const char *const request_kinds[NR_KINDS];
extern const char *const rate_names[NR_RATES];

struct status {
  json_t *json;                         /* the strings belong to it */
  const char *version, *health;
  const json_t *reasons;                /* strings */
  uint64_t uptime, time, since;         /* seconds; unix; unix */
  bool auto_remap, lost_reads_zero;
  struct {
    uint64_t size, block, preferred, maximum;  /* bytes */
    bool lost;
    const char *label;
  } main;
  struct {
    const char *path, *uuid;
    uint64_t created, size;             /* unix; bytes */
    uint64_t total, used, retired, free;       /* slots */
    uint64_t log_pages, log_used;
    bool failed, full;
    uint64_t commits, flushes, checkpoints;
  } spare;
  struct {
    uint64_t remapped, lost, zero, runs, memory;
  } sectors;
  uint64_t auto_remaps, manual_remaps, weak, became_lost, recovered;
  struct { uint64_t count, bytes; } requests[NR_KINDS];
  struct { uint64_t read, write, flush, spare; } errors;
  uint64_t retries, retries_saved, lost_refused, lost_zeroed;
  uint64_t main_lost_times;
  struct status_rate rates[NR_RATES];
};

/* Takes over JSON.  False after a message. */
extern bool status_parse (struct status *st, json_t *json);
extern void status_free (struct status *st);

extern void status_print_text (const struct status *st, const char *title);
extern void status_print_dm (const struct status *st);

/* One server's status for the exposition format; JSON is NULL if it can't
 * be reached.
 */
struct scraped {
  const char *server;
  json_t *json;
};

/* False after a message: a status lacks something. */
extern bool status_print_prometheus (const struct scraped *v, size_t n);

extern int command_status (struct ctl *, int, char **);

/* ---- runs.c ---- */

/* A run of a table.  SINCE is 0 and WHY NULL where they aren't known. */
struct table_run {
  struct run run;
  uint64_t since;                       /* unix */
  const char *why;
};

/* A table: all runs that aren't DIRECT, in order, within START to END. */
struct table {
  uint64_t main_size;                   /* bytes */
  sector_t start, end;                  /* what was asked for */
  struct table_run *v;
  size_t n, cap;
};

extern const char *state_name (enum sector_state state);
extern bool state_of (const char *name, enum sector_state *state);

/* "lost,remapped": a set of bits (1 << state).  False after a message. */
extern bool parse_states (const char *s, unsigned *states);

extern void table_add (struct table *t, const struct table_run *run);
extern void table_free (struct table *t);

/* Asks the server for all pages.  COUNT 0: to the end. */
extern bool table_from_server (struct table *t, const struct ctl *ctl,
                               uint64_t start, uint64_t count, int *status);

/* The same from a spare (spare-open.c). */
extern bool table_from_spare (struct table *t, const char *path,
                              uint64_t offset, uint64_t start,
                              uint64_t count, int *status);

/* ---- table.c, table-formats.c ---- */

extern int command_table (struct ctl *, int, char **);
extern void table_print_text (const struct table *t, unsigned states);
extern void table_print_json (const struct table *t, unsigned states);
extern void table_print_csv (const struct table *t, unsigned states);
extern void table_print_mapfile (const struct table *t, unsigned states);
extern void table_print_badblocks (const struct table *t, unsigned states,
                                   uint32_t block);

/* ---- picture.c, picture-draw.c ---- */

/* The disk in equal parts; of each the worst state of its sectors. */
struct picture {
  uint64_t main_size;                   /* bytes */
  uint64_t sectors;
  uint64_t ncells;
  uint64_t totals[4];                   /* sectors, by state */
  uint8_t *cell;                        /* enum sector_state */
};

extern struct picture picture_of (const struct table *t, uint64_t ncells);
extern sector_t picture_cell_start (const struct picture *p, uint64_t cell);
extern void picture_free (struct picture *p);
extern bool picture_write (const struct picture *p, const char *title,
                           const char *path, bool svg);
extern int command_map (struct ctl *, int, char **);

/* ---- import.c ---- */

extern int command_import (struct ctl *, int, char **);

/* ---- spares that no server holds ---- */

extern int command_info (struct ctl *, int, char **);
extern int command_check (struct ctl *, int, char **);
extern int command_format (struct ctl *, int, char **);
extern int command_relabel (struct ctl *, int, char **);

/* Of grow: PATH at byte OFFSET to SIZE bytes. */
extern int spare_grow_offline (const char *path, uint64_t offset,
                               uint64_t size);

/* ---- servers.c ---- */

/* Where the files of servers are; NULL after a message. */
extern const char *run_directory (bool create);

/* Waits until nobody else starts a server or removes one's files.  The lock
 * ends with the descriptor, or this program; -1 after a message.
 */
extern int lock_run_directory (bool create);
extern bool server_name_ok (const char *name);

/* DIRECTORY/NAME.SUFFIX, new memory. */
extern char *server_path (const char *name, const char *suffix);

/* Names of all servers, sorted.  The caller frees each, and the list. */
extern size_t server_names (char ***names);

/* The process of a server, or 0 if there is none. */
extern long server_pid (const char *name);

extern int command_list (struct ctl *, int, char **);
extern int command_stop (struct ctl *, int, char **);

/* ---- create ---- */

extern int command_create (struct ctl *, int, char **);

#endif /* REMAPCTL_H */
