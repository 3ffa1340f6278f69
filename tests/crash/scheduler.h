/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A deterministic scheduler: tasks that are switched only before and after
 * operations of the devices, or where the core waits for a lock.
 *
 * Tasks are coroutines of one thread.  The core's calls of pthread mutexes
 * and conditions are wrapped (-Wl,--wrap): a task that has to wait is not
 * runnable until it needn't any more.  Whenever more than one task can go
 * on, a choice is made: 0 is the one that is running, if it can, then the
 * others in order.
 */

#ifndef CRASH_SCHEDULER_H
#define CRASH_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_TASKS 3
#define MAX_CHOICES_MADE 400

struct choice {
  uint8_t taken, options;
  bool preempts;                /* if other than 0 is taken */
};

struct schedule {
  unsigned n;                   /* choices that are given */
  unsigned made;                /* choices in all: then 0, or by chance */
  struct choice v[MAX_CHOICES_MADE];
  uint64_t random;              /* not 0: a seed for choices beyond N */
};

/* Runs the tasks to their ends; false: none can go on (a deadlock), and
 * nothing that they use may be used any more.
 */
extern bool schedule_run (struct schedule *s, unsigned ntasks,
                          void (*task) (void *opaque, unsigned i),
                          void *opaque);

/* A place where tasks may be switched.  Outside of tasks: nothing. */
extern void schedule_point (void);

/* Which task this is; -1: none. */
extern int schedule_self (void);

/* Changes a schedule that was run to the next one that has at most so many
 * preemptions; false if there is none.
 */
extern bool schedule_next (struct schedule *s, unsigned preemptions);

#endif /* CRASH_SCHEDULER_H */
