/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Parser of ddrescue mapfiles and badblocks(8) lists.
 *
 * Which of the two a text is shows line by line, from the number of
 * columns; a text that mixes them is refused, because half of it would be
 * taken for something that it isn't.  Nothing here relies on the text
 * being terminated, being small, or being text.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/areas.h"
#include "base/array.h"

#define MAX_COLUMNS 3           /* more are allowed, and mean nothing */

/* A column of a line, not terminated. */
struct token {
  const char *s;
  size_t len;
};

enum text_kind { KIND_UNKNOWN, KIND_MAPFILE, KIND_BADBLOCKS };

struct parser {
  enum text_kind kind;
  bool status_line_seen;        /* of a mapfile */
  uint64_t line;                /* from 1 */
  uint32_t block;               /* bytes */
  bool sorted;                  /* so far */
  size_t cap;                   /* of list->v, entries */
  struct area_list *list;
  struct message *message;
};

/* Complains about a token, made printable and cut to a sane length. */
static int __attribute__ ((format (printf, 3, 4)))
bad_token (const struct parser *p, const struct token *t, const char *fs, ...)
{
  char shown[33], why[256];
  size_t i;
  va_list args;

  for (i = 0; i < t->len && i < sizeof shown - 1; i++) {
    const unsigned char c = (unsigned char) t->s[i];

    shown[i] = c < 0x20 || c >= 0x7f ? '?' : (char) c;
  }
  shown[i] = '\0';
  va_start (args, fs);
  vsnprintf (why, sizeof why, fs, args);
  va_end (args);
  message_set (p->message, "line %" PRIu64 ": '%s'%s %s", p->line, shown,
               i < t->len ? "..." : "", why);
  return EINVAL;
}

/* Digits of BASE, all of the token, into *N. */
static int
parse_digits (const struct parser *p, const struct token *t, size_t skip,
              unsigned base, uint64_t *n)
{
  uint64_t r = 0;

  if (t->len <= skip)
    return bad_token (p, t, "is not a number");
  for (size_t i = skip; i < t->len; i++) {
    const char c = t->s[i];
    unsigned digit;

    if (c >= '0' && c <= '9')
      digit = (unsigned) (c - '0');
    else if (c >= 'a' && c <= 'f')
      digit = (unsigned) (c - 'a') + 10;
    else if (c >= 'A' && c <= 'F')
      digit = (unsigned) (c - 'A') + 10;
    else
      digit = 16;
    if (digit >= base)
      return bad_token (p, t, "is not a%snumber (at most 64 bits, without "
                        "sign or suffix)",
                        base == 8 ? "n octal " : base == 10 ? " decimal " :
                        " hexadecimal ");
    if (__builtin_mul_overflow (r, (uint64_t) base, &r) ||
        __builtin_add_overflow (r, (uint64_t) digit, &r))
      return bad_token (p, t, "is too large: numbers have at most 64 bits");
  }
  *n = r;
  return 0;
}

/* An integer constant as C writes it: 0x is hexadecimal, 0 is octal. */
static int
parse_number (const struct parser *p, const struct token *t, uint64_t *n)
{
  if (t->len >= 2 && t->s[0] == '0' && (t->s[1] == 'x' || t->s[1] == 'X'))
    return parse_digits (p, t, 2, 16, n);
  if (t->len >= 2 && t->s[0] == '0')
    return parse_digits (p, t, 1, 8, n);
  return parse_digits (p, t, 0, 10, n);
}

static bool
is_one_of (const struct token *t, const char *chars)
{
  return t->len == 1 && t->s[0] != '\0' && strchr (chars, t->s[0]) != NULL;
}

/* Appends an area, or extends the last one where it continues it: a list
 * in ascending order, which is what programs write, takes no more memory
 * than its result.
 */
static int
add_area (struct parser *p, uint64_t offset, uint64_t count)
{
  struct area_list *list = p->list;
  struct area *last = list->n ? &list->v[list->n - 1] : NULL, *v;

  if (count == 0)
    return 0;
  if (last) {
    if (last->offset <= offset && offset - last->offset <= last->count) {
      const uint64_t skip = offset - last->offset;

      if (count > last->count - skip)
        last->count = skip + count;
      return 0;
    }
    if (offset < last->offset)
      p->sorted = false;
  }

  v = array_room (list->v, list->n, &p->cap, sizeof *v, 64);
  if (v == NULL) {
    message_set (p->message, "line %" PRIu64 ": out of memory", p->line);
    return ENOMEM;
  }
  list->v = v;
  list->v[list->n++] = (struct area) { .offset = offset, .count = count };
  return 0;
}

static int
set_kind (struct parser *p, const struct token *t, enum text_kind kind)
{
  if (p->kind == KIND_UNKNOWN)
    p->kind = kind;
  if (p->kind == kind)
    return 0;
  return bad_token (p, t, kind == KIND_BADBLOCKS ?
                    "stands alone, as in a badblocks list, but the lines "
                    "before it are those of a ddrescue mapfile" :
                    "begins a line of a ddrescue mapfile, but the lines "
                    "before it are those of a badblocks list");
}

/* "POSITION SIZE STATUS" */
static int
parse_mapfile_block (struct parser *p, const struct token *t)
{
  uint64_t offset, count, end;
  int r;

  if ((r = parse_number (p, &t[0], &offset)) != 0 ||
      (r = parse_number (p, &t[1], &count)) != 0)
    return r;
  if (!is_one_of (&t[2], "?*/-+"))
    return bad_token (p, &t[2], "is not the status of a block: expected one "
                      "of ? * / - +");
  if (__builtin_add_overflow (offset, count, &end))
    return bad_token (p, &t[0], "and the size after it reach beyond 64 bits");
  if (!is_one_of (&t[2], "*/-"))
    return 0;
  return add_area (p, offset, count);
}

/* "POSITION STATUS [PASS]", the first line of a mapfile that isn't a
 * comment.  It says where ddrescue was, and nothing about the disk.
 */
static int
parse_status_line (struct parser *p, const struct token *t, size_t n)
{
  uint64_t ignored;
  int r;

  if (p->status_line_seen || p->kind == KIND_MAPFILE)
    return bad_token (p, &t[1], "is not a size: expected \"position size "
                      "status\"");
  if ((r = set_kind (p, &t[0], KIND_MAPFILE)) != 0)
    return r;
  p->status_line_seen = true;
  if ((r = parse_number (p, &t[0], &ignored)) != 0)
    return r;
  return n < 3 ? 0 : parse_digits (p, &t[2], 0, 10, &ignored);
}

/* One block number. */
static int
parse_badblocks_line (struct parser *p, const struct token *t)
{
  uint64_t number, offset, end;
  int r;

  if ((r = parse_digits (p, t, 0, 10, &number)) != 0)
    return r;
  if (__builtin_mul_overflow (number, (uint64_t) p->block, &offset) ||
      __builtin_add_overflow (offset, (uint64_t) p->block, &end))
    return bad_token (p, t, "is too large a block number for blocks of "
                      "%" PRIu32 " bytes", p->block);
  return add_area (p, offset, p->block);
}

static bool
is_space (char c)
{
  return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* Splits a line into its first columns; returns how many it has, without
 * the comment.  A '#' within a column doesn't begin a comment.
 */
static size_t
split_line (const char *s, size_t len, struct token *t)
{
  size_t n = 0, i = 0;

  for (;;) {
    while (i < len && is_space (s[i]))
      i++;
    if (i == len || s[i] == '#')
      return n;
    const size_t start = i;
    while (i < len && !is_space (s[i]))
      i++;
    if (n < MAX_COLUMNS)
      t[n] = (struct token) { .s = s + start, .len = i - start };
    n++;
  }
}

static int
parse_line (struct parser *p, const char *s, size_t len)
{
  struct token t[MAX_COLUMNS];
  const size_t n = split_line (s, len, t);
  int r;

  if (n == 0)
    return 0;
  if (n == 1) {
    if ((r = set_kind (p, &t[0], KIND_BADBLOCKS)) != 0)
      return r;
    return parse_badblocks_line (p, &t[0]);
  }
  if (is_one_of (&t[1], "?*/-FG+"))
    return parse_status_line (p, t, n);
  if (n == 2)
    return bad_token (p, &t[0], "begins a line of two columns: expected "
                      "\"position size status\" (ddrescue mapfile) or one "
                      "block number (badblocks list)");
  if ((r = set_kind (p, &t[0], KIND_MAPFILE)) != 0)
    return r;
  return parse_mapfile_block (p, t);
}

static int
compare_areas (const void *a, const void *b)
{
  const uint64_t x = ((const struct area *) a)->offset;
  const uint64_t y = ((const struct area *) b)->offset;

  return x < y ? -1 : x > y;
}

/* Joins areas that touch or overlap; ascending order is given. */
static void
join_areas (struct area_list *list)
{
  size_t n = 0;

  for (size_t i = 0; i < list->n; i++) {
    const struct area a = list->v[i];

    if (n > 0 && a.offset - list->v[n-1].offset <= list->v[n-1].count) {
      const uint64_t skip = a.offset - list->v[n-1].offset;

      if (a.count > list->v[n-1].count - skip)
        list->v[n-1].count = skip + a.count;
    }
    else
      list->v[n++] = a;
  }
  list->n = n;
}

int
areas_parse (const char *text, size_t len, uint32_t block,
             struct area_list *list, struct message *message)
{
  struct parser p = {
    .block = block, .sorted = true, .list = list, .message = message,
  };
  size_t i = 0;

  *list = (struct area_list) { 0 };
  if (block == 0) {
    message_set (message, "the block size of a badblocks list can't be 0");
    return EINVAL;
  }

  while (i < len) {
    const char *newline = memchr (text + i, '\n', len - i);
    const size_t n = newline ? (size_t) (newline - (text + i)) : len - i;
    int r;

    p.line++;
    if ((r = parse_line (&p, text + i, n)) != 0) {
      area_list_free (list);
      return r;
    }
    i += n + 1;
  }

  if (!p.sorted) {
    qsort (list->v, list->n, sizeof *list->v, compare_areas);
    join_areas (list);
  }
  return 0;
}

void
area_list_free (struct area_list *list)
{
  free (list->v);
  *list = (struct area_list) { 0 };
}

const struct area *
area_list_find (const struct area_list *list, uint64_t offset, uint64_t count)
{
  size_t low = 0, high = list->n;

  /* The first area that ends after OFFSET. */
  while (low < high) {
    const size_t mid = low + (high - low) / 2;
    const struct area *a = &list->v[mid];

    if (a->offset + a->count > offset)
      high = mid;
    else
      low = mid + 1;
  }
  if (low == list->n || count == 0)
    return NULL;
  if (list->v[low].offset > offset && list->v[low].offset - offset >= count)
    return NULL;
  return &list->v[low];
}
