/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What makes small files, and fails on command.  Programs that use this are
 * linked with --wrap for all of these functions (fail_files_ldflags in
 * Makefile.am).
 */

#ifndef FAIL_FILES_H
#define FAIL_FILES_H

/* The Nth call from now on fails (1: the next one); 0: none does.  A write
 * that fails has written half of it.
 */
extern unsigned asprintf_fails, dprintf_fails, mkostemp_fails, rename_fails,
  write_fails;

#endif /* FAIL_FILES_H */
