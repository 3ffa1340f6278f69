/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the readers of lists of bad areas share: a line's columns, numbers,
 * complaints that name the line, and what is appended to the result.
 *
 * A text is not terminated and need not be text; nothing is believed of it
 * (promise 23 of remap-promises(7)).  All functions that return an int return
 * 0, EINVAL, or ENOMEM; then the message says why, and in which line.
 */

#ifndef REMAP_LISTING_H
#define REMAP_LISTING_H

#include "base/areas.h"
#include "base/message.h"

/* A part of a line, not terminated. */
struct token {
  const char *s;
  size_t len;
};

/* A list that is being read. */
struct listing {
  uint64_t line;           /* from 1 */
  uint64_t offset;         /* bytes, added to every area */
  struct area_list *list;
  struct message *message;

  /* Lists that name devices: which one is wanted, by its name in /dev, or
   * NULL, if they must all be about one; and the one that was named first.
   */
  const char *device;
  char first_device[33];
  uint64_t first_line;     /* that named it; 0: none yet */
  bool device_seen;        /* the wanted one */
};

/* Complains about a token, made printable and cut to a sane length. */
extern int listing_complain (const struct listing *l, struct token t,
                             const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

/* Digits of BASE (8, 10, 16) from SKIP on, all of the token, into *N. */
extern int listing_digits (const struct listing *l, struct token t,
                           size_t skip, unsigned base, uint64_t *n);

/* An integer constant as C writes it: 0x is hexadecimal, 0 is octal. */
extern int listing_number (const struct listing *l, struct token t,
                           uint64_t *n);

/* Appends an area, of bytes; or of blocks of UNIT bytes, from number START
 * on.  A complaint is about T.
 */
extern int listing_add (struct listing *l, struct token t, uint64_t offset,
                        uint64_t count);
extern int listing_add_blocks (struct listing *l, struct token t,
                               uint64_t start, uint64_t count,
                               uint32_t unit);

/* A line is about this device, "/dev/sda" or "sda": is it the wanted one?
 * A second device, if none is wanted, is refused.
 */
extern int listing_device (struct listing *l, struct token t, bool *wanted);

/* Splits a line at white space into its first columns, MAX at most; returns
 * how many it has.  token_skip_comment: without what follows a '#' at the
 * beginning or after white space.
 */
extern size_t token_split (struct token line, struct token *t, size_t max);
extern struct token token_skip_comment (struct token line);

/* The line without white space at its ends. */
extern struct token token_trim (struct token line);

extern bool token_is (struct token t, const char *s);
extern bool token_begins (struct token t, const char *s);

/* What follows the first S in the token; s is NULL if it isn't there. */
extern struct token token_after (struct token t, const char *s);

/* What is before the first S in the token; all of it if it isn't there. */
extern struct token token_before (struct token t, const char *s);

/* Is it one of these characters? */
extern bool token_is_one_of (struct token t, const char *chars);

#endif /* REMAP_LISTING_H */
