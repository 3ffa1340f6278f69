/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a disk says of itself (SMART): a file NAME.smart beside the status
 * socket NAME.status, the JSON of smartctl(8), which root's timer writes
 * (remap-smart).  The monitor opens no disk.
 */

#ifndef REMAP_MONITOR_SMART_H
#define REMAP_MONITOR_SMART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* After that nobody knows any more how hot it is. */
#define SMART_OLD_SECONDS 1800

enum { SMART_REALLOCATED, SMART_PENDING, NR_SMART_ATTRIBUTES };

struct smart {
  bool known;                           /* there is a file that is new enough */
  int64_t written;                      /* the file's time, unix; in ns */
  bool has_temperature, has_passed, passed;
  int temperature;                      /* degrees Celsius */
  bool has_attribute[NR_SMART_ATTRIBUTES];
  uint64_t attribute[NR_SMART_ATTRIBUTES];      /* raw values */
  char device[64];                      /* "sda"; "" if that isn't known */
};

/* Looks at the file that belongs to the socket at PATH, if it is another one
 * than S is of.
 */
extern void smart_read (struct smart *s, const char *path);

#endif /* REMAP_MONITOR_SMART_H */
