/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The pages: all disks, and one disk.  HTML that is readable without a script
 * and on any width; nothing in it can change a disk, and whatever a server says
 * is text.
 */

#ifndef REMAP_MONITOR_PAGE_H
#define REMAP_MONITOR_PAGE_H

#include "watched.h"

/* These return new memory. */
extern char *page_all (const struct watch_list *list);
extern char *page_disk (const struct watched *w, struct store *store);

/* What the pages refer to; constant. */
extern const char page_style[], page_script[];

#endif /* REMAP_MONITOR_PAGE_H */
