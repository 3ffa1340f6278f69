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

#include "baddisk.h"

#define MILLION 1000000
#define MAX_DELAY_MS 3600000    /* an hour */
#define UNSET UINT64_MAX
#define MAX_ERRNO 4095          /* what the kernel can return */

struct params params = {
  .block = 1024,
  .cluster = 1,
  .fail = { [OP_READ] = true, [OP_WRITE] = true, [OP_ZERO] = true,
            [OP_CACHE] = true },
  .error = EIO,
  .delay = UNSET,
  .fail_delay = UNSET,
  .stream = 150000,
  .gone_error = ENODEV,
};

const char baddisk_config_help[] =
  "baddisk-list=<FILE>        Bad areas: ddrescue mapfile or badblocks list.\n"
  "baddisk-block=<SIZE>       Block size of a badblocks list (default 1024).\n"
  "baddisk-random=<N>|<N>%    So many bad sectors at random.\n"
  "baddisk-seed=<N>           Another choice of random sectors (default 0).\n"
  "baddisk-cluster=<N>        Random bad sectors come in runs of N "
  "(default 1).\n"
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
  "baddisk-gone=<FILE>        While FILE exists, everything fails.\n"
  "baddisk-gone-errno=<ERRNO> What with (default ENODEV).\n"
  "baddisk-log=<FILE>         Log of operations that touched bad sectors.";

/* Names that are not the first ones for their number. */
static const struct {
  const char *name;
  int error;
} aliases[] = {
  { "ENOTSUP", ENOTSUP }, { "EOPNOTSUPP", EOPNOTSUPP },
  { "EWOULDBLOCK", EWOULDBLOCK }, { "EDEADLOCK", EDEADLOCK },
};

const char *
error_name (int error, char buf[16])
{
  const char *name = strerrorname_np (error);

  if (name)
    return name;
  snprintf (buf, 16, "%d", error);
  return buf;
}

static int
parse_error (const char *key, const char *value, int *error)
{
  char *end;
  long n;

  for (int i = 1; i <= MAX_ERRNO; i++) {
    const char *name = strerrorname_np (i);

    if (name && strcmp (name, value) == 0) {
      *error = i;
      return 1;
    }
  }
  for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
    if (strcmp (aliases[i].name, value) == 0) {
      *error = aliases[i].error;
      return 1;
    }
  errno = 0;
  n = strtol (value, &end, 10);
  if (errno == 0 && end != value && *end == '\0' && n >= 1 && n <= MAX_ERRNO) {
    *error = (int) n;
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
parse_random (const char *key, const char *value)
{
  const char *end;

  params.random = true;
  params.random_is_percent = strchr (value, '%') != NULL;
  if (!params.random_is_percent)
    return nbdkit_parse_uint64_t (key, value, &params.random_amount) == -1 ?
      -1 : 1;
  end = parse_decimal (value, &params.random_amount);
  if (end && strcmp (end, "%") == 0 && params.random_amount <= WHOLE_PERCENT)
    return 1;
  nbdkit_error ("%s=%s: expected a number of sectors, or a percentage from 0%% "
                "to 100%% with at most six decimals, such as 0.5%%",
                key, value);
  return -1;
}

static int
parse_fail (const char *key, const char *value)
{
  const char *s = value;

  memset (params.fail, 0, sizeof params.fail);
  for (;;) {
    const size_t n = strcspn (s, ",");

    if (n == 4 && strncmp (s, "read", n) == 0)
      params.fail[OP_READ] = params.fail[OP_CACHE] = true;
    else if (n == 5 && strncmp (s, "write", n) == 0)
      params.fail[OP_WRITE] = true;
    else if (n == 4 && strncmp (s, "zero", n) == 0)
      params.fail[OP_ZERO] = true;
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
parse_block (const char *key, const char *value)
{
  const int64_t n = nbdkit_parse_size (value);

  if (n == -1)
    return -1;
  if (n < 1 || n > 1 << 30) {
    nbdkit_error ("%s=%s: expected a block size from 1 byte to 1G", key, value);
    return -1;
  }
  params.block = (uint32_t) n;
  return 1;
}

static int
parse_partial (const char *key, const char *value)
{
  if (strcmp (value, "none") == 0)
    params.partial = PARTIAL_NONE;
  else if (strcmp (value, "good") == 0)
    params.partial = PARTIAL_GOOD;
  else if (strcmp (value, "random") == 0)
    params.partial = PARTIAL_RANDOM;
  else {
    nbdkit_error ("%s=%s: expected none, good or random", key, value);
    return -1;
  }
  return 1;
}

static int
parse_heal (const char *key, const char *value)
{
  params.heal_write = strcmp (value, "write") == 0;
  if (params.heal_write || strcmp (value, "none") == 0)
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

static int
parse_cluster (const char *key, const char *value)
{
  if (nbdkit_parse_uint64_t (key, value, &params.cluster) == -1)
    return -1;
  if (params.cluster == 0) {
    nbdkit_error ("%s=0: expected at least one sector", key);
    return -1;
  }
  return 1;
}

static int
parse_clock (const char *value)
{
  const int r = nbdkit_parse_bool (value);

  if (r == -1)
    return -1;
  params.clock = r;
  return 1;
}

/* A clock without delays would stand still: its default is a hard disk. */
void
params_complete (void)
{
  if (params.delay == UNSET)
    params.delay = params.clock ? UINT64_C (9) * MILLION : 0;
  if (params.fail_delay == UNSET)
    params.fail_delay = params.clock ? UINT64_C (3000) * MILLION : 0;
}

int
params_set (const char *key, const char *value)
{
  if (strcmp (key, "baddisk-list") == 0)
    return parse_path (key, value, &params.list);
  if (strcmp (key, "baddisk-block") == 0)
    return parse_block (key, value);
  if (strcmp (key, "baddisk-random") == 0)
    return parse_random (key, value);
  if (strcmp (key, "baddisk-seed") == 0)
    return nbdkit_parse_uint64_t (key, value, &params.seed) == -1 ? -1 : 1;
  if (strcmp (key, "baddisk-cluster") == 0)
    return parse_cluster (key, value);
  if (strcmp (key, "baddisk-fail") == 0)
    return parse_fail (key, value);
  if (strcmp (key, "baddisk-errno") == 0)
    return parse_error (key, value, &params.error);
  if (strcmp (key, "baddisk-recover") == 0)
    return nbdkit_parse_uint32_t (key, value, &params.recover) == -1 ? -1 : 1;
  if (strcmp (key, "baddisk-heal") == 0)
    return parse_heal (key, value);
  if (strcmp (key, "baddisk-partial") == 0)
    return parse_partial (key, value);
  if (strcmp (key, "baddisk-delay") == 0)
    return parse_delay (key, value, &params.delay);
  if (strcmp (key, "baddisk-fail-delay") == 0)
    return parse_delay (key, value, &params.fail_delay);
  if (strcmp (key, "baddisk-clock") == 0)
    return parse_clock (value);
  if (strcmp (key, "baddisk-stream") == 0)
    return parse_delay (key, value, &params.stream);
  if (strcmp (key, "baddisk-gone") == 0)
    return parse_path (key, value, &params.gone);
  if (strcmp (key, "baddisk-gone-errno") == 0)
    return parse_error (key, value, &params.gone_error);
  if (strcmp (key, "baddisk-log") == 0)
    return parse_path (key, value, &params.log);
  return 0;
}

void
params_free (void)
{
  free (params.list);
  free (params.gone);
  free (params.log);
  params.list = params.gone = params.log = NULL;
}
