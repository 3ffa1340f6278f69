/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The parameters.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "errors.h"
#include "parameters.h"

#define MILLION 1000000
#define MAX_DELAY_MS 3600000    /* an hour */

const char params_help[] =
  "baddisk-list=<FILE>        Bad areas: ddrescue mapfile or badblocks list.\n"
  "baddisk-block=<SIZE>       Block size of a badblocks list (default 1024).\n"
  "baddisk-random=<N>|<N>%    So many bad sectors at random.\n"
  "baddisk-seed=<N>           Another choice of random sectors (default 0).\n"
  "baddisk-cluster=<N>        Random bad sectors come in runs of N "
  "(default 1).\n"
  "baddisk-heads=<N>,<DEAD>,<RUN>  N heads, in runs of RUN bytes; DEAD "
  "ones\n"
  "                           (from 0; with + between them) fail.\n"
  "baddisk-heads-fail=read,write,zero  Which operations fail there "
  "(default read).\n"
  "baddisk-fail=read,write,zero  Which operations fail (default all).\n"
  "baddisk-errno=<ERRNO>      What they fail with (default EIO).\n"
  "baddisk-recover=<N>        The Nth read of a bad sector succeeds "
  "(default: never).\n"
  "baddisk-heal=write|none    Whether a write repairs a sector "
  "(default none).\n"
  "baddisk-partial=none|good|random  What a failed write leaves "
  "(default none).\n"
  "baddisk-delay=<MS>         Latency of good operations (default 0).\n"
  "baddisk-fail-delay=<MS>    Latency of failing operations (default 0).\n"
  "baddisk-clock=on|off       Sum up what a drive would take, don't wait "
  "(default off).\n"
  "baddisk-stream=<MS>        With the clock: the time of 128K "
  "(default 0.15).\n"
  "baddisk-slow=<FILE>,<MS>   Areas that take MS milliseconds longer.\n"
  "baddisk-gone=<FILE>        While FILE exists, everything fails.\n"
  "baddisk-gone-errno=<ERRNO> What with (default ENODEV).\n"
  "baddisk-vanish=<FILE>      Sectors that make the disk vanish when they "
  "are read.\n"
  "baddisk-vanish-time=<MS>   How long it is away then (default 1000).\n"
  "baddisk-vanish-requests=<N>  How many requests fail then "
  "(default 0).\n"
  "baddisk-readonly=<FILE>    While FILE exists, everything that writes "
  "fails.\n"
  "baddisk-readonly-after=<N>  After N writes, zeroes and trims "
  "(default: never).\n"
  "baddisk-readonly-errno=<ERRNO>  What with (default EROFS).\n"
  "baddisk-log=<FILE>         Log of operations that touched bad sectors.\n"
  "baddisk-reads=<FILE>       How often each sector was read.";

static int
parse_error (const char *key, const char *value, int *error)
{
  const int number = error_number (value);

  if (number) {
    *error = number;
    return 1;
  }
  nbdkit_error ("%s=%s: not an error: expected a name such as EIO or ENODATA, "
                "or a number from 1 to %d", key, value, MAX_ERRNO);
  return -1;
}

/* Digits with at most six decimals, in millionths, in the C locale
 * whatever the server's is.  Returns where the number ends, or NULL if
 * there is none, or one that is too long.
 */
static const char *
parse_decimal (const char *s, uint64_t *millionths)
{
  uint64_t n = 0, unit = MILLION / 10;

  if (*s < '0' || *s > '9')
    return NULL;
  for (; *s >= '0' && *s <= '9'; s++)
    if (__builtin_mul_overflow (n, (uint64_t) 10, &n) ||
        __builtin_add_overflow (n, (uint64_t) (*s - '0'), &n))
      return NULL;
  if (__builtin_mul_overflow (n, (uint64_t) MILLION, &n))
    return NULL;
  if (*s == '.') {
    s++;
    for (; *s >= '0' && *s <= '9'; s++, unit /= 10)
      if (unit == 0 ||
          __builtin_add_overflow (n, (uint64_t) (*s - '0') * unit, &n))
        return NULL;
  }
  *millionths = n;
  return s;
}

static int
parse_delay (const char *key, const char *value, uint64_t *ns)
{
  const char *end = parse_decimal (value, ns);

  if (end && *end == '\0' && *ns <= (uint64_t) MAX_DELAY_MS * MILLION)
    return 1;
  nbdkit_error ("%s=%s: expected milliseconds, such as 5 or 0.25, "
                "at most an hour", key, value);
  return -1;
}

static int
parse_u64 (const char *key, const char *value, uint64_t *n)
{
  return nbdkit_parse_uint64_t (key, value, n) == -1 ? -1 : 1;
}

static int
parse_u32 (const char *key, const char *value, uint32_t *n)
{
  return nbdkit_parse_uint32_t (key, value, n) == -1 ? -1 : 1;
}

static int
parse_random (struct params *params, const char *key, const char *value)
{
  const char *end;

  params->random = true;
  params->choice.is_percent = strchr (value, '%') != NULL;
  if (!params->choice.is_percent)
    return parse_u64 (key, value, &params->choice.amount);
  end = parse_decimal (value, &params->choice.amount);
  if (end && strcmp (end, "%") == 0 && params->choice.amount <= WHOLE_PERCENT)
    return 1;
  nbdkit_error ("%s=%s: expected a number of sectors, or a percentage from 0%% "
                "to 100%% with at most six decimals, such as 0.5%%",
                key, value);
  return -1;
}

static int
parse_fail (const char *key, const char *value, bool fail[NR_OPS])
{
  const char *s = value;

  memset (fail, 0, NR_OPS * sizeof fail[0]);
  for (;;) {
    const size_t n = strcspn (s, ",");

    if (n == 4 && strncmp (s, "read", n) == 0)
      fail[OP_READ] = fail[OP_CACHE] = true;
    else if (n == 5 && strncmp (s, "write", n) == 0)
      fail[OP_WRITE] = true;
    else if (n == 4 && strncmp (s, "zero", n) == 0)
      fail[OP_ZERO] = true;
    else {
      nbdkit_error ("%s=%s: '%.*s' is not an operation that can fail: expected "
                    "some of read,write,zero", key, value, (int) n, s);
      return -1;
    }
    if (s[n] == '\0')
      return 1;
    s += n + 1;
  }
}

static int
parse_block (struct params *params, const char *key, const char *value)
{
  const int64_t n = nbdkit_parse_size (value);

  if (n == -1)
    return -1;
  if (n < 1 || n > 1 << 30) {
    nbdkit_error ("%s=%s: expected a block size from 1 byte to 1G", key, value);
    return -1;
  }
  params->block = (uint32_t) n;
  return 1;
}

/* A decimal number up to MAX at *S, which goes on behind it. */
static bool
parse_digits (const char **s, unsigned max, unsigned *n)
{
  if (**s < '0' || **s > '9')
    return false;
  for (*n = 0; **s >= '0' && **s <= '9'; (*s)++) {
    *n = *n * 10 + (unsigned) (**s - '0');
    if (*n > max)
      return false;
  }
  return true;
}

/* N,DEAD+DEAD...,RUN.  1: well; 0: it isn't; -1: error, reported. */
static int
parse_heads_value (const char *s, struct heads *heads)
{
  unsigned head;
  int64_t run;

  if (!parse_digits (&s, MAX_HEADS, &heads->count) || heads->count == 0 ||
      *s != ',')
    return 0;
  heads->dead = 0;
  do {
    s++;
    if (!parse_digits (&s, heads->count - 1, &head))
      return 0;
    heads->dead |= UINT64_C (1) << head;
  } while (*s == '+');
  if (*s != ',')
    return 0;
  run = nbdkit_parse_size (s + 1);
  if (run == -1)
    return -1;
  heads->run = (uint64_t) run;
  return run > 0 && run % SECTOR_SIZE == 0;
}

static int
parse_heads (struct params *params, const char *key, const char *value)
{
  struct heads heads;
  const int r = parse_heads_value (value, &heads);

  if (r == 1)
    params->heads = heads;
  if (r != 0)
    return r;
  nbdkit_error ("%s=%s: expected N,DEAD,RUN: how many heads there are (at "
                "most %d), the dead ones (numbers from 0, with + between "
                "them), and the bytes of a run (a multiple of %u), such as "
                "4,1+2,8M", key, value, MAX_HEADS, SECTOR_SIZE);
  return -1;
}

static int
parse_partial (struct params *params, const char *key, const char *value)
{
  if (strcmp (value, "none") == 0)
    params->partial = PARTIAL_NONE;
  else if (strcmp (value, "good") == 0)
    params->partial = PARTIAL_GOOD;
  else if (strcmp (value, "random") == 0)
    params->partial = PARTIAL_RANDOM;
  else {
    nbdkit_error ("%s=%s: expected none, good or random", key, value);
    return -1;
  }
  return 1;
}

static int
parse_heal (struct params *params, const char *key, const char *value)
{
  params->heal_write = strcmp (value, "write") == 0;
  if (params->heal_write || strcmp (value, "none") == 0)
    return 1;
  nbdkit_error ("%s=%s: expected write or none", key, value);
  return -1;
}

/* The server changes its directory when it goes into the background, so
 * paths are made absolute.
 */
static int
parse_path (const char *key, const char *value, char **path)
{
  if (*value == '\0') {
    nbdkit_error ("%s: expected the name of a file", key);
    return -1;
  }
  free (*path);
  *path = nbdkit_absolute_path (value);
  return *path ? 1 : -1;
}

/* FILE,MS: the last comma counts, as a file's name may have others. */
static int
parse_slow (struct params *params, const char *key, const char *value)
{
  const char *comma = strrchr (value, ',');
  char *path;
  int r;

  if (comma == NULL) {
    nbdkit_error ("%s=%s: expected FILE,MS: a list of areas, and how many "
                  "milliseconds longer they take", key, value);
    return -1;
  }
  if (parse_delay (key, comma + 1, &params->slow_time) == -1)
    return -1;
  path = strndup (value, (size_t) (comma - value));
  if (path == NULL) {
    nbdkit_error ("strndup: %m");
    return -1;
  }
  r = parse_path (key, path, &params->slow);
  free (path);
  return r;
}

static int
parse_cluster (struct params *params, const char *key, const char *value)
{
  if (parse_u64 (key, value, &params->choice.cluster) == -1)
    return -1;
  if (params->choice.cluster == 0) {
    nbdkit_error ("%s=0: expected at least one sector", key);
    return -1;
  }
  return 1;
}

static int
parse_clock (struct params *params, const char *value)
{
  const int r = nbdkit_parse_bool (value);

  if (r == -1)
    return -1;
  params->clock = r;
  return 1;
}

void
params_complete (struct params *params)
{
  /* A clock without delays would stand still: its default is a hard disk. */
  if (params->delay == DELAY_UNSET)
    params->delay = params->clock ? UINT64_C (9) * MILLION : 0;
  if (params->fail_delay == DELAY_UNSET)
    params->fail_delay = params->clock ? UINT64_C (3000) * MILLION : 0;
  if (params->vanish_time == DELAY_UNSET)
    params->vanish_time =
      params->vanish_requests ? 0 : UINT64_C (1000) * MILLION;
}

int
params_set (struct params *params, const char *key, const char *value)
{
  if (strcmp (key, "baddisk-list") == 0)
    return parse_path (key, value, &params->list);
  if (strcmp (key, "baddisk-block") == 0)
    return parse_block (params, key, value);
  if (strcmp (key, "baddisk-random") == 0)
    return parse_random (params, key, value);
  if (strcmp (key, "baddisk-seed") == 0)
    return parse_u64 (key, value, &params->choice.seed);
  if (strcmp (key, "baddisk-cluster") == 0)
    return parse_cluster (params, key, value);
  if (strcmp (key, "baddisk-heads") == 0)
    return parse_heads (params, key, value);
  if (strcmp (key, "baddisk-heads-fail") == 0)
    return parse_fail (key, value, params->heads_fail);
  if (strcmp (key, "baddisk-fail") == 0)
    return parse_fail (key, value, params->fail);
  if (strcmp (key, "baddisk-errno") == 0)
    return parse_error (key, value, &params->error);
  if (strcmp (key, "baddisk-recover") == 0)
    return parse_u32 (key, value, &params->recover);
  if (strcmp (key, "baddisk-heal") == 0)
    return parse_heal (params, key, value);
  if (strcmp (key, "baddisk-partial") == 0)
    return parse_partial (params, key, value);
  if (strcmp (key, "baddisk-delay") == 0)
    return parse_delay (key, value, &params->delay);
  if (strcmp (key, "baddisk-fail-delay") == 0)
    return parse_delay (key, value, &params->fail_delay);
  if (strcmp (key, "baddisk-clock") == 0)
    return parse_clock (params, value);
  if (strcmp (key, "baddisk-stream") == 0)
    return parse_delay (key, value, &params->stream);
  if (strcmp (key, "baddisk-slow") == 0)
    return parse_slow (params, key, value);
  if (strcmp (key, "baddisk-gone") == 0)
    return parse_path (key, value, &params->gone);
  if (strcmp (key, "baddisk-gone-errno") == 0)
    return parse_error (key, value, &params->gone_error);
  if (strcmp (key, "baddisk-vanish") == 0)
    return parse_path (key, value, &params->vanish);
  if (strcmp (key, "baddisk-vanish-time") == 0)
    return parse_delay (key, value, &params->vanish_time);
  if (strcmp (key, "baddisk-vanish-requests") == 0)
    return parse_u32 (key, value, &params->vanish_requests);
  if (strcmp (key, "baddisk-readonly") == 0)
    return parse_path (key, value, &params->readonly);
  if (strcmp (key, "baddisk-readonly-after") == 0)
    return parse_u64 (key, value, &params->readonly_after);
  if (strcmp (key, "baddisk-readonly-errno") == 0)
    return parse_error (key, value, &params->readonly_error);
  if (strcmp (key, "baddisk-log") == 0)
    return parse_path (key, value, &params->log);
  if (strcmp (key, "baddisk-reads") == 0)
    return parse_path (key, value, &params->reads);
  return 0;
}

void
params_free (struct params *params)
{
  free (params->list);
  free (params->slow);
  free (params->gone);
  free (params->vanish);
  free (params->readonly);
  free (params->log);
  free (params->reads);
  params->list = params->slow = params->gone = params->vanish = NULL;
  params->readonly = params->log = params->reads = NULL;
}
