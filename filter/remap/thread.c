/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <signal.h>

#include "thread.h"

int
thread_start (pthread_t *thread, void *(*run) (void *), void *arg)
{
  sigset_t all, old;
  int err;

  sigfillset (&all);
  sigdelset (&all, SIGSEGV);
  sigdelset (&all, SIGBUS);
  sigdelset (&all, SIGFPE);
  sigdelset (&all, SIGILL);
  sigdelset (&all, SIGABRT);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  err = pthread_create (thread, NULL, run, arg);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  return err;
}
