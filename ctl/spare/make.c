/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/arguments.h"
#include "spare/make.h"
#include "spare/offline.h"
#include "exit-status.h"
#include "numbers.h"
#include "text.h"
#include "units.h"

struct format_arguments {
  uint64_t main_size, size;             /* bytes; 0: not given */
  const char *label;
};

static bool
parse_format_argument (const char *s, struct format_arguments *a)
{
  static const char needs[] = "format: %s: must be a size, as in 500G";

  if (strncmp (s, "main-size=", 10) == 0) {
    if (parse_bytes (s + 10, &a->main_size) && a->main_size > 0)
      return true;
    error (needs, s);
  }
  else if (strncmp (s, "size=", 5) == 0) {
    if (parse_bytes (s + 5, &a->size) && a->size >= SPARE_MIN_SIZE)
      return true;
    error ("format: %s: must be a size of at least 1M, as in 500G", s);
  }
  else if (strncmp (s, "label=", 6) == 0) {
    a->label = s + 6;
    if (strlen (a->label) <= SPARE_LABEL_MAX)
      return true;
    error ("format: the label has %zu bytes, at most %d are allowed",
           strlen (a->label), SPARE_LABEL_MAX);
  }
  else
    error ("format: %s: must be main-size=SIZE, size=SIZE or label=TEXT", s);
  return false;
}

/* Says in words what would be lost. */
static void
describe (struct held_spare *h, char *text, size_t size)
{
  struct map_totals m = { 0 };
  bool loaded;

  if (h->content != SPARE_VALID) {
    if (h->was_spare)
      snprintf (text, size, "what was a spare (%s)", h->message.text);
    else
      snprintf (text, size, "data that is neither a spare nor zeroes");
    return;
  }
  h->quiet = true;
  loaded = hold_load (h) == 0;
  if (loaded)
    map_get_totals (h->map, &m);
  snprintf (text, size, "the spare %s of a disk of %" PRIu64 " bytes%s%s, "
            "with ", show_uuid (h->id.uuid).s, h->id.main_size,
            h->id.label[0] ? ", label " : "", h->id.label);
  text += strlen (text);
  if (loaded)
    snprintf (text, 120, "%s remapped and %" PRIu64 " LOST",
              show_count (m.remapped, "sector").s, m.lost);
  else
    snprintf (text, 120, "a damaged log");
  hold_unload (h);
}

/* Makes SIZE bytes read as zeroes: at once where the filesystem or device
 * can do it, else by writing them.  Returns 0 or an errno.
 */
static int
wipe (struct held_spare *h, uint64_t size)
{
  const uint32_t block = 1 << 20;
  uint64_t offset = 0;
  uint32_t n;
  void *zeroes;
  int err = 0;

  if (fallocate (h->file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                 h->file.offset, size) == 0)
    return device_flush (&h->file.device);
  zeroes = allocate (block, 1);
  for (; offset < size && err == 0; offset += n) {
    n = min_u64 (size - offset, block);
    err = device_pwrite (&h->file.device, zeroes, n, offset);
  }
  free (zeroes);
  return err ? err : device_flush (&h->file.device);
}

/* Erases what is there, if that is allowed.  False after a message. */
static bool
make_blank (struct held_spare *h, uint64_t size, bool force)
{
  char what[700];
  int err;

  if (h->content == SPARE_BLANK || h->content == SPARE_UNFINISHED)
    return true;
  describe (h, what, sizeof what);
  if (!force) {
    error ("%s: holds %s; --force destroys it", h->file.path, what);
    return false;
  }
  warning ("%s: destroying %s", h->file.path, what);
  err = wipe (h, size);
  if (err)
    error ("%s: can't be erased: %s", h->file.path, strerror (err));
  return err == 0;
}

static uint64_t
size_of_new (const struct held_spare *h, const struct format_arguments *a)
{
  const uint64_t size = a->size ? a->size : h->file.size;

  return size ? size : round_up (spare_default_size (a->main_size), 4096);
}

static bool
format (struct held_spare *h, const struct format_arguments *a, bool force)
{
  const uint64_t size = size_of_new (h, a);
  struct spare_identity id = { .main_size = a->main_size };
  bool whole;

  if (h->file.is_block && size > h->file.size) {
    error ("%s: has %" PRIu64 " bytes from the offset on, not %" PRIu64,
           h->file.path, h->file.size, size);
    return false;
  }
  if (!make_blank (h, min_u64 (size, h->file.size), force))
    return false;
  if (spare_file_extend (&h->file, size, &h->message)) {
    error ("%s", h->message.text);
    return false;
  }
  whole = round_down (size, 4096) == round_down (h->file.size, 4096);
  snprintf (id.label, sizeof id.label, "%s", a->label ? a->label : "");
  h->map = map_new ();
  if (h->map == NULL || spare_format (&h->file.device, size, whole, &id, NULL,
                                      h->map, &h->spare, &h->message)) {
    error ("%s: %s", h->file.path, h->map ? h->message.text
           : "out of memory");
    return false;
  }
  h->id = id;
  return true;
}

int
command_format (struct ctl *ctl, int argc, char **argv)
{
  struct format_arguments a = { 0 };
  struct spare_status st;
  struct held_spare h;
  const char *path;
  uint64_t offset;
  bool force = false, ok;

  if (!spare_arguments (ctl, argc, argv, 1, 4, &path, &offset, &force))
    return STATUS_USAGE;
  for (int i = optind + 1; i < argc; i++)
    if (!parse_format_argument (argv[i], &a))
      return STATUS_USAGE;
  if (a.main_size == 0) {
    error ("format: main-size=SIZE is needed: the size of the disk that the "
           "spare is for");
    return STATUS_USAGE;
  }

  if (hold_open (&h, path, offset, a.size, HOLD_TO_FORMAT)) {
    char *why = hold_open_error (&h, path);

    error ("%s", why);
    free (why);
    return STATUS_REFUSED;
  }
  ok = format (&h, &a, force);
  if (ok) {
    spare_get_status (h.spare, &st);
    printf ("%s: a new spare, UUID %s, %s, for a disk of %" PRIu64
            " bytes\n", path, show_uuid (h.id.uuid).s,
            show_count (st.slots_total, "slot").s, h.id.main_size);
  }
  hold_close (&h);
  return ok ? STATUS_DONE : STATUS_REFUSED;
}
