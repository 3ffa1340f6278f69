/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Main is one disk, the same for everybody, and the server looks at it
 * before there is a client.  Some plugins have another disk for each export
 * name, or each client.  A connection that no client has made has no export
 * name, not even an empty one: nbdkit_export_name fails.  The plugin `file'
 * then crashes the server, `nbd' aborts it, and `info' and `ondemand' fail
 * with a message that says nothing to the reader.  So they are refused
 * before they are opened.
 *
 * nbdkit tells a filter neither what the plugin is called nor what it can
 * do (whether it lists exports can be asked only if a client is there).  But
 * the plugin is a shared object of this process, whose file name has the
 * plugin's name in it.
 */

#include <config.h>

#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "main-plugin.h"

/* Is this one of the process's shared objects? */
static int
has_name (struct dl_phdr_info *info, size_t size, void *opaque)
{
  const char *name = strrchr (info->dlpi_name, '/');

  return strcmp (name ? name + 1 : info->dlpi_name, opaque) == 0;
}

static bool
plugin_is (const char *name)
{
  char file[64];

  snprintf (file, sizeof file, "nbdkit-%s-plugin.so", name);
  return dl_iterate_phdr (has_name, file) != 0;
}

int
main_plugin_check (const struct remap_config *config)
{
  static const struct {
    const char *name, *why;
  } never[] = {
    { "info", "it has another content for each client" },
    { "ondemand", "it has a disk for each export name" },
    { "tmpdisk", "it has a new disk for each client" },
  };

  for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
    if (plugin_is (never[i].name)) {
      nbdkit_error ("remap: the plugin %s: can't be main: %s",
                    never[i].name, never[i].why);
      return -1;
    }
  if (config->directory_key && plugin_is ("file")) {
    nbdkit_error ("remap: the plugin file %s=DIR: can't be main: it has a "
                  "disk for each export name: choose one, with file=PATH",
                  config->directory_key);
    return -1;
  }
  if (config->dynamic_export && plugin_is ("nbd")) {
    nbdkit_error ("remap: the plugin nbd dynamic-export=yes: can't be main: "
                  "it has a disk for each export name: choose one, with "
                  "export=NAME");
    return -1;
  }
  return 0;
}
