/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the monitor was told to do.  It doesn't change while it runs.
 */

#ifndef REMAP_MONITOR_SETTINGS_H
#define REMAP_MONITOR_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

struct settings {
  const char *state;                    /* the folder of its own history */
  const char *config;                   /* NAME.conf of servers; events.d */
  const char **servers;                 /* names, or paths of sockets */
  size_t nr_servers;
  const char *listen;                   /* path, or ADDRESS:PORT; NULL: not */
  const char *token;                    /* file; NULL: none is needed */
  bool test;                            /* tell once, and end */

  /* Seconds. */
  unsigned gather;                      /* what comes together is one message */
  unsigned quiet;                       /* between messages about one server */
  unsigned grace;                       /* a server may be away so long */
  unsigned settle;                      /* and must be well so long */
  unsigned reminder;
  unsigned interval;                    /* between requests for the status */
  unsigned hook_timeout;

  unsigned hot;                         /* degrees Celsius; 0: no limit */
};

#endif /* REMAP_MONITOR_SETTINGS_H */
