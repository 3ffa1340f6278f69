/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Replies of the control socket: JSON, put together and turned into a line.
 *
 * If memory runs out a reply is NULL, which all functions here and all of
 * jansson's accept as an argument.
 */

#ifndef REMAP_CONTROL_REPLY_H
#define REMAP_CONTROL_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

extern json_t *control_ok (void);
extern json_t *control_error (const char *text);

/* TEXT as a JSON string: bytes that aren't UTF-8 become question marks. */
extern json_t *control_text (const char *text);

/* The line for a reply, \n included, in malloc'd memory, and its length;
 * the reference is taken over.  NULL: out of memory.
 */
extern char *control_encode (json_t *reply, size_t *len);

/* Does this line begin as those of control_ok do?  LINE may be NULL. */
extern bool control_says_ok (const char *line);

/* Puts a number into an object. */
extern void put_number (json_t *object, const char *key, uint64_t n);

/* Appends the sectors {"start", "count"} to an array. */
extern void append_range (json_t *array, uint64_t start, uint64_t count);

#endif /* REMAP_CONTROL_REPLY_H */
