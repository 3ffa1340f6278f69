/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "spare-enlarge.h"

int
spare_enlarge_check (struct spare_file *file, const struct spare_status *st,
                     uint64_t size, struct message *message)
{
  const uint64_t end = min_u64 (size, file->size);
  int err = 0;

  /* What a growth that was interrupted has left is the spare's own. */
  if (st->claimed < end)
    err = spare_file_is_blank (file, st->claimed, end);
  if (err)
    message_set (message, "%s", err == EEXIST ?
                 "what follows the spare is not blank" : strerror (err));
  else if (file->is_block)
    err = spare_file_extend (file, size, message);
  return err;
}

int
spare_enlarge_to (struct spare_file *file, struct spare *spare, uint64_t size,
                  struct message *message)
{
  int err = spare_file_extend (file, size, message);

  return err ? err : spare_grow (spare, size, message);
}

int
spare_enlarge (struct spare_file *file, struct spare *spare, uint64_t wanted,
               struct message *message)
{
  const uint64_t size = round_down (wanted, 4096);
  struct spare_status st;
  struct message why;
  int err;

  spare_get_status (spare, &st);
  if (size <= st.size) {
    message_set (&why, "that isn't more");
    err = EINVAL;
  }
  else if (size > SPARE_MAX_SIZE) {
    /* Before the file is made longer. */
    message_set (&why, "a spare can have at most %" PRIu64, SPARE_MAX_SIZE);
    err = EINVAL;
  }
  else {
    err = spare_file_find_size (file, &why);
    /* Made longer, what was cut off would read as zeroes (promise 1). */
    if (err == 0 && file->size < st.size) {
      message_set (&why, "its file was truncated to %" PRIu64, file->size);
      err = EIO;
    }
    if (err == 0)
      err = spare_enlarge_check (file, &st, size, &why);
    if (err == 0)
      err = spare_enlarge_to (file, spare, size, &why);
  }
  if (err)
    message_set (message, "the spare can't be enlarged from %" PRIu64 " to %"
                 PRIu64 " bytes: %.300s", st.size, wanted, why.text);
  return err;
}
