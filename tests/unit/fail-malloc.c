/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "fail-malloc.h"

_Thread_local unsigned malloc_countdown;
_Thread_local bool malloc_forever;
_Thread_local unsigned malloc_hits, malloc_calls;

extern void *__real_malloc (size_t size);
extern void *__real_calloc (size_t n, size_t size);
extern void *__real_realloc (void *p, size_t size);
extern int __real_posix_memalign (void **p, size_t align, size_t size);
extern void *__real_aligned_alloc (size_t align, size_t size);
extern void *__wrap_malloc (size_t size);
extern void *__wrap_calloc (size_t n, size_t size);
extern void *__wrap_realloc (void *p, size_t size);
extern int __wrap_posix_memalign (void **p, size_t align, size_t size);
extern void *__wrap_aligned_alloc (size_t align, size_t size);

static bool
fails (void)
{
  malloc_calls++;
  if (malloc_countdown == 0 || --malloc_countdown > 0)
    return false;
  if (malloc_forever)
    malloc_countdown = 1;
  malloc_hits++;
  errno = ENOMEM;
  return true;
}

void *
__wrap_malloc (size_t size)
{
  return fails () ? NULL : __real_malloc (size);
}

void *
__wrap_calloc (size_t n, size_t size)
{
  return fails () ? NULL : __real_calloc (n, size);
}

void *
__wrap_realloc (void *p, size_t size)
{
  return fails () ? NULL : __real_realloc (p, size);
}

int
__wrap_posix_memalign (void **p, size_t align, size_t size)
{
  return fails () ? ENOMEM : __real_posix_memalign (p, align, size);
}

void *
__wrap_aligned_alloc (size_t align, size_t size)
{
  return fails () ? NULL : __real_aligned_alloc (align, size);
}
