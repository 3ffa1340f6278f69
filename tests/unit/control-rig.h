/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The requests of the control socket over an engine between a simulated
 * main and a spare in memory, without sockets or nbdkit.
 */

#ifndef CONTROL_RIG_H
#define CONTROL_RIG_H

#include "control/background.h"
#include "control/requests.h"
#include "control/status.h"
#include "engine-rig.h"

struct control_rig {
  struct engine_rig r;
  struct control_target t;
  struct background background;
  struct engine_conn conn;
  unsigned users;               /* of main */
  bool refuse_main, refuse_writing, wanted;
  atomic_bool stop, told;
};

extern void control_rig_init (struct control_rig *c,
                              const struct rig_options *o);
extern void control_rig_end (struct control_rig *c);

/* The reply to a line, as it would be sent; malloc'd.  NULL: out of
 * memory.
 */
extern char *control_line (struct control_rig *c, const char *line,
                           size_t len);

#endif /* CONTROL_RIG_H */
