/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "client.h"
#include "exit-status.h"
#include "forecast.h"
#include "ranges.h"
#include "reply.h"
#include "text.h"
#include "units.h"

/* Sectors of a part of a request: 2 GiB. */
#define PART (UINT64_C (1) << 22)

/* Runs that are listed; no reply has more. */
#define MAX_RUNS 100

/* A request that takes a range; PRINT shows its reply. */
struct range_request {
  const char *word;
  int min;                              /* arguments that are needed */
  void (*print) (struct reader *r);
  bool checks;                          /* there is --check */
  bool asks;                            /* there are --dry-run and --yes */
};

struct range_arguments {
  int n;                                /* how many were given */
  uint64_t start, count;                /* sectors; count 0: not given */
  bool check, dry_run, yes;
};

/* Prints the runs of sectors that a reply lists. */
static void
print_runs (struct reader *r, const char *what)
{
  const json_t *runs = json_object_get (r->root, "runs");
  uint64_t start, count;

  if (runs == NULL)
    return;
  runs = get_array (r, "runs");
  for (size_t i = 0; runs && i < json_array_size (runs); i++) {
    struct reader run = array_reader (runs, i);

    start = get_uint (&run, "start");
    count = get_uint (&run, "count");
    r->bad |= run.bad;
    if (run.bad)
      return;
    printf ("  %s: %" PRIu64, what, start);
    if (count != 1)
      printf (" + %" PRIu64, count);
    putchar ('\n');
  }
  if (json_is_true (json_object_get (r->root, "more")))
    printf ("  ... and more\n");
}

static void
print_remap (struct reader *r)
{
  const uint64_t done = get_uint (r, "done"), left = get_uint (r, "left");
  const uint64_t lost = get_uint (r, "lost");

  if (r->bad)
    return;
  printf ("%s moved to the spare", show_count (done - lost, "sector").s);
  if (lost)
    printf (", %s could not be read and %s LOST now",
            show_count (lost, "sector").s, lost == 1 ? "is" : "are");
  if (left)
    printf (", %s left as %s (not DIRECT before)",
            show_count (left, "sector").s, left == 1 ? "it is" : "they are");
  putchar ('\n');
  print_runs (r, "LOST");
}

static void
print_verify (struct reader *r)
{
  const uint64_t checked = get_uint (r, "checked"), bad = get_uint (r, "bad");

  if (r->bad)
    return;
  printf ("%s read", show_count (checked, "sector").s);
  if (bad)
    printf (", %s bad: unreadable or LOST\n", show_count (bad, "sector").s);
  else
    printf (", all of them good\n");
  print_runs (r, "bad");
}

static void
print_unmap (struct reader *r)
{
  const uint64_t done = get_uint (r, "done"), left = get_uint (r, "left");
  const uint64_t bad = get_uint (r, "bad");

  if (r->bad)
    return;
  printf ("%s given back to the disk", show_count (done, "sector").s);
  if (bad)
    printf (", %s stayed in the spare: the disk does not return what was "
            "written there", show_count (bad, "sector").s);
  if (left)
    printf (", %s left as %s (DIRECT, or LOST)",
            show_count (left, "sector").s, left == 1 ? "it is" : "they are");
  putchar ('\n');
  print_runs (r, "not given back");
}

static void
print_retry (struct reader *r)
{
  const uint64_t done = get_uint (r, "done"), bad = get_uint (r, "bad");

  get_uint (r, "left");
  if (r->bad)
    return;
  printf ("%s recovered, %" PRIu64 " still LOST\n",
          show_count (done, "sector").s, bad);
  print_runs (r, "LOST");
}

static void
print_forget (struct reader *r)
{
  const uint64_t done = get_uint (r, "done"), left = get_uint (r, "left");

  if (r->bad)
    return;
  printf ("%s LOST, and zeroes from now on", show_count (done, "sector").s);
  if (left)
    printf ("; %s not LOST and left as %s", show_count (left, "sector").s,
            left == 1 ? "it is" : "they are");
  putchar ('\n');
}

/* Adds the reply about a part of a range to TOTAL, which is about all of it:
 * numbers are added up, lists are joined.
 */
static void
add_reply (json_t *total, json_t *reply)
{
  json_t *value, *sum, *run;
  const char *key;
  size_t i;

  json_object_foreach (reply, key, value) {
    sum = json_object_get (total, key);
    if (sum == NULL)
      json_object_set (total, key, value);
    else if (json_is_integer (sum) && json_is_integer (value))
      json_integer_set (sum, json_integer_value (sum) +
                        json_integer_value (value));
    else if (json_is_array (sum) && json_is_array (value)) {
      json_array_foreach (value, i, run)
        if (json_array_size (sum) < MAX_RUNS)
          json_array_append (sum, run);
        else
          json_object_set_new (total, "more", json_true ());
    }
    else if (json_is_true (value) && strcmp (key, "more") == 0)
      json_object_set_new (total, "more", json_true ());
  }
}

static json_t *
ask_in_parts (struct ctl *ctl, const char *word, uint64_t start,
              uint64_t count, int *status)
{
  struct connection *c = client_open (ctl, status);
  json_t *total = json_object (), *reply;
  uint64_t main_size, end, done = 0, n;

  if (c == NULL || !client_main_size (c, &main_size, status))
    goto error;
  if (!find_range_end (start, count, main_size, &end)) {
    *status = STATUS_REFUSED;
    goto error;
  }
  count = end - start;
  for (; done < count; done += n) {
    n = min_u64 (count - done, PART);
    fprintf (stderr, "\r%s: %.0f %% ", word, 100.0 * done / count);
    reply = client_request (c, status, "%s %" PRIu64 " %" PRIu64, word,
                            start + done, n);
    if (reply == NULL) {
      error ("%s: %s before that were done", word,
             show_count (done, "sector").s);
      goto error;
    }
    add_reply (total, reply);
    json_decref (reply);
  }
  fprintf (stderr, "\r%30s\r", "");
  connection_close (c);
  return total;

 error:
  connection_close (c);
  json_decref (total);
  return NULL;
}

/* The options and arguments.  False after a message. */
static bool
parse_arguments (struct ctl *ctl, int argc, char **argv,
                 const struct range_request *rr, struct range_arguments *a)
{
  enum { CHECK = FIRST_OPTION, DRY_RUN, YES };
  static const struct option check[] = {
    { "check", no_argument, NULL, CHECK }, { 0 }
  };
  static const struct option asks[] = {
    { "dry-run", no_argument, NULL, DRY_RUN },
    { "yes", no_argument, NULL, YES }, { 0 }
  };
  const struct option *own = rr->checks ? check : rr->asks ? asks : NULL;
  int c;

  while ((c = next_option (ctl, argc, argv, own)) != -1)
    switch (c) {
    case CHECK: a->check = true; break;
    case DRY_RUN: a->dry_run = true; break;
    case YES: a->yes = true; break;
    default: return false;
    }
  a->n = argc - optind;
  return count_arguments (ctl, argc, rr->min, 2) &&
    parse_range (ctl, argc, argv, &a->start, &a->count);
}

/* Sends the request as one. */
static json_t *
ask_once (const struct ctl *ctl, const char *word,
          const struct range_arguments *a, int *status)
{
  struct connection *c = client_open (ctl, status);
  json_t *reply = NULL;

  if (c != NULL && a->n == 0)
    reply = client_ask (c, status, "%s", word);
  else if (c != NULL && a->n == 1)
    reply = client_ask (c, status, "%s %" PRIu64, word, a->start);
  else if (c != NULL)
    reply = client_ask (c, status, "%s %" PRIu64 " %" PRIu64, word, a->start,
                        a->count);
  connection_close (c);
  if (reply && ctl->json)
    print_json (reply);
  if (reply && *status != STATUS_DONE) {
    print_refusal (reply);
    json_decref (reply);
    reply = NULL;
  }
  return reply;
}

/* With --check: a reply that says no may be about a disk that is lost. */
static int
check_refused (const struct ctl *ctl, int status)
{
  struct reader r = { 0 };
  struct connection *c;
  json_t *reply;
  int status2;

  if (status != STATUS_REFUSED || (c = client_open (ctl, &status2)) == NULL)
    return status;
  reply = client_request (c, &status2, "status");
  connection_close (c);
  r.root = reply;
  if (reply != NULL && get_bool (&r, "main.lost"))
    status = STATUS_CRITICAL;
  json_decref (reply);
  return status;
}

static bool
is_agreed (struct ctl *ctl, const char *word, const struct range_arguments *a,
           int *status)
{
  const struct forecast f = {
    .word = word, .start = a->start, .count = max_u64 (a->count, 1),
    .dry_run = a->dry_run, .yes = a->yes,
  };

  return forecast_agreed (ctl, &f, status);
}

static int
range_request (struct ctl *ctl, int argc, char **argv,
               const struct range_request *rr)
{
  struct range_arguments a = { 0 };
  struct reader r = { 0 };
  json_t *reply;
  int status;

  if (!parse_arguments (ctl, argc, argv, rr, &a))
    return STATUS_USAGE;
  if (rr->asks && !is_agreed (ctl, rr->word, &a, &status))
    return status;
  if (isatty (STDERR_FILENO) && !ctl->json && (a.count > PART || a.n == 0))
    reply = ask_in_parts (ctl, rr->word, a.start, a.count, &status);
  else
    reply = ask_once (ctl, rr->word, &a, &status);
  if (reply == NULL)
    return a.check ? check_refused (ctl, status) : status;
  r.root = reply;
  if (!ctl->json)
    rr->print (&r);
  if (a.check && get_uint (&r, "bad") > 0)
    status = STATUS_DEGRADED;
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
}

int
command_forget_lost (struct ctl *ctl, int argc, char **argv)
{
  static const struct range_request rr = {
    "forget-lost", 1, print_forget, .asks = true
  };

  return range_request (ctl, argc, argv, &rr);
}

int
command_remap (struct ctl *ctl, int argc, char **argv)
{
  static const struct range_request rr = {
    "remap", 1, print_remap, .asks = true
  };

  return range_request (ctl, argc, argv, &rr);
}

int
command_retry (struct ctl *ctl, int argc, char **argv)
{
  static const struct range_request rr = { "retry", 0, print_retry };

  return range_request (ctl, argc, argv, &rr);
}

int
command_unmap (struct ctl *ctl, int argc, char **argv)
{
  static const struct range_request rr = {
    "unmap", 1, print_unmap, .asks = true
  };

  return range_request (ctl, argc, argv, &rr);
}

int
command_verify (struct ctl *ctl, int argc, char **argv)
{
  static const struct range_request rr = {
    "verify", 1, print_verify, .checks = true
  };

  return range_request (ctl, argc, argv, &rr);
}
