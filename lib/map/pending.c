/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The pages hang on a directory of two levels, whose entries a reader loads one
 * after the other within a read-side section.  A page that has become empty
 * stays where it is, for what comes next to the same place, until there are
 * many of them: then all are unlinked, and freed after one grace period.
 *
 * Whoever changes something holds the mutex, for a few hundred words at most.
 * A page with bits that were not there when it was taken last is in the list
 * TOUCHED.  That a page is listed before the mutex is given up means that a
 * batch misses nothing that was pending before it was taken.
 */

#if !defined (__SANITIZE_THREAD__) && !defined (__SANITIZE_ADDRESS__)
#define _LGPL_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "map/pending.h"
#include "map/readers.h"

#define SECTORS_PER_WORD 32U
#define PAGE_WORDS (PENDING_PAGE_SECTORS / SECTORS_PER_WORD)
#define PAGE_SHIFT 14
#define NODE_SHIFT 12
#define NODE_PAGES (UINT64_C (1) << NODE_SHIFT)

/* So many pages are kept although most of them may be empty. */
#define PAGES_KEPT 1024U

#define ONES UINT64_C (0x5555555555555555)

struct pending_page {
  uint64_t word[PAGE_WORDS];    /* two bits each, from the lowest on; atomic */

  /* The mutex guards these. */
  uint64_t number;              /* the first sector, in pages */
  struct pending_page *next, **prev;            /* in the list ALL */
  struct pending_page *link;    /* in TOUCHED; or among those to be freed */
  bool touched;
  unsigned pins;                /* ... and those of a batch */
  uint32_t count;               /* sectors that are pending */
  uint64_t runs;                /* reserved since it was taken last */
};

struct node {
  struct pending_page *page[NODE_PAGES];        /* atomic */
};

struct pending {
  uint64_t nr_nodes;
  pthread_mutex_t mutex;
  struct pending_page *all, *touched;
  struct pending_totals totals;
  struct node *node[];          /* atomic */
};

/* The code of a state, and back. */
static unsigned
code_of (enum sector_state state)
{
  return state == KEPT ? 1 : state == WRITTEN ? 2 : state == ZERO ? 3 : 0;
}

static enum sector_state
state_of (unsigned code)
{
  static const enum sector_state states[] = { DIRECT, KEPT, WRITTEN, ZERO };

  return states[code];
}

static uint64_t
load_word (const struct pending_page *page, unsigned i)
{
  return __atomic_load_n (&page->word[i], __ATOMIC_ACQUIRE);
}

/* The bits of a word, both of each sector, from FROM to before TO. */
static uint64_t
bits (unsigned from, unsigned to)
{
  const uint64_t below = to == SECTORS_PER_WORD ? UINT64_MAX
    : (UINT64_C (1) << (2 * to)) - 1;

  return below & ~((UINT64_C (1) << (2 * from)) - 1);
}

/* How many sectors from AT on, in a page, have the code of the first one. */
static unsigned
run_in_page (const struct pending_page *page, unsigned at, unsigned *code)
{
  unsigned i = at / SECTORS_PER_WORD, from = at % SECTORS_PER_WORD;
  uint64_t other;

  *code = load_word (page, i) >> (2 * from) & 3;
  for (; i < PAGE_WORDS; i++, from = 0) {
    other = (load_word (page, i) ^ *code * ONES) &
      bits (from, SECTORS_PER_WORD);
    if (other != 0)
      return i * SECTORS_PER_WORD + __builtin_ctzll (other) / 2 - at;
  }
  return PENDING_PAGE_SECTORS - at;
}

/* NULL: there is no such page, nor another before sector *NEXT. */
static const struct pending_page *
find_page (const struct pending *p, sector_t start, sector_t *next)
{
  const uint64_t number = start >> PAGE_SHIFT, n = number >> NODE_SHIFT;
  const struct node *node =
    n < p->nr_nodes ? __atomic_load_n (&p->node[n], __ATOMIC_ACQUIRE) : NULL;

  if (node == NULL) {
    *next = n < p->nr_nodes ? (n + 1) << (PAGE_SHIFT + NODE_SHIFT)
      : UINT64_MAX;
    return NULL;
  }
  *next = (number + 1) << PAGE_SHIFT;
  return __atomic_load_n (&node->page[number % NODE_PAGES], __ATOMIC_ACQUIRE);
}

enum sector_state
pending_get (const struct pending *p, sector_t start, uint64_t *count)
{
  const struct pending_page *page;
  unsigned code = 0, here, n;
  uint64_t done = 0;
  sector_t next;

  read_lock ();
  do {
    page = find_page (p, start + done, &next);
    if (page == NULL) {
      if (done > 0 && code != 0)
        break;
      done = next - start;
      continue;
    }
    n = run_in_page (page, (start + done) % PENDING_PAGE_SECTORS, &here);
    if (done == 0)
      code = here;
    if (here != code)
      break;
    done += n;
  } while (done < *count && (start + done) % PENDING_PAGE_SECTORS == 0);
  read_unlock ();
  *count = min_u64 (done, *count);
  return state_of (code);
}

struct pending *
pending_new (uint64_t nr_sectors)
{
  const uint64_t n = (nr_sectors >> (PAGE_SHIFT + NODE_SHIFT)) + 1;
  struct pending *p = calloc (1, sizeof *p + n * sizeof p->node[0]);

  if (p == NULL)
    return NULL;
  p->nr_nodes = n;
  pthread_mutex_init (&p->mutex, NULL);
  return p;
}

void
pending_free (struct pending *p)
{
  struct pending_page *page;

  if (p == NULL)
    return;
  while ((page = p->all) != NULL) {
    p->all = page->next;
    free (page);
  }
  for (uint64_t i = 0; i < p->nr_nodes; i++)
    free (p->node[i]);
  pthread_mutex_destroy (&p->mutex);
  free (p);
}

/* The page of a sector, which is made if it isn't there; NULL: no memory.  The
 * mutex is held.
 */
static struct pending_page *
make_page (struct pending *p, uint64_t number)
{
  struct node **node = &p->node[number >> NODE_SHIFT];
  struct pending_page *page;

  if (*node == NULL) {
    struct node *new = calloc (1, sizeof *new);

    if (new == NULL)
      return NULL;
    __atomic_store_n (node, new, __ATOMIC_RELEASE);
  }
  page = (*node)->page[number % NODE_PAGES];
  if (page != NULL)
    return page;
  page = calloc (1, sizeof *page);
  if (page == NULL)
    return NULL;
  page->number = number;
  page->next = p->all;
  page->prev = &p->all;
  if (p->all)
    p->all->prev = &page->next;
  p->all = page;
  p->totals.pages++;
  __atomic_store_n (&(*node)->page[number % NODE_PAGES], page,
                    __ATOMIC_RELEASE);
  return page;
}

/* The mutex is held, and the page is there. */
static struct pending_page *
page_of (struct pending *p, uint64_t number)
{
  struct node *node = p->node[number >> NODE_SHIFT];

  return node ? node->page[number % NODE_PAGES] : NULL;
}

static void
unpin (struct pending *p, uint64_t first, uint64_t end)
{
  for (uint64_t i = first; i < end; i++)
    page_of (p, i)->pins--;
}

int
pending_pin (struct pending *p, sector_t start, uint64_t count)
{
  const uint64_t first = start >> PAGE_SHIFT;
  const uint64_t last = (start + count - 1) >> PAGE_SHIFT;
  struct pending_page *page;
  int err = 0;

  pthread_mutex_lock (&p->mutex);
  for (uint64_t i = first; i <= last && err == 0; i++) {
    page = make_page (p, i);
    if (page != NULL)
      page->pins++;
    else {
      unpin (p, first, i);
      err = ENOMEM;
    }
  }
  pthread_mutex_unlock (&p->mutex);
  return err;
}

void
pending_unpin (struct pending *p, sector_t start, uint64_t count)
{
  pthread_mutex_lock (&p->mutex);
  unpin (p, start >> PAGE_SHIFT, ((start + count - 1) >> PAGE_SHIFT) + 1);
  pthread_mutex_unlock (&p->mutex);
}

/* Which sectors of a word have this code: the lower bit of each. */
static uint64_t
sectors_with (uint64_t word, unsigned code)
{
  const uint64_t differs = word ^ code * ONES;

  return ~(differs | differs >> 1) & ONES;
}

static void
count_word (struct pending *p, struct pending_page *page, uint64_t word,
            int sign)
{
  const int kept = __builtin_popcountll (sectors_with (word, 1));
  const int written = __builtin_popcountll (sectors_with (word, 2));
  const int zero = __builtin_popcountll (sectors_with (word, 3));

  p->totals.kept += sign * kept;
  p->totals.written += sign * written;
  p->totals.zero += sign * zero;
  page->count += sign * (kept + written + zero);
}

static bool
put_word (struct pending *p, struct pending_page *page, unsigned i,
          uint64_t word)
{
  const uint64_t old = page->word[i];

  if (old == word)
    return false;
  count_word (p, page, old, -1);
  count_word (p, page, word, 1);
  __atomic_store_n (&page->word[i], word, __ATOMIC_RELEASE);
  return true;
}

static void
touch (struct pending *p, struct pending_page *page)
{
  if (page->touched)
    return;
  page->touched = true;
  page->link = p->touched;
  p->touched = page;
}

bool
pending_set (struct pending *p, sector_t start, uint64_t count,
             enum sector_state state, uint64_t runs)
{
  const uint64_t all = code_of (state) * ONES;
  unsigned at = start % PENDING_PAGE_SECTORS;
  const unsigned end = at + count;
  struct pending_page *page;
  unsigned from, to;
  uint64_t mask;
  bool news = false;

  pthread_mutex_lock (&p->mutex);
  page = page_of (p, start >> PAGE_SHIFT);
  for (; at < end; at += to - from) {
    from = at % SECTORS_PER_WORD;
    to = min_u64 (from + (end - at), SECTORS_PER_WORD);
    mask = bits (from, to);
    news |= put_word (p, page, at / SECTORS_PER_WORD,
                      (page->word[at / SECTORS_PER_WORD] & ~mask) |
                      (all & mask));
  }
  if (news) {
    page->runs += runs;
    touch (p, page);
  }
  pthread_mutex_unlock (&p->mutex);
  return news;
}

/* In a page from AT to before END; returns whether there was anything. */
static bool
clear_in_page (struct pending *p, struct pending_page *page, unsigned at,
               unsigned end, enum sector_state state)
{
  unsigned from, to;
  uint64_t word, mask;
  bool news = false;

  for (; at < end; at += to - from) {
    word = page->word[at / SECTORS_PER_WORD];
    from = at % SECTORS_PER_WORD;
    to = min_u64 (from + (end - at), SECTORS_PER_WORD);
    mask = state == DIRECT ? ONES : sectors_with (word, code_of (state));
    mask = (mask | mask << 1) & bits (from, to);
    news |= put_word (p, page, at / SECTORS_PER_WORD, word & ~mask);
  }
  return news;
}

bool
pending_clear (struct pending *p, sector_t start, uint64_t count,
               enum sector_state from, uint64_t runs)
{
  const sector_t end = start + count;
  struct pending_page *page;
  bool news = false;
  sector_t next;

  pthread_mutex_lock (&p->mutex);
  for (; start < end; start = next) {
    page = (struct pending_page *) find_page (p, start, &next);
    next = min_u64 (next, end);
    if (page == NULL ||
        !clear_in_page (p, page, start % PENDING_PAGE_SECTORS,
                        start % PENDING_PAGE_SECTORS + (next - start), from))
      continue;
    news = true;
    page->runs += runs;
    if (runs > 0)
      touch (p, page);
    runs = 0;
  }
  pthread_mutex_unlock (&p->mutex);
  return news;
}

void
pending_clear_all (struct pending *p, enum sector_state from)
{
  pthread_mutex_lock (&p->mutex);
  for (struct pending_page *page = p->all; page != NULL; page = page->next)
    clear_in_page (p, page, 0, PENDING_PAGE_SECTORS, from);
  pthread_mutex_unlock (&p->mutex);
}

void
pending_get_totals (struct pending *p, struct pending_totals *totals)
{
  pthread_mutex_lock (&p->mutex);
  *totals = p->totals;
  pthread_mutex_unlock (&p->mutex);
}

static int
compare_pages (const void *a, const void *b)
{
  const uint64_t x = (*(struct pending_page *const *) a)->number;
  const uint64_t y = (*(struct pending_page *const *) b)->number;

  return x < y ? -1 : x > y;
}

int
pending_take (struct pending *p, struct pending_batch *b)
{
  struct pending_page *page;
  size_t n = 0;

  pthread_mutex_lock (&p->mutex);
  for (page = p->touched; page != NULL; page = page->link)
    n++;
  b->page = n > 0 ? malloc (n * sizeof *b->page) : NULL;
  if (n > 0 && b->page == NULL) {
    pthread_mutex_unlock (&p->mutex);
    return ENOMEM;
  }
  for (page = p->touched; page != NULL; page = page->link) {
    b->page[b->n++] = page;
    b->runs += page->runs;
    page->runs = 0;
    page->touched = false;
    page->pins++;
  }
  p->touched = NULL;
  pthread_mutex_unlock (&p->mutex);
  if (n > 0)
    qsort (b->page, n, sizeof *b->page, compare_pages);
  return 0;
}

bool
pending_batch_next (const struct pending *p, struct pending_batch *b,
                    struct run *run)
{
  unsigned code, n;

  for (; b->at < b->n; b->at++, b->word = 0)
    for (; b->word < PENDING_PAGE_SECTORS; b->word += n) {
      const struct pending_page *page = b->page[b->at];

      n = run_in_page (page, b->word, &code);
      if (code == 0)
        continue;
      *run = (struct run) {
        .start = (page->number << PAGE_SHIFT) + b->word, .count = n,
        .state = state_of (code), .slot = NO_SLOT,
      };
      b->word += n;
      return true;
    }
  return false;
}

/* Unlinks the pages that are empty and nobody's; returns them.  The mutex is
 * held.
 */
static struct pending_page *
unlink_empty (struct pending *p)
{
  struct pending_page *page, *next, *empty = NULL;

  for (page = p->all; page != NULL; page = next) {
    next = page->next;
    if (page->count > 0 || page->pins > 0 || page->touched)
      continue;
    __atomic_store_n (&p->node[page->number >> NODE_SHIFT]
                      ->page[page->number % NODE_PAGES], NULL,
                      __ATOMIC_RELEASE);
    *page->prev = next;
    if (next)
      next->prev = page->prev;
    page->link = empty;
    empty = page;
    p->totals.pages--;
  }
  return empty;
}

void
pending_release (struct pending *p, struct pending_batch *b, bool recorded)
{
  struct pending_page *page, *empty = NULL;

  pthread_mutex_lock (&p->mutex);
  for (size_t i = 0; i < b->n; i++) {
    page = b->page[i];
    page->pins--;
    if (!recorded)
      touch (p, page);
  }
  if (!recorded && b->n > 0)
    b->page[0]->runs += b->runs;
  if (p->totals.pages > PAGES_KEPT)
    empty = unlink_empty (p);
  pthread_mutex_unlock (&p->mutex);
  free (b->page);
  *b = (struct pending_batch) { 0 };
  if (empty == NULL)
    return;
  wait_for_readers ();
  while ((page = empty) != NULL) {
    empty = page->link;
    free (page);
  }
}
