/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "exit-status.h"
#include "rescue/rescue.h"
#include "rescue/words.h"
#include "text.h"

enum { WATCH = FIRST_OPTION, WAIT, FILL, GIVE_UP, VERIFY, YES };

static const struct option own_options[] = {
  { "watch", no_argument, NULL, WATCH },
  { "wait", no_argument, NULL, WAIT },
  { "fill", required_argument, NULL, FILL },
  { "give-up", no_argument, NULL, GIVE_UP },
  { "verify", no_argument, NULL, VERIFY },
  { "yes", no_argument, NULL, YES },
  { 0 }
};

static bool
parse_fill (struct rescue_options *o, const char *s)
{
  o->marker = strcmp (s, "marker") == 0;
  if (o->marker || strcmp (s, "zero") == 0)
    return true;
  error ("rescue: --fill=%s: must be zero or marker", s);
  return false;
}

static bool
parse_options (struct ctl *ctl, int argc, char **argv,
               struct rescue_options *o)
{
  bool ok = true;
  int c;

  while (ok && (c = next_option (ctl, argc, argv, own_options)) != -1)
    switch (c) {
    case WATCH: o->watch = true; break;
    case WAIT: o->wait = true; break;
    case FILL: ok = parse_fill (o, optarg); break;
    case GIVE_UP: o->give_up = true; break;
    case VERIFY: o->verify = true; break;
    case YES: o->yes = true; break;
    default: ok = false;
    }
  return ok;
}

static int
plain (struct ctl *ctl, const char *line, const char *text)
{
  int status;
  json_t *reply = ask_server (ctl, line, &status);

  if (reply != NULL)
    printf ("%s\n", text);
  json_decref (reply);
  return status;
}

static int
copy (struct ctl *ctl, const struct rescue_options *o, int argc, char **argv)
{
  uint64_t start, count;

  if (!count_arguments (ctl, argc, 0, 2) ||
      !parse_range (ctl, argc, argv, &start, &count))
    return STATUS_USAGE;
  return rescue_copy (ctl, o, start, count, argc - optind);
}

int
command_rescue (struct ctl *ctl, int argc, char **argv)
{
  struct rescue_options o = { 0 };
  const char *word;

  if (!parse_options (ctl, argc, argv, &o))
    return STATUS_USAGE;
  if (optind == argc) {
    error ("rescue: what? status, copy, pause, resume, finish, abandon or "
           "new-main");
    return STATUS_USAGE;
  }
  word = argv[optind++];
  if (strcmp (word, "copy") == 0)
    return copy (ctl, &o, argc, argv);
  if (strcmp (word, "abandon") == 0)
    return count_arguments (ctl, argc, 1, 1)
      ? rescue_abandon (&o, argv[optind]) : STATUS_USAGE;
  if (strcmp (word, "new-main") == 0)
    return count_arguments (ctl, argc, 1, 1)
      ? rescue_new_main (argv[optind]) : STATUS_USAGE;
  if (!count_arguments (ctl, argc, 0, 0))
    return STATUS_USAGE;
  if (strcmp (word, "status") == 0)
    return rescue_status (ctl, &o);
  if (strcmp (word, "pause") == 0)
    return plain (ctl, "rescue-pause", "copying pauses");
  if (strcmp (word, "resume") == 0)
    return plain (ctl, "rescue-resume", "copying goes on");
  if (strcmp (word, "finish") == 0)
    return rescue_finish (ctl, &o);
  error ("rescue: there is no '%s': status, copy, pause, resume, finish, "
         "abandon or new-main", word);
  return STATUS_USAGE;
}
