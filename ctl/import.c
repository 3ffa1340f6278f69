/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bad-list.h"
#include "base/bytes.h"
#include "client.h"
#include "exit-status.h"
#include "import.h"
#include "numbers.h"
#include "place.h"
#include "reply.h"
#include "text.h"
#include "units.h"

/* A request has so many sectors: few enough for the bar to move.  And so many
 * ranges and bytes: what the server takes at most, or a bit less.
 */
#define STEP 65536
#define MAX_RANGES 256
#define MAX_REQUEST 4000

/* Bytes.  Lists of bad sectors are smaller. */
#define MAX_FILE (UINT64_C (1) << 30)

enum { AS = FIRST_OPTION, BLOCK, DEVICE, DRY_RUN, FORMAT, OFFSET };

struct import {
  struct connection *client;
  const char *path, *as;
  struct list_options options;
  struct list_about about;
  bool placed;                          /* --offset was given */
  bool dry_run;
  uint64_t total, sent;                 /* sectors */
  uint64_t done, left, lost;            /* sectors, sums of replies */
  bool bar;

  /* The request that is being made. */
  char text[MAX_REQUEST + 1];
  size_t len;
  unsigned nr_ranges;
  uint64_t sectors;
};

/* Reads a whole file into new memory, and adds a NUL, which isn't counted in
 * LEN.  "-" is stdin.  NULL after a message.
 */
static char *
read_file (const char *path, size_t *len)
{
  const bool is_stdin = strcmp (path, "-") == 0;
  FILE *fp = is_stdin ? stdin : fopen (path, "re");
  char *text = NULL, *p;
  size_t cap = 0;

  *len = 0;
  if (fp == NULL) {
    error ("%s: %s", path, strerror (errno));
    return NULL;
  }
  do {
    if (cap - *len < 2) {
      cap = cap ? cap * 2 : 65536;
      p = cap > MAX_FILE ? NULL : realloc (text, cap);
      if (p == NULL) {
        error ("%s: too large", path);
        free (text);
        text = NULL;
        goto out;
      }
      text = p;
    }
    *len += fread (text + *len, 1, cap - *len - 1, fp);
  } while (!feof (fp) && !ferror (fp));
  text[*len] = '\0';
  if (ferror (fp)) {
    error ("%s: can't be read: %s", path, strerror (errno));
    free (text);
    text = NULL;
  }
 out:
  if (!is_stdin)
    fclose (fp);
  return text;
}

static void
show_progress (struct import *im, bool end)
{
  enum { WIDTH = 40 };
  const unsigned filled = im->total ? (double) im->sent / im->total * WIDTH
    : WIDTH;
  char bar[WIDTH + 1];

  if (!im->bar)
    return;
  memset (bar, ' ', WIDTH);
  memset (bar, '#', filled);
  bar[WIDTH] = '\0';
  fprintf (stderr, "\r[%s] %3.0f %%  %" PRIu64 " of %s%s", bar,
           im->total ? 100.0 * im->sent / im->total : 100.0, im->sent,
           show_count (im->total, "sector").s, end ? "\n" : "");
}

/* The sectors that an area touches. */
static void
area_sectors (const struct area *a, sector_t *start, uint64_t *count)
{
  *start = sector_of (a->offset);
  *count = sectors_in (a->offset, a->offset + a->count);
}

static bool
check_areas (struct import *im, const struct area_list *list,
             uint64_t main_size)
{
  const uint64_t sectors = bytes_to_sectors (main_size);
  sector_t start;
  uint64_t count;

  for (size_t i = 0; i < list->n; i++) {
    area_sectors (&list->v[i], &start, &count);
    if (start >= sectors || count > sectors - start) {
      error ("%s: the area from byte %" PRIu64 " to %" PRIu64 " reaches "
             "beyond the disk, which has %" PRIu64 " bytes: is the list one "
             "of this disk, and %s right?  Nothing was changed.",
             im->path, list->v[i].offset,
             list->v[i].offset + list->v[i].count, main_size,
             im->placed ? "--offset" : "--block-size");
      return false;
    }
    im->total += count;
  }
  return true;
}

/* Sends the ranges that have been collected. */
static int
send_ranges (struct import *im)
{
  struct reader r = { 0 };
  int status;
  json_t *reply;

  if (im->nr_ranges == 0)
    return STATUS_DONE;
  reply = client_ask (im->client, &status, "import %s%s", im->as, im->text);
  if (reply == NULL)
    return status;
  r.root = reply;
  /* It may have done a part, and said so. */
  if (status != STATUS_DONE)
    print_refusal (reply);
  if (status != STATUS_DONE && json_object_get (reply, "done") == NULL) {
    json_decref (reply);
    return status;
  }
  im->done += get_uint (&r, "done");
  im->left += get_uint (&r, "left");
  im->lost += get_uint (&r, "lost");
  json_decref (reply);
  if (r.bad)
    return STATUS_NO_SERVER;
  if (status != STATUS_DONE)
    return status;
  im->sent += im->sectors;
  im->len = im->sectors = im->nr_ranges = 0;
  show_progress (im, false);
  return STATUS_DONE;
}

/* Collects a range, and sends what there is if it has become much. */
static int
import_range (struct import *im, sector_t start, uint64_t count)
{
  const size_t longest = sizeof " 36028797018963968 36028797018963968";

  im->len += snprintf (im->text + im->len, sizeof im->text - im->len,
                       " %" PRIu64 " %" PRIu64, start, count);
  im->nr_ranges++;
  im->sectors += count;
  if (im->nr_ranges < MAX_RANGES && im->sectors < STEP &&
      sizeof im->text - im->len > longest)
    return STATUS_DONE;
  return send_ranges (im);
}

static int
import_areas (struct import *im, const struct area_list *list)
{
  int status = STATUS_DONE;
  uint64_t count, n;
  sector_t start;

  for (size_t i = 0; i < list->n && status == STATUS_DONE; i++) {
    area_sectors (&list->v[i], &start, &count);
    for (; count > 0 && status == STATUS_DONE; start += n, count -= n) {
      n = min_u64 (count, STEP - im->sectors);
      status = import_range (im, start, n);
    }
  }
  if (status == STATUS_DONE)
    status = send_ranges (im);
  show_progress (im, true);
  return status;
}

static void
print_result (const struct ctl *ctl, const struct import *im)
{
  if (im->dry_run && ctl->json) {
    printf ("{\"ok\":true,\"would\":%" PRIu64 "}\n", im->total);
    return;
  }
  if (ctl->json) {
    printf ("{\"ok\":true,\"done\":%" PRIu64 ",\"left\":%" PRIu64
            ",\"lost\":%" PRIu64 "}\n", im->done, im->left, im->lost);
    return;
  }
  if (im->dry_run)
    printf ("%s: %s listed, as format %s.  Nothing was changed.\n", im->path,
            show_count (im->total, "bad sector").s,
            list_format_name (im->about.format));
  else
    printf ("%s: %s listed; %" PRIu64 " moved to the spare, %" PRIu64
          " are LOST now, %" PRIu64 " left as they were\n", im->path,
          show_count (im->total, "bad sector").s, im->done - im->lost,
          im->lost, im->left);
  if (im->about.left_out > 0)
    printf ("%s: left out: %s about errors that aren't a sector's\n",
            im->path, show_count (im->about.left_out, "line").s);
}

/* Asks for the size and the label of the disk. */
static bool
ask_main (struct import *im, uint64_t *size, struct message *label,
          int *status)
{
  json_t *reply = client_request (im->client, status, "status");
  struct reader r = { .root = reply };
  const char *s;

  if (reply == NULL)
    return false;
  *size = get_uint (&r, "main.size");
  s = json_string_value (json_object_get (json_object_get (reply, "main"),
                                          "label"));
  message_set (label, "%s", s ? s : "");
  json_decref (reply);
  if (r.bad)
    *status = STATUS_NO_SERVER;
  return !r.bad;
}

static int
import (struct ctl *ctl, struct import *im, const struct area_list *list)
{
  struct message label;
  uint64_t main_size;
  int status;

  im->client = client_open (ctl, &status);
  if (im->client == NULL)
    return status;
  if (ask_main (im, &main_size, &label, &status)) {
    if ((im->placed ||
         place_is_disk (im->path, &im->about, label.text, main_size)) &&
        check_areas (im, list, main_size)) {
      status = im->dry_run ? STATUS_DONE : import_areas (im, list);
      /* Printed after an error, too: so much was done. */
      print_result (ctl, im);
    }
    else
      status = STATUS_REFUSED;
  }
  connection_close (im->client);
  return status;
}

/* An option of import.  False after a message. */
static bool
take_option (struct import *im, int c)
{
  uint64_t n;

  switch (c) {
  case AS:
    im->as = optarg;
    return true;
  case DEVICE:
    im->options.device = strncmp (optarg, "/dev/", 5) == 0 ? optarg + 5 :
      optarg;
    return true;
  case DRY_RUN:
    im->dry_run = true;
    return true;
  case FORMAT:
    im->options.format = list_format_find (optarg);
    if (im->options.format != LIST_FORMATS)
      return true;
    error ("import: --format=%s: must be one of any, mapfile, badblocks, "
           "ranges, superclone, mdadm, kernel, smartctl", optarg);
    return false;
  case OFFSET:
    im->placed = true;
    if (parse_bytes (optarg, &im->options.offset))
      return true;
    error ("import: --offset=%s: must be a number of bytes, or of sectors with "
           "s after it", optarg);
    return false;
  default:
    if (!parse_bytes (optarg, &n) || n == 0 || n > UINT32_MAX) {
      error ("import: --block-size=%s: must be a number of bytes", optarg);
      return false;
    }
    im->options.block = n;
    return true;
  }
}

/* Reads the list.  False after a message. */
static bool
read_list (struct import *im, struct area_list *list)
{
  struct message message;
  size_t len;
  char *text = read_file (im->path, &len);
  int r;

  if (text == NULL)
    return false;
  /* Files of sysfs: nothing but their place says what they are. */
  if (im->options.format == LIST_ANY && strncmp (im->path, "/sys/", 5) == 0)
    im->options.format = LIST_RANGES;
  r = bad_list_parse (text, len, &im->options, list, &im->about, &message);
  free (text);
  if (r)
    error ("%s: %s", im->path, message.text);
  return r == 0;
}

int
command_import (struct ctl *ctl, int argc, char **argv)
{
  static const struct option own[] = {
    { "as", required_argument, NULL, AS },
    { "block-size", required_argument, NULL, BLOCK },
    { "device", required_argument, NULL, DEVICE },
    { "dry-run", no_argument, NULL, DRY_RUN },
    { "format", required_argument, NULL, FORMAT },
    { "offset", required_argument, NULL, OFFSET }, { 0 }
  };
  struct import im = {
    .options.block = -1, .bar = isatty (STDERR_FILENO)
  };
  struct area_list list;
  int c, r;

  while ((c = next_option (ctl, argc, argv, own)) != -1)
    if (c == '?' || !take_option (&im, c))
      return STATUS_USAGE;
  if (!count_arguments (ctl, argc, 1, 1))
    return STATUS_USAGE;
  if (im.as == NULL || (strcmp (im.as, "lost") != 0 &&
                        strcmp (im.as, "remap") != 0)) {
    error ("import: say --as=lost (their content is gone) or --as=remap "
           "(read them, and move what can be read)");
    return STATUS_USAGE;
  }
  im.path = argv[optind];
  if (!read_list (&im, &list))
    return STATUS_REFUSED;
  r = import (ctl, &im, &list);
  area_list_free (&list);
  return r;
}
