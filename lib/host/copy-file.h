/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A new file into which a copy of a spare is written, as a device.
 *
 * Whoever has opened the descriptor closes it.
 */

#ifndef REMAP_COPY_FILE_H
#define REMAP_COPY_FILE_H

#include "base/device.h"
#include "base/message.h"

struct copy_file {
  struct device device;
  int fd;
};

/* FD may be anybody's: it must be an empty regular file that may be written,
 * and so is neither a disk nor a spare.  Returns 0, or an errno with MESSAGE
 * set.  C must not move after this.
 */
extern int copy_file_init (struct copy_file *c, int fd,
                           struct message *message);

#endif /* REMAP_COPY_FILE_H */
