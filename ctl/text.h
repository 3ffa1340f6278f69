/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Messages, text in new memory, and text that comes from elsewhere.
 *
 * An error is printed where it is found, in one line on stderr; callers hand
 * on only that there was one.  What can't be allocated ends the program.
 */

#ifndef REMAPCTL_TEXT_H
#define REMAPCTL_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* The program's name, with which messages begin: "remapctl" at first.  NULL:
 * they aren't printed, and only last_error () has them.
 */
extern void set_program (const char *name);

/* Prints a line on stderr, after what was printed on stdout so far. */
extern void error (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));
extern void warning (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));

/* The last error's text, "" before there was one. */
extern const char *last_error (void);

/* Prints text that comes from elsewhere: '?' stands for each character that
 * would steer a terminal.
 */
extern void print_text (FILE *fp, const char *text);

/* These return new memory, which is the caller's, and never NULL. */
extern char *text_of (const char *fs, ...)
  __attribute__ ((format (printf, 1, 2)));
extern void *allocate (size_t n, size_t size);       /* zeroed */
extern char *copy_text (const char *s);

/* Flushes stdout, and returns STATUS; but if something could not be written
 * it says so, and never returns STATUS_DONE.
 */
extern int finish_output (int status);

#endif /* REMAPCTL_TEXT_H */
