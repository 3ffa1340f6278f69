/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What is in a server's reply.  None of it is trusted: a server of another
 * version, or something else that listens there, leads to one message and no
 * more.
 */

#ifndef REMAPCTL_REPLY_H
#define REMAPCTL_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

/* The get functions read the field at a path ("main.size").  One that is
 * missing or of another type sets BAD, with a message if it is the first, and
 * reads as zero, false, "" or NULL.
 */
struct reader {
  const json_t *root;                   /* not owned */
  bool bad;
};

extern uint64_t get_uint (struct reader *r, const char *path);
extern bool get_bool (struct reader *r, const char *path);
extern const char *get_string (struct reader *r, const char *path);
extern const json_t *get_array (struct reader *r, const char *path);

/* Reads an element of an array. */
extern struct reader array_reader (const json_t *array, size_t i);

/* Prints as an error what a reply says whose "ok" is false, and how much of
 * the request was done before that.
 */
extern void print_refusal (const json_t *reply);

/* The same as text, in new memory. */
extern char *refusal_text (const json_t *reply);

/* Prints JSON in one line. */
extern void print_json (const json_t *json);

#endif /* REMAPCTL_REPLY_H */
