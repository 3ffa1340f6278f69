/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <fcntl.h>
#include <unistd.h>

#include <nbdkit-filter.h>

#include "host/ofd-lock.h"
#include "command-line.h"
#include "main-lock.h"
#include "startup.h"

int
main_lock (const struct remap_config *config, int *fd)
{
  /* Whether two parts overlap isn't known here. */
  bool alone = !config->lost_zero && command_line_is_read_only () != 1 &&
    !config->main_is_part;

  *fd = -1;
  if (config->main_path == NULL || config->main_is_block)
    return 0;
  if (alone)
    *fd = open (config->main_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (*fd == -1) {
    alone = false;
    *fd = open (config->main_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  }
  /* The plugin says what is wrong with a file that can't be opened. */
  if (*fd == -1 || ofd_lock (*fd, alone) == 0)
    return 0;
  close (*fd);
  *fd = -1;
  startup_refuse ("remap: main %s: is in use by another server (it is locked): "
                  "two would overwrite, or not see, what the other one has "
                  "written", config->main_path);
  return -1;
}
