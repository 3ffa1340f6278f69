/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "status/rates.h"
#include "status/screen.h"
#include "terminal.h"
#include "text.h"
#include "units.h"

/* Where the text of a line begins, after its heading. */
#define INDENT 11

/* A frame as it is put together.  Lines that don't fit are left out. */
struct frame {
  FILE *fp;                             /* in memory */
  unsigned rows, columns;               /* of the terminal */
  unsigned used;                        /* lines so far */
  bool colour;
};

static bool
has_room (const struct frame *f)
{
  return f->used + 1 < f->rows;         /* the last line says how to end it */
}

/* Prints as much of TEXT as fits into COLUMNS; returns how many it took. */
static unsigned
put_clipped (struct frame *f, const char *text, unsigned columns)
{
  unsigned used = 0;
  const char *end = text;
  char *part;

  for (; *end; end++) {
    if ((*end & 0xc0) != 0x80 && used++ == columns) {
      used--;
      break;
    }
  }
  part = text_of ("%.*s", (int) (end - text), text);
  print_text (f->fp, part);
  free (part);
  return used;
}

/* A line: a heading, which may have a colour, and text. */
static void __attribute__ ((format (printf, 4, 5)))
put_line (struct frame *f, const char *heading, const char *colour,
          const char *fs, ...)
{
  unsigned at;
  va_list args;
  char *text;

  if (!has_room (f))
    return;
  if (colour && f->colour)
    fprintf (f->fp, "\033[1;%sm", colour);
  at = put_clipped (f, heading, f->columns);
  if (colour && f->colour)
    fputs ("\033[0m", f->fp);
  for (; at < INDENT && at < f->columns; at++)
    fputc (' ', f->fp);
  va_start (args, fs);
  if (vasprintf (&text, fs, args) != -1) {
    put_clipped (f, text, f->columns - at);
    free (text);
  }
  va_end (args);
  /* What a longer line of the frame before has left. */
  fputs ("\033[K\n", f->fp);
  f->used++;
}

/* A reason takes as many lines as it needs. */
static void
put_wrapped (struct frame *f, const char *text)
{
  const size_t room = f->columns > INDENT + 10 ? f->columns - INDENT : 10;
  size_t n;

  do {
    n = strlen (text);
    if (n > room) {
      for (n = room; n > 0 && text[n] != ' '; n--)
        ;
      if (n == 0)
        n = room;
    }
    put_line (f, "", NULL, "%.*s", (int) n, text);
    text += n + (text[n] == ' ');
  } while (*text);
}

static void
put_reasons (struct frame *f, const struct status *st, size_t most)
{
  const size_t n = json_array_size (st->reasons);
  const char *s;

  for (size_t i = 0; i < n && i < most; i++) {
    s = json_string_value (json_array_get (st->reasons, i));
    put_wrapped (f, s ? s : "?");
  }
  if (n > most)
    put_line (f, "", NULL, "... and %zu reasons more", n - most);
}

static void
put_places (struct frame *f, const struct status *st)
{
  const uint64_t gone = st->spare.used + st->spare.retired;

  put_line (f, "disk", NULL, "%s%s%s%s", show_bytes (st->main.size).s,
            *st->main.label ? ", label " : "", st->main.label,
            st->main.lost ? ", LOST: it doesn't answer" : "");
  put_line (f, "spare", NULL, "%s%s%s", st->spare.path,
            st->spare.failed ? ", FAILED: restart the server" : "",
            st->spare.full ? ", FULL: enlarge it" : "");
  put_line (f, "", NULL, "%s (%.1f %% gone)",
            show_slots (st->spare.used, st->spare.retired, st->spare.free,
                        st->spare.total).s,
            st->spare.total ? 100.0 * gone / st->spare.total : 0.0);
}

static void
put_counters (struct frame *f, const struct status *st)
{
  put_line (f, "errors", NULL, "disk: %" PRIu64 " reads, %" PRIu64
            " writes, %" PRIu64 " flushes; spare: %" PRIu64 "; gone %" PRIu64
            " times", st->errors.read, st->errors.write, st->errors.flush,
            st->errors.spare, st->main_lost_times);
  put_line (f, "requests", NULL, "%" PRIu64 " reads (%s), %" PRIu64
            " writes (%s), %" PRIu64 " flushes",
            st->requests[KIND_READ].count,
            show_bytes (st->requests[KIND_READ].bytes).s,
            st->requests[KIND_WRITE].count,
            show_bytes (st->requests[KIND_WRITE].bytes).s,
            st->requests[KIND_FLUSH].count);
  put_line (f, "", NULL, "since %s (up for %s)", show_time (st->since).s,
            show_seconds (st->uptime).s);
}

static void
put_rates (struct frame *f, const struct status *st)
{
  const struct status_rate *r = st->rates;

  put_line (f, "last", NULL, "%12s%12s%12s", show_seconds (r[0].seconds).s,
            show_seconds (r[1].seconds).s, show_seconds (r[2].seconds).s);
  for (int row = 0; row < NR_RATE_ROWS; row++)
    put_line (f, rate_row_name (row), NULL, "%12s%12s%12s",
              rate_cell (&r[0], row).s, rate_cell (&r[1], row).s,
              rate_cell (&r[2], row).s);
}

static const char *
colour_of (const char *health)
{
  switch (check_health (health)) {
  case STATUS_DONE: return "32";        /* green */
  case STATUS_DEGRADED: return "33";
  default: return "31";
  }
}

static char *frame_text;

static struct frame
begin_frame (void)
{
  static size_t size;
  struct frame f = {
    .fp = open_memstream (&frame_text, &size),
    .rows = terminal_height (stdout), .columns = terminal_width (stdout),
    .colour = use_colour (stdout),
  };

  if (f.fp == NULL) {
    error ("out of memory");
    exit (STATUS_REFUSED);
  }
  fputs ("\033[H", f.fp);
  return f;
}

/* Not by way of stdout, which a terminal gets line by line. */
static void
write_frame (const char *text)
{
  size_t left = strlen (text);
  ssize_t r;

  fflush (stdout);
  while (left > 0) {
    r = write (STDOUT_FILENO, text, left);
    if (r == -1 && errno == EINTR)
      continue;
    if (r == -1) {
      error ("can't write the output: %s", strerror (errno));
      exit (STATUS_REFUSED);
    }
    text += r;
    left -= r;
  }
}

static void
end_frame (struct frame *f, unsigned seconds)
{
  char *text = text_of ("every %u s, Ctrl-C ends it", seconds);

  put_clipped (f, text, f->columns);
  free (text);
  fputs ("\033[J", f->fp);
  if (fclose (f->fp) == 0)
    write_frame (frame_text);
  free (frame_text);
  frame_text = NULL;
}

void
screen_show (const struct status *st, unsigned seconds)
{
  struct frame f = begin_frame ();

  put_line (&f, "health", colour_of (st->health), "%s", st->health);
  put_reasons (&f, st, 4);
  put_line (&f, "sectors", st->sectors.lost ? "31" : NULL, "%" PRIu64
            " LOST, %" PRIu64 " remapped, %" PRIu64 " zero%s, in %s",
            st->sectors.lost, st->sectors.remapped, st->sectors.zero,
            show_rescued (st->sectors.kept, st->sectors.written).s,
            show_count (st->sectors.runs, "run").s);
  put_line (&f, "", NULL, "%" PRIu64 " requests refused for a LOST one, %"
            PRIu64 " sectors read as zeroes", st->lost_refused,
            st->lost_zeroed);
  put_places (&f, st);
  put_counters (&f, st);
  put_rates (&f, st);
  end_frame (&f, seconds);
}

/* The worse, the higher. */
static int
badness (const struct screen_server *s)
{
  return s->st ? check_health (s->st->health) : 100;
}

static void
put_server (struct frame *f, const struct screen_server *s)
{
  if (s->st == NULL) {
    put_line (f, "no answer", "31", "%s", s->title);
    put_wrapped (f, s->why);
    return;
  }
  put_line (f, s->st->health, colour_of (s->st->health), "%s: %" PRIu64
            " LOST, %" PRIu64 " remapped, of %s", s->title,
            s->st->sectors.lost, s->st->sectors.remapped,
            show_bytes (s->st->main.size).s);
  put_reasons (f, s->st, 2);
}

void
screen_show_all (const struct screen_server *v, size_t n, unsigned seconds)
{
  struct frame f = begin_frame ();
  int last = 101, next;

  do {
    next = -1;
    for (size_t i = 0; i < n; i++)
      if (badness (&v[i]) < last && badness (&v[i]) > next)
        next = badness (&v[i]);
    for (size_t i = 0; i < n; i++)
      if (badness (&v[i]) == next)
        put_server (&f, &v[i]);
    last = next;
  } while (next >= 0);
  if (n == 0)
    put_line (&f, "no servers", NULL, " ");
  end_frame (&f, seconds);
}
