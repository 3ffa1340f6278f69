/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the readers of lists of bad areas share.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/listing.h"

static bool
is_space (char c)
{
  return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* The token as text, in BUF of SIZE bytes. */
static void
printable (struct token t, char *buf, size_t size)
{
  size_t i;

  for (i = 0; i < t.len && i < size - 1; i++) {
    const unsigned char c = (unsigned char) t.s[i];

    buf[i] = c < 0x20 || c >= 0x7f ? '?' : (char) c;
  }
  buf[i] = '\0';
}

int
listing_complain (const struct listing *l, struct token t, const char *fs,
                  ...)
{
  char shown[33], why[320];
  va_list args;

  printable (t, shown, sizeof shown);
  va_start (args, fs);
  vsnprintf (why, sizeof why, fs, args);
  va_end (args);
  message_set (l->message, "line %" PRIu64 ": '%s'%s %s", l->line, shown,
               t.len >= sizeof shown ? "..." : "", why);
  return EINVAL;
}

static unsigned
digit_of (char c)
{
  if (c >= '0' && c <= '9')
    return (unsigned) (c - '0');
  if (c >= 'a' && c <= 'f')
    return (unsigned) (c - 'a') + 10;
  if (c >= 'A' && c <= 'F')
    return (unsigned) (c - 'A') + 10;
  return 16;
}

int
listing_digits (const struct listing *l, struct token t, size_t skip,
                unsigned base, uint64_t *n)
{
  uint64_t r = 0;

  if (t.len <= skip)
    return listing_complain (l, t, "is not a number");
  for (size_t i = skip; i < t.len; i++) {
    const unsigned digit = digit_of (t.s[i]);

    if (digit >= base)
      return listing_complain (l, t, "is not a%snumber (at most 64 bits, "
                               "without sign or suffix)",
                               base == 8 ? "n octal " : base == 10 ?
                               " decimal " : " hexadecimal ");
    if (__builtin_mul_overflow (r, (uint64_t) base, &r) ||
        __builtin_add_overflow (r, (uint64_t) digit, &r))
      return listing_complain (l, t, "is too large: numbers have at most 64 "
                               "bits");
  }
  *n = r;
  return 0;
}

int
listing_number (const struct listing *l, struct token t, uint64_t *n)
{
  if (t.len >= 2 && t.s[0] == '0' && (t.s[1] == 'x' || t.s[1] == 'X'))
    return listing_digits (l, t, 2, 16, n);
  if (t.len >= 2 && t.s[0] == '0')
    return listing_digits (l, t, 1, 8, n);
  return listing_digits (l, t, 0, 10, n);
}

int
listing_add (struct listing *l, struct token t, uint64_t offset,
             uint64_t count)
{
  uint64_t from, end;

  if (__builtin_add_overflow (offset, count, &end))
    return listing_complain (l, t, "and the size after it reach beyond 64 "
                             "bits");
  if (__builtin_add_overflow (offset, l->offset, &from) ||
      __builtin_add_overflow (from, count, &end))
    return listing_complain (l, t, "lies beyond 64 bits when the offset of "
                             "%" PRIu64 " bytes is added", l->offset);
  if (area_list_add (l->list, from, count) == 0)
    return 0;
  message_set (l->message, "line %" PRIu64 ": out of memory", l->line);
  return ENOMEM;
}

int
listing_add_blocks (struct listing *l, struct token t, uint64_t start,
                    uint64_t count, uint32_t unit)
{
  uint64_t offset, bytes, end;

  if (__builtin_mul_overflow (start, (uint64_t) unit, &offset) ||
      __builtin_mul_overflow (count, (uint64_t) unit, &bytes) ||
      __builtin_add_overflow (offset, bytes, &end))
    return listing_complain (l, t, "is too large a block number for blocks "
                             "of %" PRIu32 " bytes", unit);
  return listing_add (l, t, offset, bytes);
}

int
listing_device (struct listing *l, struct token t, bool *wanted)
{
  const struct token name = token_begins (t, "/dev/") ?
    (struct token) { t.s + 5, t.len - 5 } : t;
  char shown[sizeof l->first_device];

  *wanted = l->device == NULL || token_is (name, l->device);
  if (l->device) {
    l->device_seen |= *wanted;
    return 0;
  }
  printable (name, shown, sizeof shown);
  if (l->first_line == 0) {
    memcpy (l->first_device, shown, sizeof shown);
    l->first_line = l->line;
  }
  if (strcmp (shown, l->first_device) == 0)
    return 0;
  return listing_complain (l, name, "is another device than '%s' in line "
                           "%" PRIu64 ": say which one is this disk, with "
                           "--device=NAME", l->first_device, l->first_line);
}

size_t
token_split (struct token line, struct token *t, size_t max)
{
  size_t n = 0, i = 0;

  for (;;) {
    while (i < line.len && is_space (line.s[i]))
      i++;
    if (i == line.len)
      return n;
    const size_t start = i;
    while (i < line.len && !is_space (line.s[i]))
      i++;
    if (n < max)
      t[n] = (struct token) { .s = line.s + start, .len = i - start };
    n++;
  }
}

struct token
token_skip_comment (struct token line)
{
  for (size_t i = 0; i < line.len; i++)
    if (line.s[i] == '#' && (i == 0 || is_space (line.s[i-1])))
      return (struct token) { line.s, i };
  return line;
}

struct token
token_trim (struct token line)
{
  while (line.len > 0 && is_space (line.s[line.len - 1]))
    line.len--;
  while (line.len > 0 && is_space (line.s[0]))
    line.s++, line.len--;
  return line;
}

bool
token_is (struct token t, const char *s)
{
  return t.len == strlen (s) && memcmp (t.s, s, t.len) == 0;
}

bool
token_begins (struct token t, const char *s)
{
  const size_t len = strlen (s);

  return t.len >= len && memcmp (t.s, s, len) == 0;
}

struct token
token_after (struct token t, const char *s)
{
  const size_t len = strlen (s);
  const char *p = t.len == 0 ? NULL : memmem (t.s, t.len, s, len);

  if (p == NULL)
    return (struct token) { NULL, 0 };
  return (struct token) { p + len, t.len - (size_t) (p - t.s) - len };
}

struct token
token_before (struct token t, const char *s)
{
  const char *p = t.len == 0 ? NULL : memmem (t.s, t.len, s, strlen (s));

  return (struct token) { t.s, p ? (size_t) (p - t.s) : t.len };
}

bool
token_is_one_of (struct token t, const char *chars)
{
  return t.len == 1 && t.s[0] != '\0' && strchr (chars, t.s[0]) != NULL;
}
