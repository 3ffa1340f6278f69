/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The lines of the control socket, and what its requests do: all that can
 * be tried without a server.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control-rig.h"

static struct control_request rq;
static struct message message;

static int
parse (const char *line)
{
  return control_parse (line, strlen (line), &rq, &message);
}

static bool
refused (const char *line, const char *text)
{
  if (parse (line) == EINVAL && strstr (message.text, text))
    return true;
  fprintf (stderr, "'%s': %s\n", line, message.text);
  return false;
}

static void
test_words (void)
{
  CU_ASSERT_EQUAL (parse ("ping"), 0);
  CU_ASSERT_EQUAL (rq.verb, CONTROL_PING);
  CU_ASSERT_EQUAL (parse (" \t ping\t "), 0);
  CU_ASSERT (refused ("", "empty"));
  CU_ASSERT (refused (" \t", "empty"));
  CU_ASSERT (refused ("pin", "no request 'pin'"));
  CU_ASSERT (refused ("pings", "no request 'pings'"));
  CU_ASSERT (refused ("Ping", "no request 'Ping'"));
  CU_ASSERT (refused ("ping ping", "the request is: ping"));
  CU_ASSERT (refused ("a b c d e f", "more than 5 words"));
  CU_ASSERT (refused ("ping\x7f", "byte 5 of the request is 0x7f"));
  CU_ASSERT (refused ("\xc3\xa9", "byte 1 of the request is 0xc3"));
  CU_ASSERT_EQUAL (control_parse ("ping\0", 5, &rq, &message), EINVAL);
  CU_ASSERT (strstr (message.text, "0x00") != NULL);
  /* What follows the line isn't looked at. */
  CU_ASSERT_EQUAL (control_parse ("pingrubbish", 4, &rq, &message), 0);
  CU_ASSERT_EQUAL (control_parse ("remap 12 34", 8, &rq, &message), 0);
  CU_ASSERT_EQUAL (rq.start, 12);
  CU_ASSERT_EQUAL (rq.count, 1);
  for (unsigned v = 0; control_usage (v); v++)
    CU_ASSERT (strlen (control_usage (v)) > 3);
  CU_ASSERT_PTR_NULL (control_usage (NR_CONTROL_VERBS));
}

static void
test_numbers (void)
{
  CU_ASSERT_EQUAL (parse ("remap 0"), 0);
  CU_ASSERT_EQUAL (parse ("remap 010 0x10"), 0);
  CU_ASSERT_EQUAL (rq.start, 10);
  CU_ASSERT_EQUAL (rq.count, 16);
  CU_ASSERT_EQUAL (parse ("remap 0XfF 1"), 0);
  CU_ASSERT_EQUAL (rq.start, 255);
  CU_ASSERT_EQUAL (parse ("table"), 0);
  CU_ASSERT_EQUAL (rq.count, 0);
  CU_ASSERT_EQUAL (parse ("table 5"), 0);
  CU_ASSERT_EQUAL (rq.count, 0);
  CU_ASSERT_EQUAL (parse ("retry"), 0);
  CU_ASSERT_EQUAL (rq.count, 0);
  CU_ASSERT_EQUAL (parse ("retry 5"), 0);
  CU_ASSERT_EQUAL (rq.count, 1);
  CU_ASSERT_EQUAL (parse ("import lost 7 2"), 0);
  CU_ASSERT (rq.lost && rq.start == 7 && rq.count == 2);
  CU_ASSERT_EQUAL (parse ("import remap 7"), 0);
  CU_ASSERT (!rq.lost && rq.start == 7 && rq.count == 1);
  CU_ASSERT (refused ("import 7", "the request is: import lost|remap"));
  CU_ASSERT (refused ("import found 7", "'found'"));
  CU_ASSERT (refused ("remap", "the request is: remap START [COUNT]"));
  CU_ASSERT (refused ("remap -1", "'-1'"));
  CU_ASSERT (refused ("remap +1", "'+1'"));
  CU_ASSERT (refused ("remap 1 0", "at least 1"));
  CU_ASSERT (refused ("remap 0x", "'0x'"));
  CU_ASSERT (refused ("remap 0xg", "'0xg'"));
  CU_ASSERT (refused ("remap 12a", "'12a'"));
  CU_ASSERT (refused ("remap 18446744073709551615", "too large"));
  CU_ASSERT (refused ("remap 18446744073709551616", "too large"));
  CU_ASSERT (refused ("remap 0x10000000000000000", "too large"));
  CU_ASSERT (refused ("remap 1 99999999999999999999999999999999", "too large"));
  CU_ASSERT (refused ("remap 99999999999999999999x", "not '9999"));
}

/* import takes many ranges, the others one. */
static void
test_many_ranges (void)
{
  char line[4096] = "import lost";
  size_t len = strlen (line);

  CU_ASSERT_EQUAL (parse ("import lost 7 2 0x10 3 1 1"), 0);
  CU_ASSERT (rq.lost && rq.nr_ranges == 3);
  CU_ASSERT (rq.range[1].start == 16 && rq.range[1].count == 3);
  CU_ASSERT (rq.range[2].start == 1 && rq.range[2].count == 1);
  CU_ASSERT_EQUAL (control_check_range (&rq, 19, &message), 0);
  CU_ASSERT_EQUAL (control_check_range (&rq, 18, &message), EINVAL);
  CU_ASSERT (refused ("import lost 7 2 9", "the request is: import lost|"));
  CU_ASSERT (refused ("import lost 7 2 9 0", "at least 1"));
  CU_ASSERT (refused ("import lost 7 2 9 -1", "'-1'"));
  CU_ASSERT (refused ("import 7 2 9 1 4", "as '7'"));
  CU_ASSERT (refused ("remap 7 2 9 1", "the request is: remap START [COUNT]"));
  CU_ASSERT_EQUAL (parse ("remap 7 2"), 0);
  CU_ASSERT_EQUAL (rq.nr_ranges, 1);
  CU_ASSERT_EQUAL (parse ("ping"), 0);
  CU_ASSERT_EQUAL (rq.nr_ranges, 0);

  for (unsigned i = 0; i < CONTROL_MAX_RANGES; i++)
    len += snprintf (line + len, sizeof line - len, " %u 1", i);
  CU_ASSERT_EQUAL (parse (line), 0);
  CU_ASSERT_EQUAL (rq.nr_ranges, CONTROL_MAX_RANGES);
  CU_ASSERT_EQUAL (rq.range[255].start, 255);
  CU_ASSERT_EQUAL (control_check_range (&rq, 255, &message), EINVAL);
  CU_ASSERT (strstr (message.text, "sector 255 isn't there") != NULL);
  strcat (line, " 1 1");
  CU_ASSERT (refused (line, "more than 514 words"));
}

static void
test_sizes_and_switches (void)
{
  static const struct {
    const char *text;
    uint64_t size;
  } sizes[] = {
    { "1", 1 }, { "1b", 1 }, { "2k", 2048 }, { "2K", 2048 }, { "0x10", 16 },
    { "3M", 3 * MIB }, { "1g", 1024 * MIB }, { "7s", 3584 },
    { "1T", MIB * MIB }, { "1p", KIB * MIB * MIB },
    { "7E", 7 * MIB * MIB * MIB },
    { "9223372036854775807", INT64_MAX },
  };
  char line[64];

  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    snprintf (line, sizeof line, "grow %s", sizes[i].text);
    CU_ASSERT_EQUAL (parse (line), 0);
    CU_ASSERT_EQUAL (rq.size, sizes[i].size);
  }
  CU_ASSERT (refused ("grow", "the request is: grow SIZE"));
  CU_ASSERT (refused ("grow 0", "out of range"));
  CU_ASSERT (refused ("grow 8E", "out of range"));
  CU_ASSERT (refused ("grow 9223372036854775808", "out of range"));
  CU_ASSERT (refused ("grow 1MB", "SIZE must be"));
  CU_ASSERT (refused ("grow 1z", "SIZE must be"));
  CU_ASSERT (refused ("grow M", "SIZE must be"));
  CU_ASSERT (refused ("grow -1", "SIZE must be"));
  CU_ASSERT_EQUAL (parse ("set_auto_remap 1"), 0);
  CU_ASSERT (rq.on);
  CU_ASSERT_EQUAL (parse ("set_auto_remap 0"), 0);
  CU_ASSERT (!rq.on);
  CU_ASSERT (refused ("set_auto_remap 01", "'01'"));
  CU_ASSERT (refused ("set_auto_remap", "set_auto_remap 0|1"));
}

static void
test_ranges (void)
{
  CU_ASSERT_EQUAL (parse ("remap 9 1"), 0);
  CU_ASSERT_EQUAL (control_check_range (&rq, 10, &message), 0);
  CU_ASSERT_EQUAL (control_check_range (&rq, 9, &message), EINVAL);
  CU_ASSERT_EQUAL (parse ("remap 9 2"), 0);
  CU_ASSERT_EQUAL (control_check_range (&rq, 10, &message), EINVAL);
  CU_ASSERT_EQUAL (parse ("table 4"), 0);
  CU_ASSERT_EQUAL (control_check_range (&rq, 10, &message), 0);
  CU_ASSERT_EQUAL (rq.count, 6);
  CU_ASSERT_EQUAL (parse ("retry"), 0);
  CU_ASSERT_EQUAL (control_check_range (&rq, 10, &message), 0);
  CU_ASSERT_EQUAL (rq.count, 10);
  CU_ASSERT_EQUAL (parse ("ping"), 0);
  CU_ASSERT_EQUAL (control_check_range (&rq, 10, &message), 0);
}

static json_t *
ask (struct control_rig *c, const char *line)
{
  char *text = control_line (c, line, strlen (line));
  json_t *reply;

  CU_ASSERT_PTR_NOT_NULL_FATAL (text);
  CU_ASSERT_EQUAL (text[strlen (text) - 1], '\n');
  reply = json_loads (text, JSON_REJECT_DUPLICATES, NULL);
  CU_ASSERT_PTR_NOT_NULL_FATAL (reply);
  free (text);
  return reply;
}

/* The reply, as text without blanks, is this. */
static bool
replies (struct control_rig *c, const char *line, const char *wanted)
{
  char *text = control_line (c, line, strlen (line));
  bool same;

  CU_ASSERT_PTR_NOT_NULL_FATAL (text);
  text[strlen (text) - 1] = '\0';
  same = strcmp (text, wanted) == 0;
  if (!same)
    fprintf (stderr, "'%s': %s\n", line, text);
  free (text);
  return same;
}

/* The phases of a request that has been told of, which is REQUEST. */
static const char *
phases (struct control_rig *c, const char *request)
{
  static char text[100];
  struct event e;
  uint64_t first, from;

  text[0] = '\0';
  events_bounds (c->t.events, &first, &from);
  json_decref (ask (c, request));
  for (; events_next (c->t.events, from, &e); from = e.number + 1) {
    if (strcmp (event_kind_name (e.kind), "job.phase") != 0)
      continue;
    CU_ASSERT_EQUAL (strncmp (e.subject, request, strcspn (request, " ")), 0);
    snprintf (text + strlen (text), sizeof text - strlen (text), "%s ", e.to);
  }
  return text;
}

static void
test_phases (void)
{
  struct control_rig c;

  control_rig_init (&c, NULL);
  CU_ASSERT_STRING_EQUAL (phases (&c, "verify 0 8192"), "");
  atomic_store (&c.told, true);
  CU_ASSERT_STRING_EQUAL (phases (&c, "verify 0 8192"), "25 % 50 % 75 % ");
  CU_ASSERT_STRING_EQUAL (phases (&c, "verify 4096 2048"), "25 % 50 % 75 % ");
  CU_ASSERT_STRING_EQUAL (phases (&c, "verify 0 8"), "");
  CU_ASSERT_STRING_EQUAL (phases (&c, "remap 0 1024"), "25 % 50 % 75 % ");
  CU_ASSERT_STRING_EQUAL (phases (&c, "unmap 0 1024"), "25 % 50 % 75 % ");
  /* Ranges; and what isn't LOST is passed over at once. */
  CU_ASSERT_STRING_EQUAL (phases (&c, "import lost 10 1 20 1 4100 1 30 1"),
                          "25 % 50 % 75 % ");
  CU_ASSERT_STRING_EQUAL (phases (&c, "retry 0 8192"), "50 % ");
  control_rig_end (&c);
}

static void
test_operations (void)
{
  struct control_rig c;

  control_rig_init (&c, NULL);
  sim_bad (c.r.main, SIM_ALL, 12, 2, EIO);
  sim_bad (c.r.main, SIM_ALL, 15, 1, EIO);
  CU_ASSERT (replies (&c, "remap 10 6", "{\"ok\":true,\"done\":6,\"left\":0,"
                      "\"lost\":3,\"runs\":[{\"start\":12,\"count\":2},"
                      "{\"start\":15,\"count\":1}],\"more\":false}"));
  CU_ASSERT (replies (&c, "verify 11 3", "{\"ok\":true,\"checked\":3,"
                      "\"bad\":2,\"runs\":[{\"start\":12,\"count\":2}],"
                      "\"more\":false}"));
  CU_ASSERT (replies (&c, "forget-lost 10 3",
                      "{\"ok\":true,\"done\":1,\"left\":2}"));
  CU_ASSERT (replies (&c, "unmap 10 4", "{\"ok\":true,\"done\":2,\"left\":1,"
                      "\"bad\":1,\"runs\":[{\"start\":12,\"count\":1}],"
                      "\"more\":false}"));
  CU_ASSERT (replies (&c, "retry", "{\"ok\":true,\"done\":0,\"left\":8190,"
                      "\"bad\":2,\"runs\":[{\"start\":13,\"count\":1},"
                      "{\"start\":15,\"count\":1}],\"more\":false}"));
  CU_ASSERT (replies (&c, "import lost 15 2", "{\"ok\":true,\"done\":1,"
                      "\"left\":1,\"lost\":1,\"runs\":[],\"more\":false}"));
  CU_ASSERT (replies (&c, "import lost 17 1 40 2 17 1 16 2",
                      "{\"ok\":true,\"done\":3,\"left\":3,"
                      "\"lost\":3,\"runs\":[],\"more\":false}"));
  CU_ASSERT (replies (&c, "import lost 30 1 8192 1", "{\"ok\":false,"
                      "\"error\":\"sector 8192 isn't there: main has 8192 "
                      "sectors\"}"));
  CU_ASSERT_EQUAL (map_lookup (c.r.map, 30, 1).state, DIRECT);
  CU_ASSERT (replies (&c, "sync", "{\"ok\":true}"));
  CU_ASSERT (replies (&c, "grow 1M", "{\"ok\":false,\"error\":\"the spare "
                      "can't be made 1048576 bytes large: it has "
                      "16777216\"}"));
  CU_ASSERT (replies (&c, "remap 8192", "{\"ok\":false,\"error\":\"sector "
                      "8192 isn't there: main has 8192 sectors\"}"));

  /* Main can't be had: nothing is done, unless main isn't needed. */
  c.refuse_main = true;
  CU_ASSERT (replies (&c, "remap 20", "{\"ok\":false,\"error\":\"main is "
                      "refused\"}"));
  CU_ASSERT (replies (&c, "sync", "{\"ok\":false,\"error\":\"main is "
                      "refused\"}"));
  CU_ASSERT (replies (&c, "forget-lost 20",
                      "{\"ok\":true,\"done\":0,\"left\":1}"));
  c.refuse_main = false;
  c.refuse_writing = true;
  CU_ASSERT (replies (&c, "unmap 10", "{\"ok\":false,\"error\":\"main is "
                      "refused\"}"));
  c.refuse_writing = false;

  /* Stopped, and why. */
  atomic_store (&c.stop, true);
  CU_ASSERT (replies (&c, "remap 20", "{\"ok\":false,\"error\":\"stopped: the "
                      "server is ending, or whoever asked has gone\",\"done\":"
                      "0,\"left\":0,\"lost\":0,\"runs\":[],\"more\":false}"));
  atomic_store (&c.stop, false);
  c.wanted = true;
  CU_ASSERT (replies (&c, "verify 20", "{\"ok\":false,\"error\":\"stopped: a "
                      "client connects, and the plugin serves one connection "
                      "at a time\",\"checked\":0,\"bad\":0,\"runs\":[],"
                      "\"more\":false}"));
  c.wanted = false;
  CU_ASSERT_EQUAL (map_lookup (c.r.map, 20, 1).state, DIRECT);

  /* Midway: the spare is full. */
  json_t *reply = ask (&c, "remap 0 8192");
  CU_ASSERT (json_is_true (json_object_get (reply, "ok")));
  json_decref (reply);
  control_rig_end (&c);
}

/* The map request: the sums, where cells begin, and what is refused. */
static void
test_map (void)
{
  struct control_rig c;
  json_t *reply;

  CU_ASSERT_EQUAL (parse ("map 16384"), 0);
  CU_ASSERT_EQUAL (rq.cells, 16384);
  CU_ASSERT_EQUAL (parse ("map 0x10"), 0);
  CU_ASSERT_EQUAL (rq.cells, 16);
  CU_ASSERT_EQUAL (parse ("map"), EINVAL);
  CU_ASSERT_EQUAL (parse ("map 0"), EINVAL);
  CU_ASSERT_EQUAL (parse ("map 16385"), EINVAL);
  CU_ASSERT_EQUAL (parse ("map 18446744073709551616"), EINVAL);
  CU_ASSERT_EQUAL (parse ("map -1"), EINVAL);
  CU_ASSERT_EQUAL (parse ("map 5s"), EINVAL);
  CU_ASSERT_EQUAL (parse ("map 5 0"), EINVAL);

  control_rig_init (&c, NULL);
  CU_ASSERT (replies (&c, "map 3", "{\"ok\":true,\"size\":4194304,\"cells\":3,"
                      "\"remapped\":0,\"lost\":0,\"zero\":0,"
                      "\"counts\":[]}"));
  /* 8192 sectors: cells begin at 0, 2730 and 5461. */
  json_decref (ask (&c, "import lost 2728 4"));
  json_decref (ask (&c, "remap 5460 1"));
  json_decref (ask (&c, "forget-lost 2729"));
  json_decref (ask (&c, "import lost 8191"));
  CU_ASSERT (replies (&c, "map 3", "{\"ok\":true,\"size\":4194304,\"cells\":3,"
                      "\"remapped\":1,\"lost\":4,\"zero\":1,"
                      "\"counts\":[[0,0,1,1],[1,1,2,0],[2,0,1,0]]}"));
  CU_ASSERT (replies (&c, "map 1", "{\"ok\":true,\"size\":4194304,\"cells\":1,"
                      "\"remapped\":1,\"lost\":4,\"zero\":1,"
                      "\"counts\":[[0,1,4,1]]}"));
  /* No cell is less than a sector. */
  reply = ask (&c, "map 16384");
  CU_ASSERT_EQUAL (json_integer_value (json_object_get (reply, "cells")),
                   8192);
  CU_ASSERT_EQUAL (json_array_size (json_object_get (reply, "counts")), 6);
  json_decref (reply);
  /* A run over many cells. */
  json_decref (ask (&c, "import lost 0 8192"));
  reply = ask (&c, "map 1000");
  CU_ASSERT_EQUAL (json_array_size (json_object_get (reply, "counts")), 1000);
  CU_ASSERT_EQUAL (json_integer_value (json_object_get (reply, "lost")), 8190);
  json_decref (reply);
  atomic_store (&c.stop, true);
  CU_ASSERT (replies (&c, "map 3", "{\"ok\":false,\"error\":\"stopped: the "
                      "server is ending, or whoever asked has gone\"}"));
  control_rig_end (&c);
}

static void
test_stops_midway (void)
{
  const struct rig_options o = { .spare_size = MIB };
  struct spare_status st;
  struct control_rig c;
  json_t *reply;

  control_rig_init (&c, &o);
  spare_get_status (c.r.spare, &st);
  reply = ask (&c, "remap 0 8192");
  CU_ASSERT (json_is_false (json_object_get (reply, "ok")));
  CU_ASSERT (strstr (json_string_value (json_object_get (reply, "error")),
                     "no room") != NULL);
  CU_ASSERT_EQUAL (json_integer_value (json_object_get (reply, "done")),
                   (json_int_t) st.slots_free);
  json_decref (reply);
  control_rig_end (&c);
}

/* Pages of 1,000 runs; together they are the map. */
static void
test_table (void)
{
  struct control_rig c;
  json_t *reply, *runs, *next, *run;
  sector_t expected = 0;
  unsigned pages = 0;
  char line[64];

  control_rig_init (&c, NULL);
  CU_ASSERT (replies (&c, "table", "{\"ok\":true,\"runs\":[],\"next\":null}"));
  for (sector_t s = 0; s < 4002; s += 2)
    set_state (&c.r, s, 1, LOST, 0);
  snprintf (line, sizeof line, "table");
  do {
    reply = ask (&c, line);
    runs = json_object_get (reply, "runs");
    CU_ASSERT_EQUAL (json_array_size (runs), pages < 2 ? 1000 : 1);
    for (size_t i = 0; i < json_array_size (runs); i++, expected += 2) {
      run = json_array_get (runs, i);
      CU_ASSERT_EQUAL (json_integer_value (json_object_get (run, "start")),
                       (json_int_t) expected);
      CU_ASSERT (json_is_null (json_object_get (run, "slot")));
    }
    next = json_object_get (reply, "next");
    CU_ASSERT_EQUAL (json_is_null (next), pages == 2);
    snprintf (line, sizeof line, "table %lld",
              (long long) json_integer_value (next));
    pages++;
  } while (pages < 3 && (json_decref (reply), true));
  json_decref (reply);
  CU_ASSERT_EQUAL (expected, 4002);

  /* Exactly a page; clipped; a run that continues beyond the page. */
  reply = ask (&c, "table 0 2000");
  CU_ASSERT (json_is_null (json_object_get (reply, "next")));
  json_decref (reply);
  set_state (&c.r, 5000, 10, REMAPPED, 2);
  reply = ask (&c, "table 5003 4");
  run = json_array_get (json_object_get (reply, "runs"), 0);
  CU_ASSERT_EQUAL (json_integer_value (json_object_get (run, "start")), 5003);
  CU_ASSERT_EQUAL (json_integer_value (json_object_get (run, "count")), 4);
  CU_ASSERT_EQUAL (json_integer_value (json_object_get (run, "slot")), 3);
  CU_ASSERT_STRING_EQUAL (json_string_value (json_object_get (run, "state")),
                          "remapped");
  json_decref (reply);
  control_rig_end (&c);
}

static uint64_t
rate_of (struct control_rig *c, const char *window, const char *key)
{
  json_t *s = control_status (&c->t), *w;
  uint64_t n;

  w = json_object_get (json_object_get (s, "rates"), window);
  n = json_integer_value (json_object_get (w, key));
  json_decref (s);
  return n;
}

/* Rates: from the oldest sample that isn't older than the window. */
static void
test_rates (void)
{
  const uint64_t start = clock_now_ms () - 7200 * 1000;
  struct control_rig c;

  control_rig_init (&c, NULL);
  CU_ASSERT_EQUAL (rate_of (&c, "60m", "seconds"), 0);
  /* As if the server had been started two hours ago, and a sector had been
   * read every five seconds.
   */
  c.t.samples[c.t.newest].ms = start;
  for (unsigned i = 1; i < 7200 / 5; i++) {
    CU_ASSERT_EQUAL (rig_read (&c.r, 0, 512, 1), 0);
    control_target_sample (&c.t, start + i * 5000);
  }
  CU_ASSERT_EQUAL (c.t.nr_samples, CONTROL_SAMPLES);
  for (unsigned m = 1; m <= 60; m += m == 1 ? 14 : 45) {
    const char *window = m == 1 ? "1m" : m == 15 ? "15m" : "60m";
    uint64_t seconds = rate_of (&c, window, "seconds");

    CU_ASSERT (seconds <= m * 60 && seconds >= m * 60 - 5);
    CU_ASSERT_EQUAL (rate_of (&c, window, "reads"), seconds / 5 - 1);
    CU_ASSERT_EQUAL (rate_of (&c, window, "read_bytes"),
                     (seconds / 5 - 1) * 512);
  }
  /* Clearing what is counted doesn't change them. */
  c.t.since = 5;
  json_decref (ask (&c, "clear_stats"));
  CU_ASSERT (c.t.since > 5);
  CU_ASSERT (rate_of (&c, "60m", "reads") > 700 &&
             rate_of (&c, "60m", "reads") <= 720);
  control_rig_end (&c);
}

/* Each allocation of jansson's fails in turn: no crash, and what is sent is
 * still JSON.
 */
static long fail_at;

static void *
failing_malloc (size_t size)
{
  return fail_at > 0 && --fail_at == 0 ? NULL : malloc (size);
}

static void
test_no_memory (void)
{
  static const char *const lines[] = {
    "ping", "help", "status", "table", "verify 10 10", "remap 8192", "frob",
    "sync", "retry", "set_auto_remap 1", "grow 1", "clear_stats",
  };
  struct control_rig c;
  json_t *json;
  char *text;

  control_rig_init (&c, NULL);
  set_state (&c.r, 10, 3, LOST, 0);
  set_state (&c.r, 20, 3, REMAPPED, 2);
  json_set_alloc_funcs (failing_malloc, free);
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
    for (long n = 1;; n++) {
      fail_at = n;
      text = control_line (&c, lines[i], strlen (lines[i]));
      if (fail_at > 0) {
        fail_at = 0;
        free (text);
        break;
      }
      if (text) {
        json = json_loads (text, 0, NULL);
        CU_ASSERT_PTR_NOT_NULL (json);
        json_decref (json);
      }
      free (text);
    }
  json_set_alloc_funcs (malloc, free);
  control_rig_end (&c);
}

static void
test_text (void)
{
  json_t *text = control_text ("caf\xc3\xa9"), *bad = control_text ("a\xff/b");

  CU_ASSERT_STRING_EQUAL (json_string_value (text), "caf\xc3\xa9");
  CU_ASSERT_STRING_EQUAL (json_string_value (bad), "a?/b");
  json_decref (text);
  json_decref (bad);
}

/* A hold ends by itself after ten minutes, renewed or not; each has its own
 * (promise 38 of remap-promises(7)).
 */
static void
test_background (void)
{
  struct background_holder h[BACKGROUND_HOLDERS];
  struct background b;
  char name[8];
  bool news;

  background_init (&b);
  CU_ASSERT (!background_held (&b, 1000));
  CU_ASSERT (background_hold (&b, "a", 1000, &news) && news);
  CU_ASSERT (background_held (&b, 1000 + BACKGROUND_HOLD_MS - 1));
  CU_ASSERT (!background_held (&b, 1000 + BACKGROUND_HOLD_MS));
  CU_ASSERT (background_hold (&b, "a", 5000, &news) && !news);
  CU_ASSERT (background_held (&b, 5000 + BACKGROUND_HOLD_MS - 1));
  CU_ASSERT (!background_held (&b, 5000 + BACKGROUND_HOLD_MS));
  CU_ASSERT (!background_release (&b, "b", 6000));
  CU_ASSERT (background_hold (&b, "b", 7000, &news) && news);
  CU_ASSERT_EQUAL (background_holders (&b, 8000, h), 2);
  CU_ASSERT (background_release (&b, "a", 8000));
  CU_ASSERT (!background_release (&b, "a", 8000));
  CU_ASSERT_EQUAL (background_holders (&b, 8000, h), 1);
  CU_ASSERT_STRING_EQUAL (h[0].name, "b");
  CU_ASSERT_EQUAL (h[0].until_ms, 7000 + BACKGROUND_HOLD_MS);

  /* As many as there can be, and one whose time is over makes room. */
  for (unsigned i = 1; i < BACKGROUND_HOLDERS; i++) {
    snprintf (name, sizeof name, "n%u", i);
    CU_ASSERT (background_hold (&b, name, 9000, &news) && news);
  }
  CU_ASSERT (!background_hold (&b, "c", 9000, &news));
  CU_ASSERT (background_hold (&b, "n1", 9000, &news) && !news);
  CU_ASSERT (background_hold (&b, "c", 7000 + BACKGROUND_HOLD_MS, &news));
  CU_ASSERT (news);
  background_destroy (&b);
}

/* Whoever may only watch can hold work up and let it go on as often as it
 * likes.  That doesn't push out what others have to know.
 */
static void
test_many_holds (void)
{
  struct control_rig c;
  uint64_t first, next, kept;
  struct event e;

  control_rig_init (&c, NULL);
  events_bounds (c.t.events, &first, &kept);
  events_tell (c.t.events, EVENT_MAIN_LOST, "main is lost");
  for (unsigned i = 0; i < 5000; i++) {
    json_decref (ask (&c, "background hold a"));
    json_decref (ask (&c, "background release a"));
  }
  events_tick (c.t.events, true);
  events_bounds (c.t.events, &first, &next);
  CU_ASSERT (next - kept >= 20);
  CU_ASSERT (next - kept <= EVENTS_KEPT / 4);
  CU_ASSERT (events_next (c.t.events, kept, &e));
  CU_ASSERT_EQUAL (e.number, kept);
  CU_ASSERT_EQUAL (e.kind, EVENT_MAIN_LOST);
  /* Each is told of, and the last one says how it is. */
  for (kept = 0; events_next (c.t.events, e.number + 1, &e);)
    kept += e.times;
  CU_ASSERT_EQUAL (kept, 10000);
  CU_ASSERT_STRING_EQUAL (event_kind_name (e.kind), "config");
  CU_ASSERT_STRING_EQUAL (e.to, "released");
  control_rig_end (&c);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "words", test_words },
    { "numbers", test_numbers },
    { "many ranges", test_many_ranges },
    { "sizes and switches", test_sizes_and_switches },
    { "ranges", test_ranges },
    { "operations", test_operations },
    { "phases (promise 38)", test_phases },
    { "map", test_map },
    { "stops midway", test_stops_midway },
    { "table", test_table },
    { "rates", test_rates },
    { "no memory", test_no_memory },
    { "text", test_text },
    { "background work on hold", test_background },
    { "holds without end (promise 38)", test_many_holds },
    { NULL }
  };

  return run_tests (argc, argv, "control", tests);
}
