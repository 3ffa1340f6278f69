/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command-line.h"

enum option { OTHER, READ_ONLY, RUN, LOG_ELSEWHERE };

/* Which option is this word of a command line?  nbdkit takes abbreviations
 * of long options (--readonly, --read-only, --run), and single letters in one
 * word (-fr).  SKIP is set if the next word is an option's value.
 */
static enum option
option_of (const char *word, bool *skip)
{
  static const char with_value[] = "DegipPtuU";

  *skip = false;
  if (strncmp (word, "--ru", 4) == 0) {
    *skip = strchr (word, '=') == NULL;
    return RUN;
  }
  if (strncmp (word, "--lo", 4) == 0) {
    *skip = strchr (word, '=') == NULL;
    return strstr (word, "=stderr") ? OTHER : LOG_ELSEWHERE;
  }
  if (strncmp (word, "--", 2) == 0)
    return strncmp (word, "--r", 3) == 0 ? READ_ONLY : OTHER;
  if (word[0] != '-')
    return OTHER;
  for (word++; *word; word++) {
    if (*word == 'r')
      return READ_ONLY;
    if (strchr (with_value, *word)) {
      *skip = word[1] == '\0';
      return OTHER;
    }
  }
  return OTHER;
}

/* The words of the command line, one string after the other, in malloc'd
 * memory; LEN counts their NULs.  NULL if it can't be read.
 */
static char *
read_command_line (size_t *len)
{
  size_t size = 0;
  char *text = NULL, *p;
  ssize_t r = -1;
  int fd = open ("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

  *len = 0;
  if (fd == -1)
    return NULL;
  do {
    if (*len + 1 >= size) {
      size = size ? 2 * size : 4096;
      p = realloc (text, size);
      if (p == NULL)
        break;
      text = p;
    }
    r = read (fd, text + *len, size - 1 - *len);
    if (r > 0)
      *len += r;
  } while (r > 0);
  close (fd);
  if (r != 0) {
    free (text);
    return NULL;
  }
  text[*len] = '\0';
  return text;
}

/* 1: it is among them; 0; -1: that can't be found out. */
static int
has_option (enum option wanted)
{
  size_t len, i;
  bool found = false, skip = false;
  char *text = read_command_line (&len);

  if (text == NULL || len == 0) {
    free (text);
    return -1;
  }
  for (i = strlen (text) + 1; i < len; i += strlen (text + i) + 1) {
    if (skip)
      skip = false;
    else if (option_of (text + i, &skip) == wanted)
      found = true;
  }
  free (text);
  return found;
}

int
command_line_is_read_only (void)
{
  return has_option (READ_ONLY);
}

int
command_line_has_run (void)
{
  return has_option (RUN);
}

int
command_line_logs_elsewhere (void)
{
  return has_option (LOG_ELSEWHERE);
}
