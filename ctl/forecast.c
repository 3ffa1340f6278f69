/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "exit-status.h"
#include "forecast.h"
#include "reply.h"
#include "table/from-server.h"
#include "text.h"
#include "units.h"

/* Sectors by state, in the range, and room in the spare. */
struct counts {
  uint64_t n[ZERO + 1];
  uint64_t room, disk;
};

static bool
count_sectors (struct ctl *ctl, const struct forecast *f, struct counts *c,
               int *status)
{
  struct table t;

  if (!table_from_server (&t, ctl, f->start, f->count, status))
    return false;
  *c = (struct counts) {
    .n[DIRECT] = t.end - t.start, .disk = bytes_to_sectors (t.main_size)
  };
  for (size_t i = 0; i < t.n; i++) {
    c->n[t.v[i].run.state] += t.v[i].run.count;
    c->n[DIRECT] -= t.v[i].run.count;
  }
  table_free (&t);
  return true;
}

/* How many slots of the spare are free. */
static bool
ask_room (struct ctl *ctl, uint64_t *room, int *status)
{
  struct connection *client = client_open (ctl, status);
  json_t *reply = client ? client_request (client, status, "status") : NULL;
  struct reader r = { .root = reply };

  connection_close (client);
  if (reply == NULL)
    return false;
  *room = get_uint (&r, "spare.free");
  json_decref (reply);
  if (r.bad)
    *status = STATUS_NO_SERVER;
  return !r.bad;
}

/* What the command changes. */
static uint64_t
sectors_changed (const struct forecast *f, const struct counts *c)
{
  if (strcmp (f->word, "forget-lost") == 0)
    return c->n[LOST];
  if (strcmp (f->word, "remap") == 0)
    return c->n[DIRECT];
  return c->n[REMAPPED] + c->n[ZERO];
}

/* Says it, on FP. */
static void
describe (FILE *fp, const struct forecast *f, const struct counts *c)
{
  const uint64_t n = sectors_changed (f, c);

  fprintf (fp, "%s: of %s, %" PRIu64 " would ", f->word,
           show_count (f->count, "sector").s, n);
  if (strcmp (f->word, "forget-lost") == 0)
    fprintf (fp, "be zeroes instead of LOST: their content is given up, and "
             "retry can't read it any more");
  else if (strcmp (f->word, "remap") == 0)
    fprintf (fp, "be read and moved to the spare, which has room for %" PRIu64
             " now", c->room);
  else
    fprintf (fp, "be written to the disk and leave the spare");
}

static bool
is_worth_asking (const struct forecast *f, const struct counts *c)
{
  const uint64_t n = sectors_changed (f, c);

  if (strcmp (f->word, "forget-lost") == 0)
    return n > 0;
  if (strcmp (f->word, "remap") == 0)
    return n > c->room || n > c->disk / 100;
  return n > 0 && f->start == 0 && f->count >= c->disk;
}

/* Anything but "y" and "yes" is no. */
static bool
is_agreed (void)
{
  char answer[16] = "";

  if (fgets (answer, sizeof answer, stdin) == NULL)
    fputc ('\n', stderr);
  answer[strcspn (answer, "\n")] = '\0';
  return strcmp (answer, "y") == 0 || strcmp (answer, "yes") == 0;
}

bool
forecast_agreed (struct ctl *ctl, const struct forecast *f, int *status)
{
  const bool may_ask = isatty (STDIN_FILENO) && isatty (STDERR_FILENO) &&
    !ctl->json && !f->yes;
  struct counts c;

  if (!f->dry_run && !may_ask)
    return true;
  if (!count_sectors (ctl, f, &c, status) || !ask_room (ctl, &c.room, status))
    return false;
  if (f->dry_run) {
    *status = STATUS_DONE;
    if (ctl->json)
      printf ("{\"ok\":true,\"would\":%" PRIu64 ",\"room\":%" PRIu64 "}\n",
              sectors_changed (f, &c), c.room);
    else {
      describe (stdout, f, &c);
      printf (".  Nothing was changed.\n");
    }
    return false;
  }
  if (!is_worth_asking (f, &c))
    return true;
  describe (stderr, f, &c);
  fprintf (stderr, ".  Go on? [y/N] ");
  if (is_agreed ())
    return true;
  error ("%s: nothing was changed", f->word);
  *status = STATUS_REFUSED;
  return false;
}
