/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/this-process.h"
#include "spare/offline.h"
#include "text.h"

static void
warn (void *opaque, const char *text)
{
  struct held_spare *h = opaque;

  if (!h->quiet)
    warning ("spare %s: %s", h->file.path, text);
}

static void
waits (void *opaque, const struct owner *other, unsigned ms)
{
  warning ("the spare was in use by process %" PRIu64 " of the host \"%s\", "
           "which did not give it back: waiting up to %u seconds to see if it "
           "still is", other->pid, other->host, ms / 1000);
}

int
hold_open (struct held_spare *h, const char *path, uint64_t offset,
           uint64_t size, enum hold_purpose purpose)
{
  const bool create = purpose == HOLD_TO_FORMAT;
  int err;

  memset (h, 0, sizeof *h);
  err = spare_file_open (&h->file, path, offset, create,
                         purpose == HOLD_TO_READ || purpose == HOLD_TO_LIST,
                         &h->message);
  if (err)
    return err;
  h->opened = true;
  err = spare_file_drop_cache (&h->file, &h->message);
  if (err == 0)
    err = spare_probe (&h->file.device,
                       size ? min_u64 (size, h->file.size) : h->file.size,
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

char *
hold_open_error (const struct held_spare *h, const char *path)
{
  return h->opened ? text_of ("%s: %s", path, h->message.text)
    : copy_text (h->message.text);
}

int
hold_load (struct held_spare *h)
{
  const struct spare_env env = {
    .warn = warn, .keep_history = h->keep_history,
    .owner = h->changes ? &h->owner : NULL, .opaque = h,
  };

  this_process_init (&h->owner, spare_file_is_local (&h->file));
  h->owner.waits = waits;
  h->map = map_new ();
  if (h->map == NULL) {
    message_set (&h->message, "out of memory");
    return ENOMEM;
  }
  return spare_load (&h->file.device, h->file.size, h->file.read_only, &env,
                     h->map, &h->spare, &h->message);
}

void
hold_unload (struct held_spare *h)
{
  spare_close (h->spare);
  h->spare = NULL;
  if (h->map)
    map_free (h->map);
  h->map = NULL;
}

void
hold_close (struct held_spare *h)
{
  const bool remove = h->spare == NULL;

  hold_unload (h);
  spare_file_close (&h->file, remove);
}

bool
hold_spare (struct held_spare *h, const char *path, uint64_t offset,
            enum hold_purpose purpose)
{
  if (hold_open (h, path, offset, 0, purpose)) {
    char *why = hold_open_error (h, path);

    error ("%s", why);
    free (why);
    return false;
  }
  if (h->content != SPARE_VALID) {
    error ("%s: is %s", path, content_name (h->content));
    hold_close (h);
    return false;
  }
  h->keep_history = purpose == HOLD_TO_LIST;
  h->changes = purpose == HOLD_TO_CHANGE;
  if (hold_load (h)) {
    error ("%s: %s", path, h->message.text);
    hold_close (h);
    return false;
  }
  return true;
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
