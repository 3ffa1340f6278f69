/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/status/prometheus.h"
#include "ctl/text.h"
#include "advice.h"
#include "web/metrics.h"

#define PREFIX "nbdkit_remap_monitor_"

/* The value of a label. */
static void
print_value (FILE *fp, const char *value)
{
  for (; *value; value++)
    if (*value == '\n')
      fputs ("\\n", fp);
    else
      fprintf (fp, "%s%c", *value == '"' || *value == '\\' ? "\\" : "",
               *value);
}

static void
print_own (FILE *fp, const struct watch_list *list, struct store *store)
{
  size_t wrong = 0;

  for (size_t i = 0; i < list->n; i++)
    wrong += list->v[i]->stored.level != LEVEL_OK;
  fprintf (fp, "# HELP " PREFIX "build_info The monitor's version; always 1.\n"
           "# TYPE " PREFIX "build_info gauge\n"
           PREFIX "build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
  fprintf (fp, "# HELP " PREFIX "servers Servers that are watched.\n"
           "# TYPE " PREFIX "servers gauge\n"
           PREFIX "servers %zu\n", list->n);
  fprintf (fp, "# HELP " PREFIX "servers_not_ok Of these, the ones that "
           "aren't well.\n# TYPE " PREFIX "servers_not_ok gauge\n"
           PREFIX "servers_not_ok %zu\n", wrong);
  fprintf (fp, "# HELP " PREFIX "pending_deliveries Messages that a program of "
           "events.d has not delivered yet.\n"
           "# TYPE " PREFIX "pending_deliveries gauge\n"
           PREFIX "pending_deliveries %" PRIu64 "\n", store_pending (store));
}

static void
print_labels (FILE *fp, const struct watched *w)
{
  fputs ("{server=\"", fp);
  print_value (fp, w->name);
  fputs ("\",device=\"", fp);
  print_value (fp, w->smart.device);
  putc ('"', fp);
}

/* Under the names that smartctl_exporter has given them. */
static void
print_smart (FILE *fp, const struct watch_list *list)
{
  static const struct { int id; const char *name; } attributes[] = {
    [SMART_REALLOCATED] = { 5, "Reallocated_Sector_Ct" },
    [SMART_PENDING] = { 197, "Current_Pending_Sector" },
  };

  fputs ("# HELP smartctl_device_temperature Device temperature celsius.\n"
         "# TYPE smartctl_device_temperature gauge\n", fp);
  for (size_t i = 0; i < list->n; i++)
    if (list->v[i]->smart.has_temperature) {
      fputs ("smartctl_device_temperature", fp);
      print_labels (fp, list->v[i]);
      fprintf (fp, ",temperature_type=\"current\"} %d\n",
               list->v[i]->smart.temperature);
    }
  fputs ("# HELP smartctl_device_smart_status General smart status.\n"
         "# TYPE smartctl_device_smart_status gauge\n", fp);
  for (size_t i = 0; i < list->n; i++)
    if (list->v[i]->smart.has_passed) {
      fputs ("smartctl_device_smart_status", fp);
      print_labels (fp, list->v[i]);
      fprintf (fp, "} %d\n", list->v[i]->smart.passed);
    }
  fputs ("# HELP smartctl_device_attribute Device attributes.\n"
         "# TYPE smartctl_device_attribute gauge\n", fp);
  for (size_t i = 0; i < list->n; i++)
    for (int k = 0; k < NR_SMART_ATTRIBUTES; k++)
      if (list->v[i]->smart.has_attribute[k]) {
        fputs ("smartctl_device_attribute", fp);
        print_labels (fp, list->v[i]);
        fprintf (fp, ",attribute_id=\"%d\",attribute_name=\"%s\","
                 "attribute_value_type=\"raw\"} %" PRIu64 "\n",
                 attributes[k].id, attributes[k].name,
                 list->v[i]->smart.attribute[k]);
      }
}

static char *
as_prometheus (const struct watch_list *list, struct store *store)
{
  struct scraped *v = allocate (list->n, sizeof *v);
  char *text = NULL;
  size_t len;
  FILE *fp = open_memstream (&text, &len);

  for (size_t i = 0; i < list->n; i++)
    v[i] = (struct scraped) { .server = list->v[i]->name,
                              .json = list->v[i]->up ? list->v[i]->status
                              : NULL };
  if (fp) {
    /* Each status was looked at when it came. */
    status_print_prometheus (fp, v, list->n);
    print_own (fp, list, store);
    print_smart (fp, list);
  }
  free (v);
  if (fp == NULL || fclose (fp) != 0) {
    free (text);
    return copy_text ("");
  }
  return text;
}

/* In OpenMetrics a counter is called without the _total of its samples. */
static char *
as_openmetrics (char *prometheus)
{
  static const char total[] = "_total ";
  char *text = NULL, *save = NULL;
  size_t len;
  FILE *fp = open_memstream (&text, &len);

  for (char *line = strtok_r (prometheus, "\n", &save); fp && line;
       line = strtok_r (NULL, "\n", &save)) {
    char *name = line[0] == '#' ? line + strlen ("# HELP ") : NULL;
    char *end = name ? strchr (name, ' ') : NULL;
    const size_t n = strlen (total) - 1;

    if (end && end - name > (ptrdiff_t) n &&
        strncmp (end - n, total, n + 1) == 0)
      fprintf (fp, "%.*s%s\n", (int) (end - n - line), line, end);
    else
      fprintf (fp, "%s\n", line);
  }
  free (prometheus);
  if (fp)
    fputs ("# EOF\n", fp);
  if (fp == NULL || fclose (fp) != 0) {
    free (text);
    return copy_text ("# EOF\n");
  }
  return text;
}

char *
metrics_text (const struct watch_list *list, struct store *store,
              bool openmetrics)
{
  char *text = as_prometheus (list, store);

  return openmetrics ? as_openmetrics (text) : text;
}

static json_t *
server_json (const struct watched *w)
{
  json_t *reasons = json_array ();
  const char *reason;
  char *what = advice (w);
  json_t *o;

  for (size_t i = 0; i < 16 && (reason = reason_of (w, i)) != NULL; i++)
    json_array_append_new (reasons, json_string (reason));
  o = json_pack ("{s:s,s:s,s:b,s:b,s:s,s:I,s:o,s:s,s:O?}",
                 "server", w->name, "socket", w->path, "up", w->up,
                 "configured", w->configured, "health", health_of (w),
                 "since", (json_int_t) w->stored.level_since,
                 "reasons", reasons, "advice", what,
                 "status", w->up ? w->status : NULL);
  free (what);
  return o;
}

char *
metrics_json (const struct watch_list *list)
{
  json_t *all = json_array ();
  char *text;

  for (size_t i = 0; i < list->n; i++)
    json_array_append_new (all, server_json (list->v[i]));
  text = json_dumps (all, JSON_COMPACT);
  json_decref (all);
  return text ? text : copy_text ("[]");
}
