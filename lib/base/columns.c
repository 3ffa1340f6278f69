/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Lists of bad areas that consist of columns of numbers.
 *
 * Which of them a text is shows line by line, from the number of columns and
 * what is in them.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>

#include "base/columns.h"

#define MAX_COLUMNS 3           /* more are allowed, and mean nothing */
#define MAX_SECTOR 65536        /* bytes; no disk has larger ones */

static const char *
a_list (enum list_format format)
{
  switch (format) {
  case LIST_MAPFILE: return "ddrescue mapfile";
  case LIST_BADBLOCKS: return "badblocks list";
  case LIST_RANGES: return "list of ranges";
  default: return "log of HDDSuperClone or OpenSuperClone";
  }
}

static int
set_format (struct columns *c, const struct listing *l, struct token t,
            enum list_format format)
{
  if (c->format == LIST_ANY)
    c->format = format;
  if (c->format == format)
    return 0;
  if (c->told)
    return listing_complain (l, t, "begins a line of a %s, and not of a %s: "
                             "leave --format out if that is what the list is",
                             a_list (format), a_list (c->format));
  return listing_complain (l, t, "begins a line of a %s, but the lines before "
                           "it are those of a %s", a_list (format),
                           a_list (c->format));
}

static bool
is_hexadecimal (struct token t)
{
  return token_begins (t, "0x") || token_begins (t, "0X");
}

/* A mapfile or log describes a disk of at least so many bytes. */
static void
describes (struct columns *c, uint64_t end)
{
  c->extent = max_u64 (c->extent, end);
}

/* "POSITION SIZE STATUS" */
static int
mapfile_block (struct columns *c, struct listing *l, const struct token *t)
{
  uint64_t offset, count, end;
  int r;

  if ((r = listing_number (l, t[0], &offset)) != 0 ||
      (r = listing_number (l, t[1], &count)) != 0)
    return r;
  if (!token_is_one_of (t[2], "?*/-+"))
    return listing_complain (l, t[2], "is not the status of a block: expected "
                             "one of ? * / - +");
  if (__builtin_add_overflow (offset, count, &end))
    return listing_complain (l, t[0], "and the size after it reach beyond 64 "
                             "bits");
  describes (c, end);
  if (!token_is_one_of (t[2], "*/-"))
    return 0;
  return listing_add (l, t[0], offset, count);
}

/* "POSITION STATUS [PASS]", the first line of a mapfile that isn't a
 * comment.  It says where ddrescue was, and nothing about the disk.
 */
static int
mapfile_position (struct columns *c, struct listing *l, const struct token *t,
                  size_t n)
{
  uint64_t ignored;
  int r;

  if (c->first_seen || (c->format == LIST_MAPFILE && !c->told))
    return listing_complain (l, t[1], "is not a size: expected \"position "
                             "size status\"");
  if ((r = set_format (c, l, t[0], LIST_MAPFILE)) != 0)
    return r;
  c->first_seen = true;
  if ((r = listing_number (l, t[0], &ignored)) != 0)
    return r;
  return n < 3 ? 0 : listing_digits (l, t[2], 0, 10, &ignored);
}

/* "POSITION SIZE STATUS INFO ERROR", in sectors.  The status is what was to
 * be done with the block: 0x00 copy it, 0x10 trim, 0x20 divide, 0x30 scrape,
 * 0x40 try it again, 0x7f nothing.  Its last four bits are the pass; 0x80 is
 * a mark for a bad head.
 */
static int
superclone_block (struct columns *c, struct listing *l, const struct token *t)
{
  const uint32_t unit = c->block ? c->block : c->sector ? c->sector :
    SECTOR_SIZE;
  uint64_t start, count, status, end, bytes;
  int r;

  if ((r = listing_number (l, t[0], &start)) != 0 ||
      (r = listing_number (l, t[1], &count)) != 0 ||
      (r = listing_number (l, t[2], &status)) != 0)
    return r;
  if (c->block && c->sector && c->block != c->sector)
    return listing_complain (l, t[0], "begins a line of a log whose sectors "
                             "have %" PRIu32 " bytes: leave --block-size out",
                             c->sector);
  if (status > 0xff || (status & 0x70) == 0x50 || (status & 0x70) == 0x60)
    return listing_complain (l, t[2], "is not the status of a block");
  if (__builtin_add_overflow (start, count, &end) ||
      __builtin_mul_overflow (end, (uint64_t) unit, &bytes))
    return listing_complain (l, t[0], "and the size after it reach beyond 64 "
                             "bits");
  describes (c, bytes);
  if ((status & 0x70) == 0 || (status & 0x70) == 0x70)
    return 0;
  return listing_add_blocks (l, t[0], start, count, unit);
}

/* "POSITION STATUS", a log's first line. */
static int
superclone_position (struct columns *c, struct listing *l,
                     const struct token *t)
{
  uint64_t ignored;
  int r;

  if ((r = set_format (c, l, t[0], LIST_SUPERCLONE)) != 0)
    return r;
  if (c->first_seen)
    return listing_complain (l, t[0], "begins a line of two columns: expected "
                             "\"position size status\"");
  c->first_seen = true;
  if ((r = listing_number (l, t[0], &ignored)) != 0)
    return r;
  return listing_number (l, t[1], &ignored);
}

/* "# sectorsize 512" of a log's configuration.  A comment is never refused. */
static void
superclone_comment (struct columns *c, const struct listing *l,
                    struct token line)
{
  const struct listing quiet = { .line = l->line };
  struct token t[4];
  uint64_t n;

  if (token_split (line, t, 4) == 3 && token_is (t[0], "#") &&
      token_is (t[1], "sectorsize") &&
      listing_digits (&quiet, t[2], 0, 10, &n) == 0 &&
      n >= SECTOR_SIZE && n <= MAX_SECTOR)
    c->sector = (uint32_t) n;
}

/* One block number. */
static int
badblocks_block (struct columns *c, struct listing *l, struct token t)
{
  uint64_t number;
  int r;

  if ((r = set_format (c, l, t, LIST_BADBLOCKS)) != 0 ||
      (r = listing_digits (l, t, 0, 10, &number)) != 0)
    return r;
  return listing_add_blocks (l, t, number, 1, c->block ? c->block : 1024);
}

/* "START COUNT" */
static int
range (struct listing *l, const struct token *t, size_t n)
{
  uint64_t start, count;
  int r;

  if (n != 2)
    return listing_complain (l, t[0], "begins a line of %zu columns: expected "
                             "\"start count\"", n);
  if ((r = listing_digits (l, t[0], 0, 10, &start)) != 0 ||
      (r = listing_digits (l, t[1], 0, 10, &count)) != 0)
    return r;
  return listing_add_blocks (l, t[0], start, count, SECTOR_SIZE);
}

int
columns_line (struct columns *c, struct listing *l, struct token line)
{
  struct token t[MAX_COLUMNS];
  const size_t n = token_split (token_skip_comment (line), t, MAX_COLUMNS);
  int r;

  if (n == 0) {
    superclone_comment (c, l, line);
    return 0;
  }
  if (c->format == LIST_RANGES)
    return range (l, t, n);
  if (n == 1)
    return badblocks_block (c, l, t[0]);
  if (token_is_one_of (t[1], "?*/-FG+"))
    return mapfile_position (c, l, t, n);
  if (n == 2 && is_hexadecimal (t[0]) && is_hexadecimal (t[1]))
    return superclone_position (c, l, t);
  if (n == 2)
    return listing_complain (l, t[0], "begins a line of two columns: expected "
                             "\"position size status\" (ddrescue mapfile) or "
                             "one block number (badblocks list); if these are "
                             "start and count of sectors, as sysfs has them, "
                             "say --format=ranges");
  if (is_hexadecimal (t[2])) {
    r = set_format (c, l, t[0], LIST_SUPERCLONE);
    return r ? r : superclone_block (c, l, t);
  }
  r = set_format (c, l, t[0], LIST_MAPFILE);
  return r ? r : mapfile_block (c, l, t);
}
