/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "host/blockdev.h"
#include "host/spare-place.h"

enum path { PATH_OK, PATH_NOWHERE, PATH_OTHER };

/* A path that can't be followed any more, by a server that has given up its
 * privileges for example, says nothing.
 */
static enum path
follow_path (const struct spare_file *sf)
{
  struct stat st;

  if (stat (sf->path, &st) == -1)
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
      ? PATH_NOWHERE : PATH_OK;
  if (sf->is_block)
    return S_ISBLK (st.st_mode) && st.st_rdev == sf->dev ? PATH_OK
      : PATH_OTHER;
  return st.st_dev == sf->dev && st.st_ino == sf->ino ? PATH_OK : PATH_OTHER;
}

static enum spare_place
look_at_file (const struct spare_file *sf, const struct stat *st,
              uint64_t needed, struct message *message)
{
  const uint64_t size = st->st_size;

  if (size < sf->offset || size - sf->offset < needed) {
    message_set (message, "the spare's file was truncated to %" PRIu64 " bytes "
                 "and needs %" PRIu64 ": what was beyond is gone, and nothing "
                 "is written to it any more: restore it from a backup",
                 size, sf->offset + needed);
    return SPARE_CUT_OFF;
  }
  if (st->st_nlink == 0) {
    message_set (message, "the spare's file was deleted: it is used as long as "
                 "this server runs, and is gone then: save it now, with "
                 "remapctl backup");
    return SPARE_DELETED;
  }
  return SPARE_IN_PLACE;
}

enum spare_place
spare_place_look (const struct spare_file *sf, uint64_t needed,
                  struct message *message)
{
  enum spare_place place = SPARE_IN_PLACE;
  enum path path;
  struct stat st;

  if (sf->is_block && disk_is_gone (sf->dev)) {
    message_set (message, "the spare's disk is gone: nothing can be remapped, "
                 "and what was can't be read, before it is there again and the "
                 "server was restarted");
    return SPARE_UNPLUGGED;
  }
  if (!sf->is_block && fstat (sf->fd, &st) == 0)
    place = look_at_file (sf, &st, needed, message);
  if (place != SPARE_IN_PLACE)
    return place;
  path = follow_path (sf);
  if (path == PATH_OK)
    return SPARE_IN_PLACE;
  message_set (message, "the spare is not at its path any more, %s: this "
               "server uses it where it is now, but the next one won't find "
               "it: put it back, or save it with remapctl backup",
               path == PATH_OTHER
               ? "where something else is now"
               : "which leads nowhere (was it renamed, or unmounted?)");
  return SPARE_ELSEWHERE;
}
