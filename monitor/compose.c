/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/text.h"
#include "ctl/units.h"
#include "advice.h"
#include "compose.h"

/* Of all that has happened; the rest is counted. */
#define MAX_LINES 20
#define MAX_SUBJECT 200

struct sheet {
  FILE *text;
  json_t *events;
  bool first;
};

static const char *
kind_name (enum message_kind kind)
{
  static const char *const names[] = {
    [MESSAGE_PROBLEM] = "problem", [MESSAGE_EVENT] = "event",
    [MESSAGE_REMINDER] = "reminder", [MESSAGE_RECOVERY] = "recovery",
    [MESSAGE_GONE] = "gone", [MESSAGE_TEST] = "test",
  };

  return names[kind];
}

static const char *
severity_name (enum level level)
{
  return level == LEVEL_OK ? "notice" : level == LEVEL_WARNING ? "warning"
    : "error";
}

/* Text for people, in lines: what would steer a terminal, or begin a line of
 * its own in a mail's head, becomes '?'.
 */
static void
put_line (FILE *fp, const char *text)
{
  print_text (fp, text);
  putc ('\n', fp);
}

/* The same as new memory, cut off at N bytes, where a character begins. */
static char *
clean_line (const char *text, size_t n)
{
  char *s = NULL;
  size_t len;
  FILE *fp = open_memstream (&s, &len);

  if (fp == NULL)
    return copy_text ("?");
  print_text (fp, text);
  if (fclose (fp) != 0 || s == NULL)
    return copy_text ("?");
  if (strlen (s) > n) {
    while (n > 0 && ((unsigned char) s[n] & 0xc0) == 0x80)
      n--;
    s[n] = '\0';
  }
  return s;
}

static void
put_event (void *opaque, const struct stored_event *e)
{
  struct sheet *sheet = opaque;
  char *text = text_of ("%s  %s: %s", show_time (e->time_ms / 1000).s, e->kind,
                        e->text);

  if (sheet->first)
    fputs ("\nWhat has happened, the newest first:\n", sheet->text);
  sheet->first = false;
  fputs ("  ", sheet->text);
  put_line (sheet->text, text);
  free (text);
  json_array_append_new (
    sheet->events, json_pack ("{s:I,s:I,s:s,s:s,s:s}", "number",
                              (json_int_t) e->number, "time_ms",
                              (json_int_t) e->time_ms, "kind", e->kind,
                              "severity", severity_name (e->level), "text",
                              e->text));
}

static void
put_state (FILE *fp, const struct watched *w, const char *host)
{
  const char *reason;
  char *text;

  text = text_of ("Server %s on %s%s%s: %s, since %s.", w->name, host,
                  *label_of (w) ? ", disk " : "", label_of (w), health_of (w),
                  show_time (w->stored.level_since).s);
  put_line (fp, text);
  free (text);
  for (size_t i = 0; i < 16 && (reason = reason_of (w, i)) != NULL; i++) {
    fputs ("  ", fp);
    put_line (fp, reason);
  }
}

static char *
raw_subject (enum message_kind kind, const struct watched *w, const char *host,
             uint64_t events)
{
  const char *reason = reason_of (w, 0);

  switch (kind) {
  case MESSAGE_RECOVERY:
    return text_of ("%s: disk %s is well again", host, w->name);
  case MESSAGE_GONE:
    return text_of ("%s: disk %s is not watched any more", host, w->name);
  case MESSAGE_REMINDER:
    return text_of ("%s: disk %s is still %s: %s", host, w->name,
                    health_of (w), reason ? reason : "");
  default:
    if (reason)
      return text_of ("%s: disk %s: %s: %s", host, w->name, health_of (w),
                      reason);
    return text_of ("%s: disk %s: %s", host, w->name,
                    show_count (events, "event").s);
  }
}

static char *
subject_of (enum message_kind kind, const struct watched *w, const char *host,
            uint64_t events)
{
  char *raw = w ? raw_subject (kind, w, host, events)
    : text_of ("%s: a test of remap-monitor's messages", host);
  char *clean = clean_line (raw, MAX_SUBJECT);

  free (raw);
  return clean;
}

/* All but the events. */
static void
put_text (FILE *fp, enum message_kind kind, const struct watched *w,
          const char *host)
{
  if (w == NULL) {
    fputs ("This is a test: nothing is wrong.  Messages of remap-monitor "
           "arrive here.\n", fp);
    return;
  }
  if (kind == MESSAGE_GONE)
    fputs ("Its socket has gone, and nothing says that it should be there: "
           "nobody watches it now.\n", fp);
  else
    put_state (fp, w, host);
}

static void
put_end (struct sheet *sheet, const struct watched *w, uint64_t count)
{
  char *what = advice (w);

  if (count > json_array_size (sheet->events))
    fprintf (sheet->text, "  ... and %" PRIu64 " more: remapctl events\n",
             count - (uint64_t) json_array_size (sheet->events));
  fprintf (sheet->text, "\nWhat to do: ");
  put_line (sheet->text, what);
  free (what);
}

static enum level
level_of (enum message_kind kind, const struct watched *w, enum level worst)
{
  if (kind == MESSAGE_PROBLEM || kind == MESSAGE_REMINDER)
    return w->stored.level > worst ? w->stored.level : worst;
  return kind == MESSAGE_EVENT ? worst : LEVEL_OK;
}

bool
compose (struct composed *c, enum message_kind kind, const struct watched *w,
         struct store *store)
{
  char host[256] = "localhost";
  struct sheet sheet = { .events = json_array (), .first = true };
  uint64_t count = 0;
  enum level worst = LEVEL_OK;
  json_t *json;
  size_t len;
  bool ok = true;

  *c = (struct composed) { 0 };
  gethostname (host, sizeof host - 1);
  sheet.text = open_memstream (&c->text, &len);
  if (sheet.text == NULL)
    return false;
  put_text (sheet.text, kind, w, host);
  if (w)
    ok = store_untold (store, w->stored.id, MAX_LINES, put_event, &sheet,
                       &count, &worst);
  if (w && kind != MESSAGE_GONE)
    put_end (&sheet, w, count);
  ok = fclose (sheet.text) == 0 && ok;
  c->subject = subject_of (kind, w, host, count);
  c->alert = (struct stored_alert) {
    .time = time (NULL), .server = w ? w->name : "", .kind = kind_name (kind),
    .severity = severity_name (level_of (kind, w, worst)),
    .subject = c->subject, .text = c->text,
  };
  json = json_pack ("{s:s,s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:o}",
                    "host", host, "time", (json_int_t) c->alert.time,
                    "server", c->alert.server, "disk", w ? label_of (w) : "",
                    "health", w ? health_of (w) : "", "kind", c->alert.kind,
                    "severity", c->alert.severity, "subject", c->subject,
                    "text", c->text, "count", (json_int_t) count, "events",
                    sheet.events);
  c->json = json ? json_dumps (json, JSON_COMPACT) : NULL;
  json_decref (json);
  c->alert.json = c->json ? c->json : "{}";
  return ok;
}

void
compose_free (struct composed *c)
{
  free (c->subject);
  free (c->text);
  free (c->json);
}
