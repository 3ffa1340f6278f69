/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <nbdkit-filter.h>

#include "host/group.h"
#include "spare/spare.h"
#include "parameters.h"

/* A block that fails is read once, and this often again: a drive takes
 * seconds for each.
 */
#define MAX_RETRIES 1000U

/* Seconds: no client waits for a day. */
#define MAX_LOST_WAIT 86400U
#define MAX_VANISH 1000U

/* Bytes: no file or device is that large, and the end of a spare that begins
 * there still has a number.
 */
#define MAX_OFFSET (INT64_C (1) << 62)

/* Bytes a second: a MiB, which is read at once, takes a while then. */
#define MIN_RATE 4096

/* nbdkit's own parsers don't say which parameter is wrong: so they get what
 * they understand.
 */
static int
parse_bool (bool *b, const char *key, const char *value)
{
  static const char *const words[] = {
    "on", "yes", "y", "true", "t", "1", "off", "no", "n", "false", "f", "0"
  };

  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    if (strcasecmp (value, words[i]) == 0) {
      *b = nbdkit_parse_bool (value) == 1;
      return 0;
    }
  nbdkit_error ("%s=%s: must be a boolean: on or off", key, value);
  return -1;
}

static bool
looks_like_size (const char *value)
{
  const char *p = value + strspn (value, "0123456789");

  return p != value &&
    (*p == '\0' || (strchr ("bBsSkKmMgGtTpPeE", *p) && p[1] == '\0'));
}

static int
parse_size (int64_t *size, const char *key, const char *value, int64_t min,
            int64_t max)
{
  int64_t r;

  if (!looks_like_size (value)) {
    nbdkit_error ("%s=%s: must be a size, as in 500G", key, value);
    return -1;
  }
  r = nbdkit_parse_size (value);
  if (r == -1)
    return -1;
  if (r < min) {
    nbdkit_error ("%s=%s: must be at least %" PRIi64 " bytes", key, value,
                  min);
    return -1;
  }
  if (r > max) {
    nbdkit_error ("%s=%s: must be at most %" PRIi64 " bytes", key, value,
                  max);
    return -1;
  }
  *size = r;
  return 0;
}

static int
parse_offset (uint64_t *offset, const char *key, const char *value)
{
  int64_t r;

  if (parse_size (&r, key, value, 0, MAX_OFFSET) == -1)
    return -1;
  if (r % SECTOR_SIZE != 0) {
    nbdkit_error ("%s=%s: must be a multiple of %u bytes", key, value,
                  SECTOR_SIZE);
    return -1;
  }
  *offset = r;
  return 0;
}

static int
parse_number (unsigned *number, const char *key, const char *value,
              unsigned max)
{
  unsigned r;

  if (nbdkit_parse_unsigned (key, value, &r) == -1)
    return -1;
  if (r > max) {
    nbdkit_error ("%s=%s: must be at most %u", key, value, max);
    return -1;
  }
  *number = r;
  return 0;
}

/* "error", or another word. */
static int
parse_choice (bool *choice, const char *key, const char *value,
              const char *word)
{
  if (strcmp (value, "error") == 0)
    *choice = false;
  else if (strcmp (value, word) == 0)
    *choice = true;
  else {
    nbdkit_error ("%s=%s: must be 'error' or '%s'", key, value, word);
    return -1;
  }
  return 0;
}

static int
parse_grow (struct remap_config *config, const char *value)
{
  if (strcmp (value, "auto") == 0)
    config->spare_grow = GROW_AUTO;
  else if (strcmp (value, "off") == 0)
    config->spare_grow = GROW_OFF;
  else {
    nbdkit_error ("spare-grow=%s: must be 'auto' or 'off'", value);
    return -1;
  }
  return 0;
}

static int
parse_label (const char **label, const char *value)
{
  if (strlen (value) > SPARE_LABEL_MAX) {
    nbdkit_error ("remap-label: is %zu bytes long, at most %d are allowed",
                  strlen (value), SPARE_LABEL_MAX);
    return -1;
  }
  *label = value;
  return 0;
}

static int
parse_path (char **path, const char *key, const char *value)
{
  if (*value == '\0') {
    nbdkit_error ("%s=: a path is needed", key);
    return -1;
  }
  free (*path);
  *path = nbdkit_absolute_path (value);
  return *path ? 0 : -1;
}

/* A name, or a number. */
static int
parse_group (unsigned *group, const char *key, const char *value)
{
  gid_t gid;

  if (*value >= '0' && *value <= '9')
    return parse_number (group, key, value, UINT32_MAX - 1);
  if (!group_by_name (value, &gid)) {
    nbdkit_error ("%s=%s: there is no group of that name", key, value);
    return -1;
  }
  *group = gid;
  return 0;
}

static int
parse_trim (bool *ignore, const char *value)
{
  *ignore = strcmp (value, "ignore") == 0;
  if (*ignore || strcmp (value, "zero") == 0)
    return 0;
  nbdkit_error ("rescue-trim=%s: must be zero or ignore", value);
  return -1;
}

static void
note_main_path (struct remap_config *config, const char *path,
                bool is_direct)
{
  struct stat st;

  if (stat (path, &st) == -1)
    return;
  free (config->main_path);
  config->main_path = nbdkit_realpath (path);
  config->main_is_direct = is_direct;
  config->main_is_block = S_ISBLK (st.st_mode);
}

bool
parameters_has (const char *key)
{
  return strcmp (key, "spare") == 0 || strncmp (key, "spare-", 6) == 0 ||
    strcmp (key, "rescue") == 0 || strncmp (key, "rescue-", 7) == 0 ||
    strncmp (key, "remap-", 6) == 0 || strncmp (key, "main-", 5) == 0;
}

int
parameters_set (struct remap_config *config, const char *key,
                const char *value)
{
  if (strcmp (key, "spare") == 0)
    return parse_path (&config->spare_path, key, value);
  else if (strcmp (key, "spare-create") == 0)
    return parse_bool (&config->spare_create, key, value);
  else if (strcmp (key, "spare-size") == 0)
    return parse_size (&config->spare_size, key, value, SPARE_MIN_SIZE,
                       SPARE_MAX_SIZE);
  else if (strcmp (key, "spare-max") == 0)
    return parse_size (&config->spare_max, key, value, SPARE_MIN_SIZE,
                       SPARE_MAX_SIZE);
  else if (strcmp (key, "spare-grow") == 0)
    return parse_grow (config, value);
  else if (strcmp (key, "spare-offset") == 0)
    return parse_offset (&config->spare_offset, key, value);
  else if (strcmp (key, "spare-main-grown") == 0)
    return parse_bool (&config->main_grown, key, value);
  else if (strcmp (key, "spare-main-changed") == 0)
    return parse_bool (&config->main_changed, key, value);
  else if (strcmp (key, "spare-same-disk") == 0)
    return parse_bool (&config->spare_same_disk, key, value);
  else if (strcmp (key, "spare-state") == 0)
    return parse_path (&config->state_folder, key, value);
  else if (strcmp (key, "spare-new") == 0)
    return parse_bool (&config->spare_new, key, value);
  else if (strcmp (key, "spare-older") == 0)
    return parse_bool (&config->spare_older, key, value);
  else if (strcmp (key, "rescue") == 0)
    return parse_path (&config->rescue_path, key, value);
  else if (strcmp (key, "rescue-overwrite") == 0)
    return parse_bool (&config->rescue_overwrite, key, value);
  else if (strcmp (key, "rescue-trial") == 0)
    return parse_bool (&config->rescue_trial, key, value);
  else if (strcmp (key, "rescue-rate") == 0)
    return parse_size (&config->rescue_rate, key, value, MIN_RATE, INT64_MAX);
  else if (strcmp (key, "rescue-trim") == 0)
    return parse_trim (&config->rescue_ignore_trim, value);
  else if (strcmp (key, "remap-auto") == 0)
    return parse_bool (&config->auto_remap, key, value);
  else if (strcmp (key, "remap-retries") == 0)
    return parse_number (&config->retries, key, value, MAX_RETRIES);
  else if (strcmp (key, "main-lost-wait") == 0)
    return parse_number (&config->lost_wait, key, value, MAX_LOST_WAIT);
  else if (strcmp (key, "main-vanish-max") == 0)
    return parse_number (&config->vanish_max, key, value, MAX_VANISH);
  else if (strcmp (key, "remap-lost") == 0)
    return parse_choice (&config->lost_zero, key, value, "zero");
  else if (strcmp (key, "remap-readonly-disk") == 0)
    return parse_choice (&config->readonly_to_spare, key, value, "spare");
  else if (strcmp (key, "remap-label") == 0)
    return parse_label (&config->label, value);
  else if (strcmp (key, "remap-control") == 0)
    return parse_path (&config->control_path, key, value);
  else if (strcmp (key, "remap-status") == 0)
    return parse_path (&config->status_path, key, value);
  else if (strcmp (key, "remap-status-group") == 0)
    return parse_group (&config->status_group, key, value);

  nbdkit_error ("%s: the remap filter has no such parameter", key);
  return -1;
}

/* The offset and partition filters make a part of the disk main; they complain
 * of wrong values.
 */
static void
note_part (struct remap_config *config, const char *key, const char *value)
{
  config->main_is_part = true;
  if (strcmp (key, "offset") == 0)
    config->main_offset = nbdkit_parse_size (value);
  else if (strcmp (key, "partition") == 0)
    config->main_partition = atoi (value);
}

/* The parameter that names main is "file" of the file plugin, and "device"
 * of the direct plugin.
 */
void
parameters_note (struct remap_config *config, const char *key,
                 const char *value)
{
  if (strcmp (key, "file") == 0 || strcmp (key, "device") == 0)
    note_main_path (config, value, strcmp (key, "device") == 0);
  else if (strcmp (key, "dir") == 0)
    config->directory_key = "dir";
  else if (strcmp (key, "directory") == 0)
    config->directory_key = "directory";
  else if (strcmp (key, "dynamic-export") == 0)
    config->dynamic_export = nbdkit_parse_bool (value) == 1;
  else if (strcmp (key, "offset") == 0 || strcmp (key, "range") == 0 ||
           strcmp (key, "partition") == 0)
    note_part (config, key, value);
}

int
parameters_complete (const struct remap_config *config)
{
  if (config->status_group != -1U && config->status_path == NULL) {
    nbdkit_error ("remap-status-group: is of no use without "
                  "remap-status=SOCKET");
    return -1;
  }
  if (config->rescue_path && !config->rescue_trial) {
    nbdkit_error ("rescue=%s: moving a disk to a copy is for trials only in "
                  "this version: it can lose what clients wrote "
                  "(nbdkit-remap-filter(1)); rescue-trial=yes allows it, for "
                  "a disk whose content is elsewhere, too",
                  config->rescue_path);
    return -1;
  }
  if (config->spare_path)
    return 0;
  nbdkit_error ("remap: spare=PATH is required: the file or block device "
                "that takes over bad sectors");
  return -1;
}

void
parameters_free (struct remap_config *config)
{
  free (config->control_path);
  free (config->status_path);
  free (config->spare_path);
  free (config->main_path);
  free (config->state_folder);
  free (config->rescue_path);
  config->rescue_path = NULL;
  config->state_folder = NULL;
  config->control_path = config->status_path = NULL;
  config->spare_path = config->main_path = NULL;
}
