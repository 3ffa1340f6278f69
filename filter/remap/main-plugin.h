/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Can this plugin be main?
 */

#ifndef REMAP_MAIN_PLUGIN_H
#define REMAP_MAIN_PLUGIN_H

#include "parameters.h"

/* Before the plugin is opened.  Returns 0, or -1 after nbdkit_error. */
extern int main_plugin_check (const struct remap_config *config);

#endif /* REMAP_MAIN_PLUGIN_H */
