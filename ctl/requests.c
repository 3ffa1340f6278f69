/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Commands that are one request and one reply.
 */

#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remapctl.h"

/* Sectors of a part of a request, 2 GiB; runs that are listed. */
#define PART (UINT64_C (1) << 22)
#define MAX_RUNS 100

/* Asks, with LINE.  With --json the reply is printed, whatever it says.
 * NULL: nothing more is to be said, *STATUS is the program's.
 */
static json_t *
ask_server (struct ctl *ctl, const char *line, int *status)
{
  struct client *c = client_open (ctl, status);
  json_t *reply;

  if (c == NULL)
    return NULL;
  reply = client_ask (c, status, "%s", line);
  client_close (c);
  if (reply == NULL)
    return NULL;
  if (ctl->json)
    print_json (reply);
  if (*status != STATUS_DONE)
    print_refusal (reply);
  if (ctl->json || *status != STATUS_DONE) {
    json_decref (reply);
    return NULL;
  }
  return reply;
}

static bool
only_shared_options (struct ctl *ctl, int argc, char **argv)
{
  return next_option (ctl, argc, argv, NULL) == -1;
}

/* Requests without words, of whose reply nothing is printed but TEXT. */
static int
plain_request (struct ctl *ctl, int argc, char **argv, const char *line,
               const char *text)
{
  int status;
  json_t *reply;

  if (!only_shared_options (ctl, argc, argv) ||
      !count_arguments (ctl, argc, 0, 0))
    return STATUS_USAGE;
  reply = ask_server (ctl, line, &status);
  if (reply != NULL)
    printf ("%s\n", text);
  json_decref (reply);
  return status;
}

int
command_sync (struct ctl *ctl, int argc, char **argv)
{
  return plain_request (ctl, argc, argv, "sync",
                        "disk, spare and map are on stable storage");
}

int
command_clear_stats (struct ctl *ctl, int argc, char **argv)
{
  return plain_request (ctl, argc, argv, "clear_stats",
                        "the event counters are zero");
}

int
command_ping (struct ctl *ctl, int argc, char **argv)
{
  struct reader r = { 0 };
  const char *version;
  uint64_t uptime;
  json_t *reply;
  int status;

  if (!only_shared_options (ctl, argc, argv) ||
      !count_arguments (ctl, argc, 0, 0))
    return STATUS_USAGE;
  reply = ask_server (ctl, "ping", &status);
  if (reply == NULL)
    return status;
  r.root = reply;
  version = get_string (&r, "version");
  uptime = get_uint (&r, "uptime");
  if (!r.bad) {
    printf ("the server answers: version ");
    print_text (stdout, version);
    printf (", up for %s\n", show_seconds (uptime).s);
  }
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
}

int
command_set_auto_remap (struct ctl *ctl, int argc, char **argv)
{
  struct reader r = { 0 };
  const char *value;
  char line[32];
  json_t *reply;
  bool on;
  int status;

  if (!only_shared_options (ctl, argc, argv) ||
      !count_arguments (ctl, argc, 1, 1))
    return STATUS_USAGE;
  value = argv[optind];
  if (strcmp (value, "0") != 0 && strcmp (value, "1") != 0) {
    error ("set_auto_remap: '%s' must be 0 or 1", value);
    return STATUS_USAGE;
  }
  snprintf (line, sizeof line, "set_auto_remap %s", value);
  reply = ask_server (ctl, line, &status);
  if (reply == NULL)
    return status;
  r.root = reply;
  on = get_bool (&r, "auto_remap");
  if (!r.bad)
    printf ("automatic remapping is %s, until the server restarts\n",
            on ? "on" : "off");
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
}

int
command_grow (struct ctl *ctl, int argc, char **argv)
{
  static const struct option own[] = {
    { "spare", required_argument, NULL, 256 },
    { "spare-offset", required_argument, NULL, 257 }, { 0 }
  };
  struct reader r = { 0 };
  const char *spare = NULL;
  uint64_t bytes, offset = 0, size, total;
  char line[64];
  json_t *reply;
  int c, status;

  while ((c = next_option (ctl, argc, argv, own)) != -1) {
    if (c == '?')
      return STATUS_USAGE;
    if (c == 256)
      spare = optarg;
    else if (!parse_bytes (optarg, &offset)) {
      error ("grow: --spare-offset=%s: must be a size", optarg);
      return STATUS_USAGE;
    }
  }
  if (!count_arguments (ctl, argc, 1, 1))
    return STATUS_USAGE;
  if (!parse_bytes (argv[optind], &bytes)) {
    error ("grow: '%s' is not a size (bytes, or with a suffix as in 2G)",
           argv[optind]);
    return STATUS_USAGE;
  }
  if (spare)
    return spare_grow_offline (spare, offset, bytes);

  snprintf (line, sizeof line, "grow %" PRIu64, bytes);
  reply = ask_server (ctl, line, &status);
  if (reply == NULL)
    return status;
  r.root = reply;
  size = get_uint (&r, "size");
  total = get_uint (&r, "total");
  if (!r.bad)
    printf ("the spare has %s now, with %s\n", show_bytes (size).s,
            show_count (total, "slot").s);
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
}

/* Where the bad ones are, as the reply lists them. */
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

/* Requests that take a range; PRINT says what the reply means. */
struct range_request {
  const char *word;
  int min;                              /* words that are needed */
  void (*print) (struct reader *r);
};

/* What replies about the parts of a range say of all of it: numbers are
 * added up, runs go on.
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

static bool
find_end (struct client *c, uint64_t start, uint64_t *count, int *status)
{
  json_t *reply = client_request (c, status, "status");
  struct reader r = { .root = reply };
  uint64_t sectors;

  if (reply == NULL)
    return false;
  sectors = bytes_to_sectors (get_uint (&r, "main.size"));
  json_decref (reply);
  *status = r.bad ? STATUS_NO_SERVER : STATUS_REFUSED;
  if (r.bad)
    return false;
  if (start >= sectors || *count > sectors - start) {
    error ("sectors from %" PRIu64 " on: the disk has %s", start,
           show_count (sectors, "sector").s);
    return false;
  }
  if (*count == 0)
    *count = sectors - start;
  return true;
}

/* For somebody who waits at a terminal: a large range in parts, with the
 * progress.  The range is checked before anything is changed.
 */
static json_t *
ask_in_parts (struct ctl *ctl, const char *word, uint64_t start,
              uint64_t count, int *status)
{
  struct client *c = client_open (ctl, status);
  json_t *total = json_object (), *reply;
  uint64_t done = 0, n;

  if (c == NULL || !find_end (c, start, &count, status))
    goto error;
  for (; done < count; done += n) {
    n = count - done < PART ? count - done : PART;
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
  client_close (c);
  return total;

 error:
  client_close (c);
  json_decref (total);
  return NULL;
}

static int
range_request (struct ctl *ctl, int argc, char **argv,
               const struct range_request *rr)
{
  struct reader r = { 0 };
  uint64_t start, count;
  char line[100];
  json_t *reply;
  int status, n;

  if (!only_shared_options (ctl, argc, argv) ||
      !count_arguments (ctl, argc, rr->min, 2) ||
      !parse_range (ctl, argc, argv, &start, &count))
    return STATUS_USAGE;
  if (isatty (STDERR_FILENO) && !ctl->json &&
      (count > PART || argc == optind))
    reply = ask_in_parts (ctl, rr->word, start, count, &status);
  else {
    n = snprintf (line, sizeof line, "%s", rr->word);
    if (argc - optind >= 1)
      n += snprintf (line + n, sizeof line - n, " %" PRIu64, start);
    if (argc - optind == 2)
      snprintf (line + n, sizeof line - n, " %" PRIu64, count);
    reply = ask_server (ctl, line, &status);
  }
  if (reply == NULL)
    return status;
  r.root = reply;
  rr->print (&r);
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
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

int
command_remap (struct ctl *ctl, int argc, char **argv)
{
  static const struct range_request rr = { "remap", 1, print_remap };

  return range_request (ctl, argc, argv, &rr);
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

int
command_verify (struct ctl *ctl, int argc, char **argv)
{
  static const struct range_request rr = { "verify", 1, print_verify };

  return range_request (ctl, argc, argv, &rr);
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

int
command_unmap (struct ctl *ctl, int argc, char **argv)
{
  static const struct range_request rr = { "unmap", 1, print_unmap };

  return range_request (ctl, argc, argv, &rr);
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

int
command_retry (struct ctl *ctl, int argc, char **argv)
{
  static const struct range_request rr = { "retry", 0, print_retry };

  return range_request (ctl, argc, argv, &rr);
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

int
command_forget_lost (struct ctl *ctl, int argc, char **argv)
{
  static const struct range_request rr = { "forget-lost", 1, print_forget };

  return range_request (ctl, argc, argv, &rr);
}
