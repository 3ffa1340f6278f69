/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sector.h"
#include "create/command.h"
#include "create/nbdkit.h"
#include "text.h"

#define MAX_ARGS 40

static void
add (struct create *c, char *argument)
{
  c->argv[c->argc++] = argument;
}

void
create_drop_command (struct create *c)
{
  for (size_t i = 0; i < c->argc; i++)
    if (c->argv[i] != c->pid && c->argv[i] != c->nbd)
      free (c->argv[i]);
  free (c->argv);
  c->argv = NULL;
  c->argc = 0;
}

void
create_command (struct create *c)
{
  const bool direct = c->main.is_block && nbdkit_has_direct ();

  create_drop_command (c);
  c->argv = allocate (MAX_ARGS + c->nr_extra, sizeof *c->argv);
  add (c, copy_text ("nbdkit"));
  add (c, copy_text ("-f"));
  add (c, copy_text ("-P"));
  add (c, c->pid);
  if (c->listen_address) {
    add (c, copy_text ("-i"));
    add (c, copy_text (c->listen_address));
    add (c, copy_text ("-p"));
    add (c, copy_text (c->listen_port));
  }
  else {
    add (c, copy_text ("-U"));
    add (c, c->nbd);
  }
  add (c, copy_text ("--filter=remap"));
  if (c->main_start)
    add (c, copy_text ("--filter=offset"));
  add (c, copy_text (direct ? "direct" : "file"));
  add (c, text_of ("%s=%s", direct ? "device" : "file", c->main.path));
  if (c->main_start)
    add (c, text_of ("offset=%" PRIu64, c->main_start << SECTOR_SHIFT));
  add (c, text_of ("spare=%s", c->spare.path));
  if (c->spare_start)
    add (c, text_of ("spare-offset=%" PRIu64,
                     c->spare_start << SECTOR_SHIFT));
  /* Without a size the spare takes the rest of what is there, and grows with
   * it; and a new file grows by itself.
   */
  if (c->has_total)
    add (c, text_of ("spare-size=%" PRIu64, c->spare_total << SECTOR_SHIFT));
  if (c->spare_valid)
    add (c, copy_text ("spare-create=no"));
  /* The unit has a folder of its own; and what is allowed once isn't for ever.
   */
  if (!c->unit) {
    add (c, text_of ("spare-state=%s", c->state_folder));
    if (c->new_spare)
      add (c, copy_text ("spare-new=yes"));
    if (c->older_spare)
      add (c, copy_text ("spare-older=yes"));
  }
  if (c->same_disk || c->main.is_image)
    add (c, copy_text ("spare-same-disk=yes"));
  if (c->label)
    add (c, text_of ("remap-label=%s", c->label));
  if (c->status_group && !c->unit)
    add (c, text_of ("remap-status-group=%s", c->status_group));
  if (c->for_copying)
    add (c, copy_text ("remap-lost=zero"));
  if (c->read_only)
    add (c, copy_text ("-r"));
  for (int i = 0; i < c->nr_extra; i++)
    add (c, copy_text (c->extra[i]));
  add (c, text_of ("remap-status=%s", c->status));
  add (c, text_of ("remap-control=%s", c->control));
}

char *
create_command_text (const struct create *c)
{
  static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  char *text = NULL;
  size_t size;
  FILE *fp = open_memstream (&text, &size);

  for (size_t i = 0; fp && i < c->argc; i++) {
    const char *s = c->argv[i];

    if (i > 0)
      fputc (' ', fp);
    if (*s && s[strspn (s, plain)] == '\0') {
      fputs (s, fp);
      continue;
    }
    fputc ('\'', fp);
    for (; *s; s++)
      fputs (*s == '\'' ? "'\\''" : (char[]) { *s, '\0' }, fp);
    fputc ('\'', fp);
  }
  if (fp == NULL || fclose (fp) != 0)
    return copy_text ("(out of memory)");
  return text;
}
