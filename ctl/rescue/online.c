/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "base/bytes.h"
#include "base/sector.h"
#include "client.h"
#include "exit-status.h"
#include "outfile.h"
#include "reply.h"
#include "rescue/words.h"
#include "table/formats.h"
#include "table/from-server.h"
#include "text.h"
#include "units.h"

/* Numbers are sectors where nothing else is said. */
struct rescue_state {
  const char *path, *copier, *why;
  bool failed, full, main_needed, alone;
  uint64_t size;                        /* of main */
  uint64_t kept, written, lost, remapped, zero, direct;
  uint64_t pending;
  uint64_t failing_reads;               /* calls */
  uint64_t kept_now, uptime;            /* since the server has started */
  uint64_t recent, recent_seconds;      /* kept in the last minute */
  uint64_t at, end;
};

/* False after a message. */
static bool
parse (struct rescue_state *s, struct reader *r)
{
  s->path = get_string (r, "rescue.path");
  s->failed = get_bool (r, "rescue.failed");
  s->full = get_bool (r, "rescue.full");
  s->main_needed = get_bool (r, "rescue.main_needed");
  s->alone = get_bool (r, "rescue.alone");
  s->size = bytes_to_sectors (get_uint (r, "main.size"));
  s->kept = get_uint (r, "sectors.kept");
  s->written = get_uint (r, "sectors.written");
  s->lost = get_uint (r, "sectors.lost");
  s->remapped = get_uint (r, "sectors.remapped");
  s->zero = get_uint (r, "sectors.zero");
  s->direct = get_uint (r, "rescue.direct");
  s->pending = get_uint (r, "rescue.pending.kept");
  s->pending += get_uint (r, "rescue.pending.written");
  s->pending += get_uint (r, "rescue.pending.zero");
  s->failing_reads = get_uint (r, "errors.read");
  s->kept_now = get_uint (r, "rescue.kept_now");
  s->uptime = get_uint (r, "uptime");
  s->recent = get_uint (r, "rates.1m.kept");
  s->recent_seconds = get_uint (r, "rates.1m.seconds");
  s->copier = get_string (r, "rescue.copier.state");
  s->why = get_string (r, "rescue.copier.why");
  s->at = get_uint (r, "rescue.copier.at");
  s->end = get_uint (r, "rescue.copier.end");
  return !r->bad;
}

static double
percent (uint64_t n, uint64_t of)
{
  /* 100 % is said of all alone. */
  return n == of ? 100 : min_u64 (9999, 10000.0 * n / of) / 100.0;
}

static uint64_t
a_second (uint64_t sectors, uint64_t seconds)
{
  return sectors * SECTOR_SIZE / max_u64 (seconds, 1);
}

static void
print_state (const struct rescue_state *s)
{
  printf ("Copy:          ");
  print_text (stdout, s->path);
  printf ("%s\n", s->failed ? ": has failed: restart the server"
          : s->full ? ": is full" : "");
  printf ("Off the disk:  %.2f %%: %.2f %% kept, %.2f %% written, %.2f %% "
          "LOST\n",
          percent (s->size - s->direct, s->size), percent (s->kept, s->size),
          percent (s->written, s->size), percent (s->lost, s->size));
  printf ("On it only:    %s (DIRECT, %.2f %%)\n",
          show_bytes (s->direct * SECTOR_SIZE).s,
          percent (s->direct, s->size));
  printf ("Elsewhere:     %s in the spare, %" PRIu64 " zeroes\n",
          show_count (s->remapped, "sector").s, s->zero);
  printf ("Pending:       %s\n", show_count (s->pending, "sector").s);
  printf ("Rate:          %s/s",
          show_bytes (a_second (s->recent, s->recent_seconds)).s);
  printf (" in the last minute, %s/s on average\n",
          show_bytes (a_second (s->kept_now, s->uptime)).s);
  printf ("Failing reads: %" PRIu64 "\n", s->failing_reads);
  printf ("Copying:       %s", s->copier);
  if (strcmp (s->copier, "idle") != 0)
    printf (", at sector %" PRIu64 " of %" PRIu64, s->at, s->end);
  if (s->why[0]) {
    printf (": ");
    print_text (stdout, s->why);
  }
  printf ("\n%s\n", s->alone ? "The copy alone is the disk."
          : s->main_needed ? "The disk is needed."
          : "The disk isn't needed any more; the copy needs the spare.");
}

/* A connection's next look; NULL after a message, then *STATUS is set. */
static json_t *
look (struct connection *c, struct rescue_state *s, int *status)
{
  json_t *reply = client_request (c, status, "status");
  struct reader r = { .root = reply };

  if (reply == NULL)
    return NULL;
  if (json_is_null (json_object_get (reply, "rescue"))) {
    error ("rescue: the disk of this server isn't being rescued: start it "
           "with rescue=PATH");
    *status = STATUS_REFUSED;
  }
  else if (parse (s, &r))
    return reply;
  else
    *status = STATUS_NO_SERVER;
  json_decref (reply);
  return NULL;
}

int
rescue_status (struct ctl *ctl, const struct rescue_options *o)
{
  struct rescue_state s;
  struct connection *c;
  json_t *reply;
  int status;

  if (o->wait)
    return rescue_wait (ctl);
  client_guess (ctl);
  c = client_open (ctl, &status);
  if (c == NULL)
    return status;
  while ((reply = look (c, &s, &status)) != NULL) {
    if (ctl->json)
      print_json (json_object_get (reply, "rescue"));
    else
      print_state (&s);
    json_decref (reply);
    if (!o->watch || finish_output (STATUS_DONE) != STATUS_DONE)
      break;
    putchar ('\n');
    sleep (1);
  }
  connection_close (c);
  return status;
}

int
rescue_wait (struct ctl *ctl)
{
  const bool shows = isatty (STDERR_FILENO);
  bool is_idle = false;
  struct rescue_state s;
  struct connection *c;
  json_t *reply;
  int status;

  client_guess (ctl);
  c = client_open (ctl, &status);
  while (c && !is_idle && (reply = look (c, &s, &status)) != NULL) {
    is_idle = strcmp (s.copier, "idle") == 0;
    if (shows)
      fprintf (stderr, "\r%6.2f %% off the disk, %s ",
               percent (s.size - s.direct, s.size), s.copier);
    json_decref (reply);
    if (!is_idle)
      usleep (200000);
  }
  if (shows)
    fputc ('\n', stderr);
  connection_close (c);
  return status;
}

int
rescue_copy (struct ctl *ctl, const struct rescue_options *o, uint64_t start,
             uint64_t count, int n)
{
  char line[80] = "rescue-copy";
  json_t *reply;
  int status;

  if (n == 1)
    snprintf (line, sizeof line, "rescue-copy %" PRIu64, start);
  else if (n == 2)
    snprintf (line, sizeof line, "rescue-copy %" PRIu64 " %" PRIu64, start,
              count);
  reply = ask_server (ctl, line, &status);
  if (reply == NULL)
    return status;
  json_decref (reply);
  printf ("copying goes on in the server: remapctl rescue status shows how "
          "far\n");
  return o->wait ? rescue_wait (ctl) : status;
}

/* ---- the end ----------------------------------------------------------- */

static void
print_end (struct reader *r)
{
  const uint64_t given_up = get_uint (r, "given_up");
  const uint64_t stayed = get_uint (r, "stayed"), lost = get_uint (r, "lost");
  const uint64_t compared = get_uint (r, "compared");
  const uint64_t different = get_uint (r, "different");

  printf ("%s moved to the copy", show_count (get_uint (r, "moved"),
                                              "sector").s);
  if (given_up)
    printf (", %s given up", show_count (given_up, "sector").s);
  if (compared == 0)
    printf ("; there was nothing that could be compared with the disk\n");
  else if (different == 0)
    printf ("; %s compared with the disk: all alike\n",
            show_count (compared, "sector").s);
  else
    printf ("; %s compared with the disk: %" PRIu64 " differ, the first one is "
            "%" PRIu64 "\n", show_count (compared, "sector").s, different,
            get_uint (r, "first_different"));
  if (stayed)
    printf ("the copy refuses %s, the first one is %" PRIu64 ": they stay in "
            "the spare, which it needs\n", show_count (stayed, "sector").s,
            get_uint (r, "first_stayed"));
  if (lost)
    printf ("%s LOST\n", show_count (lost, "sector").s);
  if (!get_bool (r, "main_needed"))
    printf ("main isn't needed any more: it can be unplugged\n");
  if (get_bool (r, "alone"))
    printf ("the copy alone is the disk\n");
}

/* What is LOST, as a mapfile beside the copy. */
static int
write_map (struct ctl *ctl, const char *path)
{
  char *name = text_of ("%s.lost.map", path);
  struct outfile out;
  struct table t;
  int status;
  bool ok = table_from_server (&t, ctl, 0, 0, &status);

  if (ok) {
    printf ("what is LOST is listed in %s\n", name);
    ok = finish_output (STATUS_DONE) == STATUS_DONE &&
      outfile_begin (&out, name);
    if (ok) {
      table_print_mapfile (&t, 1U << LOST);
      ok = outfile_end (&out, true);
    }
    status = ok ? STATUS_DONE : STATUS_REFUSED;
    table_free (&t);
  }
  free (name);
  return status;
}

static int
confirm (const struct rescue_options *o)
{
  if (!o->give_up || o->yes)
    return STATUS_DONE;
  error ("rescue finish: --give-up makes LOST what was never copied (rescue "
         "status shows how much): say --yes if that is what you want");
  return STATUS_REFUSED;
}

int
rescue_finish (struct ctl *ctl, const struct rescue_options *o)
{
  struct reader r = { 0 };
  char line[64];
  json_t *reply;
  int status = confirm (o);

  if (status != STATUS_DONE)
    return status;
  snprintf (line, sizeof line, "rescue-finish%s%s%s",
            o->give_up ? " give-up" : "", o->marker ? " marker" : "",
            o->verify ? " verify" : "");
  reply = ask_server (ctl, line, &status);
  if (reply == NULL)
    return status;
  r.root = reply;
  print_end (&r);
  if (get_uint (&r, "different") > 0 || !get_bool (&r, "alone"))
    status = STATUS_REFUSED;
  if (!r.bad && get_uint (&r, "lost") > 0 &&
      write_map (ctl, get_string (&r, "path")) != STATUS_DONE)
    status = STATUS_REFUSED;
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
}
