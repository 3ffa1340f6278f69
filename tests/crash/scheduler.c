/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "memdev.h"
#include "scheduler.h"

#define STACK (UINT64_C (512) << 10)

struct task {
  ucontext_t context;
  void *stack;
  bool done;
  const void *mutex, *cond;     /* what it waits for, or NULL */
};

/* Mutexes that a task has. */
static struct held {
  const void *mutex;
  int task;
} held[32];
static unsigned nheld;

static struct task task[MAX_TASKS];
static ucontext_t scheduler;
static int self = -1;
static void (*task_function) (void *opaque, unsigned i);
static void *task_opaque;

int
schedule_self (void)
{
  return self;
}

static int
holder (const void *mutex)
{
  for (unsigned i = 0; i < nheld; i++)
    if (held[i].mutex == mutex)
      return held[i].task;
  return -1;
}

static void
switch_away (void)
{
  struct task *t = &task[self];

  swapcontext (&t->context, &scheduler);
}

void
schedule_point (void)
{
  if (self >= 0)
    switch_away ();
}

static void
task_start (int i)
{
  task_function (task_opaque, i);
  task[i].done = true;
  setcontext (&scheduler);
}

static void
prepare (unsigned i)
{
  struct task *t = &task[i];

  if (t->stack == NULL) {
    t->stack = mmap (NULL, STACK, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->stack == MAP_FAILED)
      abort ();
  }
  t->done = false;
  t->mutex = t->cond = NULL;
  getcontext (&t->context);
  t->context.uc_stack.ss_sp = t->stack;
  t->context.uc_stack.ss_size = STACK;
  t->context.uc_link = NULL;
  makecontext (&t->context, (void (*) (void)) task_start, 1, (int) i);
}

static bool
runnable (unsigned i)
{
  return !task[i].done && task[i].cond == NULL &&
    (task[i].mutex == NULL || holder (task[i].mutex) == -1);
}

/* The next one of the tasks that can run; LAST is the one that ran. */
static unsigned
choose (struct schedule *s, const unsigned *can, unsigned n, int last)
{
  struct choice c = { .options = n, .preempts = (int) can[0] == last };

  if (n == 1)
    return can[0];
  if (s->made == MAX_CHOICES_MADE)
    return can[0];
  if (s->made < s->n)
    c.taken = s->v[s->made].taken % n;
  else if (s->random)
    /* Mostly it goes on: or else nothing would ever get far. */
    c.taken = memdev_random (&s->random) % 4 && c.preempts ? 0
      : memdev_random (&s->random) % n;
  s->v[s->made++] = c;
  return can[c.taken];
}

bool
schedule_run (struct schedule *s, unsigned ntasks,
              void (*function) (void *opaque, unsigned i), void *opaque)
{
  unsigned can[MAX_TASKS], n, i;
  bool all_done;
  int last = -1;

  task_function = function;
  task_opaque = opaque;
  s->made = 0;
  nheld = 0;
  for (i = 0; i < ntasks; i++)
    prepare (i);
  for (;;) {
    n = 0;
    all_done = true;
    if (last >= 0 && runnable (last))
      can[n++] = last;
    for (i = 0; i < ntasks; i++) {
      all_done &= task[i].done;
      if ((int) i != last && runnable (i))
        can[n++] = i;
    }
    if (all_done)
      return true;
    if (n == 0)
      return false;
    last = choose (s, can, n, last);
    self = last;
    swapcontext (&scheduler, &task[last].context);
    self = -1;
  }
}

bool
schedule_next (struct schedule *s, unsigned preemptions)
{
  unsigned used = 0, i;

  for (i = 0; i < s->made; i++)
    used += s->v[i].preempts && s->v[i].taken > 0;
  for (i = s->made; i > 0; i--) {
    struct choice *c = &s->v[i-1];

    if (c->preempts && c->taken > 0)
      used--;
    if (c->taken + 1U < c->options &&
        used + (c->preempts ? 1 : 0) <= preemptions) {
      c->taken++;
      s->n = i;
      return true;
    }
  }
  return false;
}

/* What the core calls. */

extern int __real_pthread_mutex_lock (pthread_mutex_t *m);
extern int __real_pthread_mutex_trylock (pthread_mutex_t *m);
extern int __real_pthread_mutex_unlock (pthread_mutex_t *m);
extern int __real_pthread_cond_wait (pthread_cond_t *c, pthread_mutex_t *m);
extern int __real_pthread_cond_broadcast (pthread_cond_t *c);
extern int __wrap_pthread_mutex_lock (pthread_mutex_t *m);
extern int __wrap_pthread_mutex_trylock (pthread_mutex_t *m);
extern int __wrap_pthread_mutex_unlock (pthread_mutex_t *m);
extern int __wrap_pthread_cond_wait (pthread_cond_t *c, pthread_mutex_t *m);
extern int __wrap_pthread_cond_broadcast (pthread_cond_t *c);

int
__wrap_pthread_mutex_lock (pthread_mutex_t *m)
{
  if (self < 0)
    return __real_pthread_mutex_lock (m);
  task[self].mutex = m;
  while (holder (m) != -1)
    switch_away ();
  task[self].mutex = NULL;
  if (nheld == sizeof held / sizeof held[0])
    abort ();
  held[nheld++] = (struct held) { m, self };
  return 0;
}

int
__wrap_pthread_mutex_trylock (pthread_mutex_t *m)
{
  if (self < 0)
    return __real_pthread_mutex_trylock (m);
  return holder (m) == -1 ? __wrap_pthread_mutex_lock (m) : EBUSY;
}

int
__wrap_pthread_mutex_unlock (pthread_mutex_t *m)
{
  if (self < 0)
    return __real_pthread_mutex_unlock (m);
  for (unsigned i = 0; i < nheld; i++)
    if (held[i].mutex == m) {
      if (held[i].task != self)
        abort ();
      held[i] = held[--nheld];
      return 0;
    }
  abort ();
}

int
__wrap_pthread_cond_wait (pthread_cond_t *c, pthread_mutex_t *m)
{
  if (self < 0)
    return __real_pthread_cond_wait (c, m);
  __wrap_pthread_mutex_unlock (m);
  task[self].cond = c;
  switch_away ();
  return __wrap_pthread_mutex_lock (m);
}

/* pthread_cond_signal isn't used by the core, and isn't wrapped. */
int
__wrap_pthread_cond_broadcast (pthread_cond_t *c)
{
  if (self < 0)
    return __real_pthread_cond_broadcast (c);
  for (unsigned i = 0; i < MAX_TASKS; i++)
    if (task[i].cond == c)
      task[i].cond = NULL;
  return 0;
}
