/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * One error message for the caller.
 *
 * Functions of lib/ return an errno value (0 for success) and, where they
 * take a struct message, say in it what was wrong with which object; the
 * caller prints it, once.  A message that is too long is cut off.
 */

#ifndef REMAP_MESSAGE_H
#define REMAP_MESSAGE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

struct message {
  char text[512];
};

/* M may be NULL: then nobody wants to know. */
static inline void __attribute__ ((format (printf, 2, 3)))
message_set (struct message *m, const char *fs, ...)
{
  va_list args;

  if (m == NULL)
    return;
  va_start (args, fs);
  vsnprintf (m->text, sizeof m->text, fs, args);
  va_end (args);
}

#endif /* REMAP_MESSAGE_H */
