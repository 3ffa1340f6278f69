/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare's device, with an ear: it tells, once, when the device below says
 * that it is gone.  The spare itself makes no difference between that and other
 * errors.
 *
 * It owns nothing; what it is given must outlive it.  Any thread may use the
 * device.
 */

#ifndef REMAP_ENGINE_SPARE_DEV_H
#define REMAP_ENGINE_SPARE_DEV_H

#include <stdatomic.h>

#include "base/device.h"
#include "engine/events.h"

struct spare_dev {
  struct device device;         /* what to give to the spare */
  const struct device *below;
  struct events *events;
  atomic_bool told;
};

extern void spare_dev_init (struct spare_dev *sd, const struct device *below,
                            struct events *events);

#endif /* REMAP_ENGINE_SPARE_DEV_H */
