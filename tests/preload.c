/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Loaded into nbdkit under valgrind and the sanitizers.
 *
 * Plugins and filters stay in memory when nbdkit closes them at its end,
 * so that reports about leaks can say which of them it was.
 *
 * And the sanitizer is made to start before all else (this library is
 * linked with -z initfirst).  It starts at the first malloc, and asks
 * for symbols then; if that malloc is one of libc's locale functions, as in
 * a constructor of GnuTLS's libraries, libc's lock is broken afterwards and
 * nbdkit hangs at its end.
 */

#include <config.h>
#include <stdlib.h>
#include <dlfcn.h>

int
dlclose (void *handle)
{
  return 0;
}

static void __attribute__ ((constructor))
start_sanitizer (void)
{
  void *volatile p = malloc (1);

  free (p);
}
