/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <string.h>

#include "engine/errors.h"
#include "engine/spare-dev.h"

/* Tells what an error means, and passes it on. */
static int
look (struct spare_dev *sd, int err)
{
  if (err && error_classify (err) == ERROR_GONE &&
      !atomic_exchange (&sd->told, true))
    events_tell (sd->events, EVENT_SPARE_GONE, "the spare's disk is gone (%s): "
                 "nothing can be remapped, and what was can't be read, before "
                 "it is there again and the server was restarted",
                 strerror (err));
  return err;
}

static int
ear_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  struct spare_dev *sd = ctx;

  return look (sd, device_pread (sd->below, buf, count, offset));
}

static int
ear_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  struct spare_dev *sd = ctx;

  return look (sd, device_pwrite (sd->below, buf, count, offset));
}

static int
ear_flush (void *ctx)
{
  struct spare_dev *sd = ctx;

  return look (sd, device_flush (sd->below));
}

static int
ear_allocate (void *ctx, uint64_t offset, uint64_t count)
{
  struct spare_dev *sd = ctx;

  return look (sd, device_allocate (sd->below, offset, count));
}

static int
ear_share (void *ctx, uint64_t offset, uint32_t count)
{
  struct spare_dev *sd = ctx;

  return look (sd, device_share (sd->below, offset, count));
}

static int
ear_pread_whole (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  struct spare_dev *sd = ctx;

  return look (sd, device_pread_whole (sd->below, buf, count, offset));
}

void
spare_dev_init (struct spare_dev *sd, const struct device *below,
                struct events *events)
{
  static const struct device_ops ops = {
    .pread = ear_pread, .pwrite = ear_pwrite, .flush = ear_flush,
    .allocate = ear_allocate, .share = ear_share,
    .pread_whole = ear_pread_whole,
  };

  memset (sd, 0, sizeof *sd);
  sd->device.ops = &ops;
  sd->device.ctx = sd;
  sd->below = below;
  sd->events = events;
}
