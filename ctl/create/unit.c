/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <string.h>

#include "create/unit.h"
#include "text.h"

#define NR_SOCKETS 2

/* The environment file and the unit read escapes differently. */
static const char unwanted[] = "'\"\\";

static bool
is_plain (const char *s)
{
  if (strpbrk (s, unwanted))
    return false;
  for (; *s; s++)
    if ((unsigned char) *s < ' ' || *s == 0x7f)
      return false;
  return true;
}

static void
print_word (const char *s, const char *before, FILE *fp)
{
  const char *quote = *s == '\0' || strchr (s, ' ') ? "'" : "";

  fprintf (fp, "%s%s%s%s", before, quote, s, quote);
}

static void
print_comments (const char *lines, FILE *fp)
{
  for (size_t n; *lines; lines += n) {
    n = strcspn (lines, "\n") + 1;
    fprintf (fp, "# %.*s\n", (int) n - 1, lines);
    if (lines[n - 1] == '\0')
      break;
  }
}

/* The unit has PrivateTmp=yes: at its next start the spare is gone. */
static bool
is_temporary (const char *path)
{
  return strncmp (path, "/tmp/", 5) == 0 ||
    strncmp (path, "/var/tmp/", 9) == 0;
}

/* The unit itself has what comes before, and the last arguments, which are the
 * sockets for remapctl.
 */
static size_t
first_argument (const struct create *c)
{
  size_t first = 0;

  while (strcmp (c->argv[first], "--filter=remap") != 0)
    first++;
  return first;
}

int
create_check_unit (const struct create *c)
{
  if (c->status_group && !is_plain (c->status_group)) {
    error ("create: '%s' can't be the name of a group", c->status_group);
    return CREATE_ARGUMENTS;
  }
  for (size_t i = first_argument (c); i < c->argc - NR_SOCKETS; i++)
    if (!is_plain (c->argv[i])) {
      error ("create: '%s' has quotes, backslashes or control characters, "
             "which systemd would change", c->argv[i]);
      return CREATE_ARGUMENTS;
    }
  return 0;
}

void
create_print_unit (const struct create *c, FILE *fp)
{
  const size_t first = first_argument (c);

  fprintf (fp, "# /etc/nbdkit-remap/%s.conf, for nbdkit-remap@%s.service\n",
           c->name, c->name);
  print_comments (c->adjusted, fp);
  if (is_temporary (c->spare.path)) {
    fputs ("# Warning: the unit's own /tmp and /var/tmp are removed when it "
           "stops,\n# and what was remapped with them: put the spare "
           "elsewhere.\n", fp);
    error ("create: warning: spare_dev=%s: the unit's own /tmp and /var/tmp "
           "are removed when it stops, and what was remapped with them: put "
           "the spare elsewhere", c->spare.path);
  }
  if (!c->spare_valid)
    fputs ("# The spare isn't there yet: without --dry-run it is made, and "
           "this file says\n# spare-create=no.\n", fp);
  fputs ("REMAP_ARGS=\"", fp);
  for (size_t i = first + 1; i < c->argc - NR_SOCKETS; i++)
    print_word (c->argv[i], i > first + 1 ? " " : "", fp);
  fputs ("\"\n", fp);
  if (c->status_group)
    fprintf (fp, "STATUS_GROUP=%s\n", c->status_group);
  if (c->listen_address)
    fprintf (fp, "NBDKIT_ARGS=\"-i %s -p %s\"\n", c->listen_address,
             c->listen_port);
}
