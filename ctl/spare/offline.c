/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "spare/offline.h"

static void
warn (void *opaque, const char *text)
{
  struct held_spare *h = opaque;

  h->warnings++;
  if (!h->quiet)
    warning ("spare %s: %s", h->file.path, text);
}

const char *
content_name (enum spare_content content)
{
  switch (content) {
  case SPARE_BLANK: return "blank: all zeroes";
  case SPARE_VALID: return "a spare";
  case SPARE_UNFINISHED: return "a spare whose formatting was interrupted";
  case SPARE_FOREIGN: break;
  }
  return "neither blank nor a spare";
}

int
hold_open (struct held_spare *h, const char *path, uint64_t offset,
           uint64_t size, bool create, bool read_only, bool *opened)
{
  int err;

  memset (h, 0, sizeof *h);
  *opened = false;
  err = spare_file_open (&h->file, path, offset, create, read_only,
                         &h->message);
  if (err)
    return err;
  *opened = true;
  err = spare_file_drop_cache (&h->file, &h->message);
  if (err == 0)
    err = spare_probe (&h->file.device,
                       size && size < h->file.size ? size : h->file.size,
                       spare_file_next_data, &h->content, &h->id,
                       &h->message);
  if (create && (err == EINVAL || err == ENOTSUP)) {
    h->content = SPARE_FOREIGN;
    h->was_spare = true;
    err = 0;
  }
  if (err)
    spare_file_close (&h->file, true);
  return err;
}

int
hold_load (struct held_spare *h)
{
  const struct spare_env env = { .warn = warn, .opaque = h };

  h->map = map_new ();
  if (h->map == NULL) {
    message_set (&h->message, "out of memory");
    return ENOMEM;
  }
  return spare_load (&h->file.device, h->file.size, h->file.read_only, &env,
                     h->map, &h->spare, &h->message);
}

void
hold_close (struct held_spare *h)
{
  spare_close (h->spare);
  if (h->map)
    map_free (h->map);
  spare_file_close (&h->file, h->spare == NULL);
}

bool
hold_spare (struct held_spare *h, const char *path, uint64_t offset,
            bool read_only)
{
  bool opened;

  if (hold_open (h, path, offset, 0, false, read_only, &opened)) {
    error ("%s%s%s", opened ? path : "", opened ? ": " : "",
           h->message.text);
    return false;
  }
  if (h->content != SPARE_VALID) {
    error ("%s: is %s", path, content_name (h->content));
    hold_close (h);
    return false;
  }
  if (hold_load (h)) {
    error ("%s: %s", path, h->message.text);
    hold_close (h);
    return false;
  }
  return true;
}

bool
spare_arguments (struct ctl *ctl, int argc, char **argv, int min, int max,
                 const char **path, uint64_t *offset, bool *force)
{
  static const struct option own[] = {
    { "spare-offset", required_argument, NULL, 256 },
    { "force", no_argument, NULL, 257 }, { 0 }
  };
  int c;

  *offset = 0;
  while ((c = next_option (ctl, argc, argv, own)) != -1) {
    if (c == '?')
      return false;
    if (c == 257 && force == NULL) {
      error ("%s: there is nothing to --force", ctl->command);
      return false;
    }
    if (c == 257)
      *force = true;
    else if (!parse_bytes (optarg, offset) || *offset % SECTOR_SIZE != 0) {
      error ("%s: --spare-offset=%s: must be a size, and a multiple of 512",
             ctl->command, optarg);
      return false;
    }
  }
  if (!count_arguments (ctl, argc, min, max))
    return false;
  *path = argv[optind];
  return true;
}
