/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "spare/arguments.h"
#include "spare/offline.h"
#include "spare/relabel.h"
#include "exit-status.h"
#include "text.h"

int
command_relabel (struct ctl *ctl, int argc, char **argv)
{
  const char *path, *label;
  struct held_spare h;
  uint64_t offset;
  char old[SPARE_LABEL_MAX + 1];
  int err;

  if (!spare_arguments (ctl, argc, argv, 2, 2, &path, &offset, NULL))
    return STATUS_USAGE;
  label = argv[optind + 1];
  if (strlen (label) > SPARE_LABEL_MAX) {
    error ("relabel: the label has %zu bytes, at most %d are allowed",
           strlen (label), SPARE_LABEL_MAX);
    return STATUS_USAGE;
  }
  if (!hold_spare (&h, path, offset, HOLD_TO_CHANGE))
    return STATUS_REFUSED;
  memcpy (old, h.id.label, sizeof old);
  err = spare_start (h.spare, &h.message);
  if (err == 0)
    err = spare_relabel (h.spare, label, &h.message);
  hold_close (&h);
  if (err) {
    error ("%s: %s", path, h.message.text);
    return STATUS_REFUSED;
  }
  printf ("%s: belongs to the disk labelled \"", path);
  print_text (stdout, label);
  printf ("\" now, and not to \"");
  print_text (stdout, old);
  printf ("\" any more\n");
  return STATUS_DONE;
}
