/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * libFuzzer's input as lines of the control socket: each is parsed, and
 * what is a request is executed, over disks in memory of which some sectors
 * are bad.  Besides what the sanitizers see: a line that isn't a request
 * changes nothing, each reply is one line of JSON with "ok", and what is
 * refused says why.
 *
 * FUZZ_PARSE_ONLY=1: requests are not executed, for more lines a second.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/background.h"
#include "control/requests.h"
#include "control/status.h"
#include "engine/events.h"
#include "memdev.h"
#include "simdisk.h"

#define MAIN_SIZE ((UINT64_C (1) << 20) + 700)  /* bytes; an odd tail */
#define SPARE_SIZE (UINT64_C (1) << 20)

static struct simdisk *disk;
static struct memdev *mem;
static struct map *map;
static struct spare *spare;
static struct engine *engine;
static struct engine_conn conn;
static struct events *events;
static struct background background;
static struct control_target target;
static bool parse_only;

static void
check (bool ok, const char *what)
{
  if (!ok) {
    fprintf (stderr, "fuzz-control: %s\n", what);
    abort ();
  }
}

static int
get_main (void *opaque, bool write, struct engine_conn **c,
          struct message *message)
{
  *c = &conn;
  return 0;
}

static void
put_main (void *opaque)
{
}

static int
grow (void *opaque, uint64_t size, struct message *message)
{
  if (size > mem->size) {
    message_set (message, "there is no more room");
    return ENOSPC;
  }
  return spare_grow (spare, size, message);
}

static void
set_up (void)
{
  const struct events_config none = { 0 };
  struct engine_config config = {
    .main_size = MAIN_SIZE, .main_block = 512, .retries = 1,
    .auto_remap = true,
  };
  struct spare_identity id = { .main_size = MAIN_SIZE };
  static const struct spare_env env;
  struct message message;

  disk = sim_new (MAIN_SIZE, 512);
  sim_bad (disk, SIM_READ, 100, 3, EIO);
  sim_bad (disk, SIM_MODIFY, 102, 3, EIO);
  mem = memdev_new (2 * SPARE_SIZE);
  memdev_record (mem, false);
  map = map_new ();
  check (map && spare_format (&mem->dev, SPARE_SIZE, false, &id, &env, map,
                              &spare, &message) == 0, "format");
  events = config.events = events_new (&none);
  check (events != NULL, "events");
  engine = engine_new (&config, map, spare);
  check (engine != NULL, "engine");
  background_init (&background);
  engine_conn_init (&conn, engine, &disk->dev);
  target = (struct control_target) {
    .engine = engine, .spare = spare, .map = map,
    .events = events, .background = &background,
    .history = spare_history_new (spare, map),
    .version = "0",
    .spare_path = "spare", .get_main = get_main, .put_main = put_main,
    .grow = grow,
  };
  check (target.history && control_target_init (&target) == 0, "target");
}

static void
tear_down (void)
{
  control_target_free (&target);
  spare_history_free (target.history);
  engine_free (engine);
  events_free (events);
  background_destroy (&background);
  spare_close (spare);
  map_free (map);
  memdev_free (mem);
  check (disk->violations == 0, "an improper access to main");
  sim_free (disk);
}

/* A reply that has been made, as whoever asked will see it. */
static void
check_reply (char *line, size_t len)
{
  json_t *ok, *again;

  check (line != NULL, "no reply");
  check (memchr (line, '\n', len) == line + len - 1, "not one line");
  again = json_loadb (line, len, JSON_REJECT_DUPLICATES, NULL);
  check (again != NULL, "no JSON");
  ok = json_object_get (again, "ok");
  check (json_is_boolean (ok), "no \"ok\"");
  check (json_is_true (ok) ||
         json_string_length (json_object_get (again, "error")) > 0,
         "no \"error\"");
  json_decref (again);
  free (line);
}

static void
one_line (const char *line, size_t len)
{
  static const atomic_bool stop;
  struct control_request rq;
  struct message message;
  char *reply;

  if (control_parse (line, len, &rq, &message) != 0) {
    check (message.text[0] != '\0', "an error without a message");
    if (!parse_only)
    {
      reply = control_encode (control_error (message.text), &len);
      check_reply (reply, len);
    }
    return;
  }
  check (rq.verb < NR_CONTROL_VERBS, "an unknown verb");
  check (rq.size <= INT64_MAX && rq.start < UINT64_C (1) << 55 &&
         rq.count < UINT64_C (1) << 55 && rq.since <= INT64_MAX,
         "a number out of range");
  check (rq.nr_ranges <= CONTROL_MAX_RANGES, "too many ranges");
  for (unsigned i = 0; i < rq.nr_ranges; i++)
    check (rq.range[i].start < UINT64_C (1) << 55 &&
           rq.range[i].count < UINT64_C (1) << 55, "a range out of range");
  if (parse_only) {
    control_check_range (&rq, bytes_to_sectors (MAIN_SIZE), &message);
    return;
  }
  reply = control_execute (&target, &rq, &stop, &stop, &len);
  check_reply (reply, len);
}

extern int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *p = (const char *) data, *end = p + size, *newline;
  char *line;
  size_t len;

  parse_only = getenv ("FUZZ_PARSE_ONLY") != NULL;
  if (!parse_only)
    set_up ();
  for (; p < end; p = newline + 1) {
    newline = memchr (p, '\n', end - p);
    if (newline == NULL)
      newline = end;
    /* An exact copy, so that reading beyond it is seen. */
    len = newline - p;
    line = malloc (len);
    if (len > 0)
      memcpy (line, p, len);
    one_line (line, len);
    free (line);
  }
  if (!parse_only)
    tear_down ();
  return 0;
}
