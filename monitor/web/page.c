/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/status/parse.h"
#include "ctl/text.h"
#include "ctl/units.h"
#include "advice.h"
#include "web/html.h"
#include "web/page.h"
#include "web/picture.h"

#define MAX_SHOWN 100                   /* events */
#define COLUMNS 128                     /* of the picture */
#define NARROW_COLUMNS 64               /* on a telephone */

static const char *
class_of (enum level level)
{
  return level == LEVEL_OK ? "ok" : level == LEVEL_WARNING ? "warning"
    : "error";
}

static enum level
level_now (const struct watched *w)
{
  return level_of_health (health_of (w));
}

static void
print_head (FILE *fp, const char *title)
{
  fputs ("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
         "<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, "
         "initial-scale=1\">\n<title>", fp);
  html_text (fp, title);
  fputs ("</title>\n<link rel=\"stylesheet\" href=\"/style.css\">\n"
         "<link rel=\"icon\" href=\"data:,\">\n"
         "<noscript><meta http-equiv=\"refresh\" content=\"30\"></noscript>\n"
         "<script src=\"/script.js\" defer></script>\n</head>\n<body>\n"
         "<main>\n", fp);
}

static void
print_end (FILE *fp)
{
  fputs ("</main>\n<footer>remap-monitor " PACKAGE_VERSION
         " &middot; <a href=\"/metrics\">metrics</a> &middot; "
         "<a href=\"/json\">JSON</a></footer>\n</body>\n</html>\n", fp);
}

static void
print_row (FILE *fp, const char *name, const char *value)
{
  fprintf (fp, "<tr><th scope=\"row\">%s</th><td>", name);
  html_text (fp, value);
  fputs ("</td></tr>\n", fp);
}

/* The sentence, and the command in it as what can be copied. */
static void
print_advice (FILE *fp, const struct watched *w)
{
  char *text = advice (w);
  char *command = strstr (text, ": ");

  fputs ("<p class=\"advice\">", fp);
  if (command) {
    *command = '\0';
    html_text (fp, text);
    fputs (":<br><code>", fp);
    html_text (fp, command + 2);
    fputs ("</code>", fp);
  }
  else
    html_text (fp, text);
  fputs ("</p>\n", fp);
  free (text);
}

static void
print_health (FILE *fp, const struct watched *w)
{
  const char *reason;

  fprintf (fp, "<p class=\"health\"><span class=\"badge %s\">",
           class_of (level_now (w)));
  html_text (fp, health_of (w));
  fputs ("</span>", fp);
  if (w->stored.level_since > 0)
    fprintf (fp, " <span class=\"since\">since %s</span>",
             show_time (w->stored.level_since).s);
  fputs ("</p>\n", fp);
  if (reason_of (w, 0) == NULL)
    return;
  fputs ("<ul class=\"reasons\">\n", fp);
  for (size_t i = 0; i < 16 && (reason = reason_of (w, i)) != NULL; i++) {
    fputs ("<li>", fp);
    html_text (fp, reason);
    fputs ("</li>\n", fp);
  }
  fputs ("</ul>\n", fp);
}

/* How full the spare is. */
static void
print_bar (FILE *fp, uint64_t used, uint64_t total)
{
  const double part = total > 0 && used <= total ? 100.0 * used / total : 100;

  fprintf (fp, "<svg class=\"bar\" viewBox=\"0 0 100 4\" "
           "preserveAspectRatio=\"none\" role=\"img\" "
           "aria-label=\"%.1f %% of the spare used\">"
           "<rect class=\"direct\" width=\"100\" height=\"4\"></rect>"
           "<rect class=\"used\" width=\"%.2f\" height=\"4\"></rect></svg>\n",
           part, part);
}

static bool
parse (const struct watched *w, struct status *st)
{
  return w->status && status_parse (st, json_incref (w->status));
}

static void
print_card (FILE *fp, const struct watched *w)
{
  struct status st;

  fprintf (fp, "<section class=\"card %s\">\n<h2><a href=\"/disk?server=",
           class_of (level_now (w)));
  html_query (fp, w->name);
  fputs ("\">", fp);
  html_text (fp, w->name);
  fputs ("</a></h2>\n", fp);
  print_health (fp, w);
  if (parse (w, &st)) {
    fputs ("<p class=\"numbers\">", fp);
    html_text (fp, st.main.label);
    fprintf (fp, "%s%s &middot; <b>%" PRIu64 "</b> lost &middot; %" PRIu64
             " remapped &middot; spare %" PRIu64 " of %" PRIu64 "</p>\n",
             *st.main.label ? " &middot; " : "", show_bytes (st.main.size).s,
             st.sectors.lost, st.sectors.remapped, st.spare.used,
             st.spare.total);
    print_bar (fp, st.spare.used + st.spare.retired, st.spare.total);
    status_free (&st);
  }
  if (level_now (w) != LEVEL_OK)
    print_advice (fp, w);
  fputs ("</section>\n", fp);
}

static void
print_rates (FILE *fp, const struct status *st)
{
  fputs ("<h2>Rates</h2>\n<div class=\"wide\"><table class=\"rates\">\n"
         "<thead><tr><th scope=\"col\">last</th><th scope=\"col\">reads</th>"
         "<th scope=\"col\">read</th><th scope=\"col\">writes</th>"
         "<th scope=\"col\">written</th><th scope=\"col\">errors</th>"
         "<th scope=\"col\">remaps</th><th scope=\"col\">lost</th></tr>"
         "</thead>\n<tbody>\n", fp);
  for (int i = 0; i < NR_RATES; i++) {
    const struct status_rate *r = &st->rates[i];

    fprintf (fp, "<tr><th scope=\"row\">%s</th><td>%" PRIu64 "</td><td>%s</td>"
             "<td>%" PRIu64 "</td><td>%s</td><td>%" PRIu64 "</td><td>%" PRIu64
             "</td><td>%" PRIu64 "</td></tr>\n", show_seconds (r->seconds).s,
             r->reads, show_bytes (r->read_bytes).s, r->writes,
             show_bytes (r->write_bytes).s, r->read_errors + r->write_errors,
             r->remaps, r->lost);
  }
  fputs ("</tbody>\n</table></div>\n", fp);
}

static void
print_details (FILE *fp, const struct watched *w, const struct status *st)
{
  char *s;

  fputs ("<h2>Disk and spare</h2>\n<table class=\"details\">\n<tbody>\n", fp);
  print_row (fp, "disk", *st->main.label ? st->main.label : "(no label)");
  print_row (fp, "size", show_bytes (st->main.size).s);
  print_row (fp, "requests under way",
             show_count (st->main.in_flight, "request").s);
  print_row (fp, "oldest of them", show_seconds (st->main.oldest).s);
  print_row (fp, "last error", st->main.last_error
             ? show_time (st->main.last_error).s : "none since the start");
  print_row (fp, "last loss", st->last_loss
             ? show_time (st->last_loss).s : "none since the start");
  if (w->smart.has_temperature) {
    s = text_of ("%d \xc2\xb0" "C%s", w->smart.temperature, w->holding
                 ? ": background work waits" : "");
    print_row (fp, "temperature", s);
    free (s);
  }
  if (w->smart.has_passed)
    print_row (fp, "SMART", w->smart.passed ? "passed" : "FAILED");
  if (w->smart.has_attribute[SMART_REALLOCATED] ||
      w->smart.has_attribute[SMART_PENDING]) {
    s = text_of ("%" PRIu64 " reallocated, %" PRIu64 " pending",
                 w->smart.attribute[SMART_REALLOCATED],
                 w->smart.attribute[SMART_PENDING]);
    print_row (fp, "in the disk's own words", s);
    free (s);
  }
  print_row (fp, "spare", st->spare.path);
  print_row (fp, "slots", show_slots (st->spare.used, st->spare.retired,
                                      st->spare.free, st->spare.total).s);
  s = text_of ("%" PRIu64 " remapped, %" PRIu64 " lost, %" PRIu64 " zero",
               st->sectors.remapped, st->sectors.lost, st->sectors.zero);
  print_row (fp, "sectors", s);
  free (s);
  print_row (fp, "running for", show_seconds (st->uptime).s);
  print_row (fp, "version", st->version);
  print_row (fp, "socket", w->path);
  fputs ("</tbody>\n</table>\n", fp);
}

static void
print_event (void *opaque, const struct stored_event *e)
{
  FILE *fp = opaque;

  fprintf (fp, "<tr class=\"%s\"><td>%s</td><td>", class_of (e->level),
           show_time (e->time_ms / 1000).s);
  html_text (fp, e->kind);
  fputs ("</td><td>", fp);
  html_text (fp, e->text);
  fputs ("</td></tr>\n", fp);
}

static char *
finish (FILE *fp, char **text)
{
  print_end (fp);
  if (fclose (fp) == 0)
    return *text;
  free (*text);
  return copy_text ("");
}

char *
page_all (const struct watch_list *list)
{
  size_t wrong = 0, len;
  char *text = NULL;
  FILE *fp = open_memstream (&text, &len);

  if (fp == NULL)
    return copy_text ("");
  for (size_t i = 0; i < list->n; i++)
    wrong += level_now (list->v[i]) != LEVEL_OK;
  print_head (fp, "Disks");
  if (wrong > 0)
    fprintf (fp, "<h1>%zu of %s need%s somebody</h1>\n", wrong,
             show_count (list->n, "disk").s, wrong == 1 ? "s" : "");
  else
    fprintf (fp, "<h1>%s</h1>\n", list->n == 0 ? "No disk is watched"
             : "All disks are well");
  fputs ("<div class=\"cards\">\n", fp);
  for (int level = LEVEL_ERROR; level >= LEVEL_OK; level--)
    for (size_t i = 0; i < list->n; i++)
      if ((int) level_now (list->v[i]) == level)
        print_card (fp, list->v[i]);
  fputs ("</div>\n", fp);
  return finish (fp, &text);
}

char *
page_disk (const struct watched *w, struct store *store)
{
  struct status st;
  size_t len;
  char *text = NULL;
  FILE *fp = open_memstream (&text, &len);

  if (fp == NULL)
    return copy_text ("");
  print_head (fp, w->name);
  fputs ("<nav><a href=\"/\">all disks</a></nav>\n<h1>", fp);
  html_text (fp, w->name);
  fputs ("</h1>\n", fp);
  print_health (fp, w);
  print_advice (fp, w);
  fputs ("<h2>Map</h2>\n", fp);
  picture_print (fp, w->map, COLUMNS, "disk on-wide");
  picture_print (fp, w->map, NARROW_COLUMNS, "disk on-narrow");
  fputs ("<p class=\"legend\"><span class=\"lost\">&#9632;</span> lost "
         "<span class=\"zero\">&#9632;</span> zero "
         "<span class=\"remapped\">&#9632;</span> remapped "
         "<span class=\"direct\">&#9632;</span> on the disk itself</p>\n", fp);
  if (parse (w, &st)) {
    print_rates (fp, &st);
    print_details (fp, w, &st);
    status_free (&st);
  }
  fputs ("<h2>Events</h2>\n<div class=\"wide\"><table class=\"events\">\n"
         "<thead><tr><th scope=\"col\">time</th><th scope=\"col\">what</th>"
         "<th scope=\"col\"></th></tr></thead>\n<tbody>\n", fp);
  store_events (store, w->stored.id, MAX_SHOWN, print_event, fp);
  fputs ("</tbody>\n</table></div>\n", fp);
  return finish (fp, &text);
}
