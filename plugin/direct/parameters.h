/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The plugin's parameters.  They are set while nbdkit reads its command
 * line, and constant from get_ready on, so nothing guards them.
 */

#ifndef DIRECT_PARAMETERS_H
#define DIRECT_PARAMETERS_H

#include <stdbool.h>

enum method { METHOD_AUTO, METHOD_URING, METHOD_THREADS };

struct direct_config {
  char *device;                         /* absolute path */
  bool trim;
  bool force;
  unsigned timeout;                     /* seconds, 0: none */
  enum method method;
};

extern struct direct_config config;

#define PARAMETERS_HELP \
  "device=PATH          (required) block device or file to serve\n" \
  "direct-trim=BOOL     pass trims on to the device (default: off)\n" \
  "direct-force=BOOL    serve a device that is in use (default: off)\n" \
  "direct-timeout=SECONDS\n" \
  "                     how long the drive may take for a request\n" \
  "                     (default: 30; 0: for ever)\n" \
  "direct-io=auto|uring|threads\n" \
  "                     how requests are waited for (default: auto)"

/* One parameter, and after the last one: is what is required there?  Both
 * return 0, or -1 after nbdkit_error.
 */
extern int parameters_set (const char *key, const char *value);
extern int parameters_check (void);

extern void parameters_free (void);

#endif /* DIRECT_PARAMETERS_H */
