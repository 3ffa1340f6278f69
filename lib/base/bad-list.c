/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Lists of bad areas: which format a text has, and reading it.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bad-list.h"
#include "base/columns.h"
#include "base/messages.h"

static const char *const names[LIST_FORMATS] = {
  [LIST_ANY] = "any", [LIST_MAPFILE] = "mapfile",
  [LIST_BADBLOCKS] = "badblocks", [LIST_RANGES] = "ranges",
  [LIST_SUPERCLONE] = "superclone", [LIST_MDADM] = "mdadm",
  [LIST_KERNEL] = "kernel", [LIST_SMARTCTL] = "smartctl",
};

/* Takes a line off a text.  False at its end. */
static bool
next_line (struct token *text, struct token *line)
{
  if (text->len == 0)
    return false;
  *line = token_before (*text, "\n");
  text->s += line->len;
  text->len -= line->len;
  if (text->len > 0)
    text->s++, text->len--;
  return true;
}

/* A text may begin with a mark that says how its characters are stored. */
static int
skip_byte_order_mark (struct token *text, struct message *message)
{
  if (token_begins (*text, "\xef\xbb\xbf"))
    *text = (struct token) { text->s + 3, text->len - 3 };
  if (!token_begins (*text, "\xff\xfe") && !token_begins (*text, "\xfe\xff"))
    return 0;
  message_set (message, "line 1: the text is UTF-16: convert it, with "
               "iconv -f UTF-16 -t UTF-8");
  return EINVAL;
}

/* Messages are recognised by single lines, which may be anywhere; columns of
 * numbers, LIST_ANY, by all of them.
 */
static int
recognise (struct token text, enum list_format *format,
           struct message *message)
{
  struct token line;
  uint64_t first = 0;

  *format = LIST_ANY;
  for (uint64_t n = 1; next_line (&text, &line); n++) {
    const enum list_format f = messages_recognise (line);

    if (f == LIST_ANY || f == *format)
      continue;
    if (*format != LIST_ANY) {
      message_set (message, "line %" PRIu64 ": this is of the format %s, and "
                   "line %" PRIu64 " of the format %s: say --format=FORMAT",
                   n, names[f], first, names[*format]);
      return EINVAL;
    }
    *format = f;
    first = n;
  }
  return 0;
}

static int
parse_lines (struct token text, struct listing *l, struct columns *c,
             struct messages *m)
{
  struct token line;
  int r = 0;

  while (r == 0 && next_line (&text, &line)) {
    l->line++;
    switch (c->format) {
    case LIST_KERNEL: r = kernel_line (m, l, line); break;
    case LIST_MDADM: r = mdadm_line (m, l, line); break;
    case LIST_SMARTCTL: r = smartctl_line (m, l, line); break;
    default: r = columns_line (c, l, line);
    }
  }
  return r;
}

/* Options that mean nothing for this format, or that nothing came of. */
static int
check_options (const struct list_options *o, enum list_format format,
               const struct listing *l)
{
  const bool names_devices = format == LIST_KERNEL || format == LIST_MDADM;

  if (o->block >= 0 && !list_format_takes_block (format)) {
    message_set (l->message, "the format %s has sectors of 512 bytes: leave "
                 "--block-size out", names[format]);
    return EINVAL;
  }
  if (o->device && !names_devices) {
    message_set (l->message, "the format %s names no devices: leave --device "
                 "out", names[format]);
    return EINVAL;
  }
  if (o->device && !l->device_seen) {
    message_set (l->message, "nothing is listed of a device '%s'", o->device);
    return EINVAL;
  }
  return 0;
}

int
bad_list_parse (const char *text, size_t len, const struct list_options *o,
                struct area_list *list, struct list_about *about,
                struct message *message)
{
  struct listing l = {
    .offset = o->offset, .device = o->device, .list = list,
    .message = message,
  };
  struct columns c = {
    .format = o->format, .told = o->format != LIST_ANY,
    .block = o->block > 0 ? (uint32_t) o->block : 0,
  };
  struct messages m = { .wanted = o->device == NULL, .block = c.block };
  struct token all = { text, len };
  int r;

  *list = (struct area_list) { 0 };
  *about = (struct list_about) { 0 };
  if (o->block == 0) {
    message_set (message, "the block size of a badblocks list can't be 0");
    return EINVAL;
  }
  if ((r = skip_byte_order_mark (&all, message)) != 0 ||
      (!c.told && (r = recognise (all, &c.format, message)) != 0))
    return r;
  if ((r = parse_lines (all, &l, &c, &m)) != 0 ||
      (r = check_options (o, c.format, &l)) != 0) {
    area_list_free (list);
    return r;
  }
  area_list_finish (list);
  about->format = c.format;
  about->extent = c.extent;
  about->left_out = m.left_out;
  snprintf (about->device, sizeof about->device, "%s",
            o->device ? o->device : l.first_device);
  return 0;
}

const char *
list_format_name (enum list_format format)
{
  return names[format];
}

enum list_format
list_format_find (const char *name)
{
  enum list_format f = LIST_ANY;

  while (f < LIST_FORMATS && strcmp (name, names[f]) != 0)
    f++;
  return f;
}

bool
list_format_takes_block (enum list_format format)
{
  return format != LIST_RANGES && format != LIST_MDADM &&
    format != LIST_KERNEL;
}
