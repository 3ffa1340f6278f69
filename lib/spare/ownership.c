/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Locks tell two servers of one host apart (promise 22 of remap-promises(7)),
 * and no others: not through a FUSE mount, nor on NFS without locks, nor on a
 * disk that two hosts share.  There a stamp in the spare says who uses it, as
 * ext4's MMP does.
 *
 * Whoever finds a stamp waits, unless it can be seen that its owner is dead,
 * for as long as four renewals take.  If the stamp has changed meanwhile its
 * owner lives.  If it hasn't, it is taken over; and since two may do that at
 * once, the one that took over looks again after a while: the later one has
 * it.
 *
 * An owner may stand still for longer than that (SIGSTOP, a disk that hangs,
 * virtual machines that are suspended), and doesn't notice.  So an owner looks
 * before it writes, the stamp itself included: if it has just renewed it, that
 * has been done.  What was under way when it stood still may land later;
 * nothing but the storage itself could prevent that.
 *
 * After a clean end, or that of an owner that is seen dead, nobody is waited
 * for: two that start in the same moment are told apart by looking before each
 * write until the first renewal.
 *
 * What has to be durable?  The stamp that takes over: if the storage lost it
 * in a power cut while this host lives, the stamp of the one before would come
 * back, and be taken for another's.  A renewal has to be seen by others alone,
 * which device_share does: one that is lost leaves an older one of the same
 * session. That nobody has it any more is made durable for the sake of the
 * next start, which would wait for nobody.  A stamp that is given back keeps
 * its session, so that whoever looked before can tell that there was another
 * owner in between.
 *
 * A program that doesn't know stamps isn't kept away by one.  What it writes
 * is noticed when the headers or the log aren't as they were left.
 *
 * A stamp that can't be read or written is no reason to refuse the service:
 * the spare is used without one, and that is said.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "spare/leader.h"
#include "spare/ownership.h"
#include "spare/stamp.h"

#define RENEW_MS 3000U          /* a stamp is renewed so often */
#define LATE_MS (2 * RENEW_MS)  /* so long it need not be looked at */
#define WATCH_MS (4 * RENEW_MS) /* so long an unknown one is watched */
#define LOOK_MS 1000U           /* so often */

struct ownership {
  const struct owner_env *env;
  pthread_mutex_t mutex;        /* guards the page and the stamp */
  _Alignas (8) uint8_t page[SPARE_PAGE];
  _Alignas (8) uint8_t seen[SPARE_PAGE];        /* at the first look */
  struct stamp stamp;           /* ours */
  bool taken_over;              /* from somebody who isn't known to be dead */
  bool unreadable;
  bool told;                    /* that it can't be written */
  atomic_bool active;           /* taken, and can be read */
  _Atomic uint64_t renewed_ms;
  _Atomic uint64_t young_until_ms;

  /* The leader's. */
  _Alignas (8) uint8_t log_page[SPARE_PAGE];
  uint64_t log_looked_ms;
  uint64_t leftover;            /* nonce of a commit that a crash has left */
};

static uint64_t
now_ms (const struct ownership *o)
{
  return o->env->now_ms (o->env->opaque);
}

/* An error may be that of any write, of a slot for example, and is returned
 * once: the next flush knows nothing of it (promise 16).
 */
static int
share (struct spare *s, uint64_t offset)
{
  const int err = device_share (s->dev, offset, SPARE_PAGE);

  if (err && !atomic_exchange (&s->failed, true))
    spare_warn (s, "what was written to the spare could not be brought to the "
                "disk (%s): nothing is remapped until the server has been "
                "restarted", strerror (err));
  return err;
}

static int
read_page (struct spare *s, void *page)
{
  const int err = share (s, STAMP_OFFSET);

  return err ? err : device_pread (s->dev, page, SPARE_PAGE, STAMP_OFFSET);
}

static int
has_failed (struct message *message)
{
  message_set (message, "what was written to the spare could not be brought "
               "to the disk");
  return EIO;
}

static void
owner_text (const struct owner *owner, char *text, size_t size)
{
  snprintf (text, size, "process %" PRIu64 " of the host \"%s\"", owner->pid,
            owner->host);
}

/* Says whose the spare is. */
static int
in_use (const struct stamp *st, const char *how, struct message *message)
{
  char text[128];

  owner_text (&st->owner, text, sizeof text);
  message_set (message, "is in use by another server or tool, %s: %s", text,
               how);
  return EBUSY;
}

/* Watches a stamp whose owner may live. */
static int
watch (struct spare *s, struct ownership *o, const struct stamp *st,
       struct message *message)
{
  const uint64_t end = now_ms (o) + WATCH_MS;

  if (o->env->waits)
    o->env->waits (o->env->opaque, &st->owner, WATCH_MS + RENEW_MS);
  while (now_ms (o) < end) {
    o->env->sleep_ms (o->env->opaque, LOOK_MS);
    o->unreadable = read_page (s, o->page) != 0;
    if (!o->unreadable && memcmp (o->page, o->seen, SPARE_PAGE) != 0)
      return in_use (st, "its stamp changes", message);
    if (atomic_load (&s->failed))
      return has_failed (message);
  }
  o->taken_over = true;
  return 0;
}

int
ownership_await (struct spare *s, struct message *message)
{
  struct ownership *o;
  struct stamp st;
  enum stamp_class class;

  if (s->env.owner == NULL)
    return 0;
  o = s->ownership = calloc (1, sizeof *o);
  if (o == NULL) {
    message_set (message, "out of memory");
    return ENOMEM;
  }
  o->env = s->env.owner;
  pthread_mutex_init (&o->mutex, NULL);
  o->unreadable = read_page (s, o->seen) != 0;
  if (atomic_load (&s->failed))
    return has_failed (message);
  if (o->unreadable)
    memset (o->seen, 0, SPARE_PAGE);
  class = stamp_decode (o->seen, &st);
  if (!o->unreadable &&
      (class == STAMP_NONE || (class == STAMP_VALID && !st.held)))
    return 0;
  switch (class == STAMP_VALID ? o->env->fate (o->env->opaque, &st.owner)
          : OWNER_UNKNOWN) {
  case OWNER_DEAD:
    return 0;
  case OWNER_ALIVE:
    return in_use (&st, "it is running", message);
  case OWNER_UNKNOWN:
    break;
  }
  return watch (s, o, &st, message);
}

/* The caller holds the mutex, or nobody else knows the spare. */
static int
write_stamp (struct spare *s, struct ownership *o)
{
  int err;

  o->stamp.counter++;
  o->stamp.renewed = spare_now (s);
  stamp_encode (&o->stamp, o->page);
  err = device_pwrite (s->dev, o->page, SPARE_PAGE, STAMP_OFFSET);
  if (err == 0)
    err = share (s, STAMP_OFFSET);
  if (err && !o->told && !atomic_load (&s->failed)) {
    o->told = true;
    spare_warn (s, "the owner stamp of the spare can't be written (%s): a "
                "server on another host may take the spare over",
                strerror (err));
  }
  return err;
}

static void
found_other (struct spare *s, const char *what)
{
  if (atomic_exchange (&s->failed, true))
    return;
  spare_warn (s, "%s: nothing is written to the spare any more, and what was "
              "since may be lost: end one of the two servers, and restart the "
              "other one", what);
}

/* Is the stamp ours?  The caller holds the mutex. */
static bool
look (struct spare *s, struct ownership *o)
{
  char text[256] = "somebody has overwritten the owner stamp of the spare";
  struct stamp st;
  int err = read_page (s, o->page);

  if (atomic_load (&s->failed))
    return false;
  if (err) {
    o->unreadable = true;
    atomic_store (&o->active, false);
    spare_warn (s, "the owner stamp of the spare can't be read (%s): another "
                "server on another host would not be noticed", strerror (err));
    return true;
  }
  if (stamp_decode (o->page, &st) == STAMP_VALID &&
      st.session == o->stamp.session)
    return true;
  if (st.owner.host[0] != '\0') {
    strcpy (text, "another server uses the spare, ");
    owner_text (&st.owner, text + strlen (text), sizeof text - strlen (text));
  }
  found_other (s, text);
  return false;
}

/* The caller holds the mutex. */
static bool
renew (struct spare *s, struct ownership *o)
{
  const uint64_t now = now_ms (o);

  if (!look (s, o))
    return false;
  if (atomic_load (&o->active) && write_stamp (s, o) == 0)
    atomic_store (&o->renewed_ms, now);
  return !atomic_load (&s->failed);
}

/* A commit that a crash has left behind the end of the log. */
static void
note_leftover (struct spare *s, struct ownership *o)
{
  const struct log_area *area = &s->hdr.area[s->hdr.active];
  struct log_page info;

  if (s->pos < area->pages &&
      device_pread (s->dev, o->log_page, SPARE_PAGE,
                    log_page_offset (area, s->pos)) == 0 &&
      log_page_decode (o->log_page, &s->hdr, s->pos, &info))
    o->leftover = info.nonce;
}

static int
take (struct spare *s, struct ownership *o, struct message *message)
{
  struct stamp st;
  int err;

  if (!o->unreadable && read_page (s, o->page) == 0 &&
      memcmp (o->page, o->seen, SPARE_PAGE) != 0) {
    stamp_decode (o->page, &st);
    return in_use (&st, "it came first", message);
  }
  if (atomic_load (&s->failed))
    return has_failed (message);
  note_leftover (s, o);
  memcpy (o->stamp.uuid, s->hdr.uuid, sizeof o->stamp.uuid);
  o->stamp.owner = o->env->self;
  o->stamp.held = true;
  spare_random (s, &o->stamp.session, sizeof o->stamp.session);
  err = write_stamp (s, o);
  if (err)
    return atomic_load (&s->failed) ? has_failed (message) : 0;
  err = spare_flush_device (s);
  if (err) {
    message_set (message, "the spare can't be flushed");
    return err;
  }
  atomic_store (&o->active, true);
  if (o->taken_over) {
    o->env->sleep_ms (o->env->opaque, RENEW_MS);
    if (!look (s, o)) {
      stamp_decode (o->page, &st);
      if (st.session == o->stamp.session)
        return has_failed (message);
      return in_use (&st, "it took the spare over at the same time", message);
    }
  }
  atomic_store (&o->renewed_ms, now_ms (o));
  atomic_store (&o->young_until_ms, o->taken_over ? 0 : now_ms (o) + RENEW_MS);
  return 0;
}

int
ownership_take (struct spare *s, struct message *message)
{
  struct ownership *o = s->ownership;
  int err;

  if (o == NULL)
    return 0;
  pthread_mutex_lock (&o->mutex);
  err = take (s, o, message);
  pthread_mutex_unlock (&o->mutex);
  return err;
}

bool
ownership_is_ours (struct spare *s)
{
  struct ownership *o = s->ownership;
  uint64_t now;
  bool ours;

  if (o == NULL || !atomic_load (&o->active))
    return true;
  now = now_ms (o);
  if (now - atomic_load (&o->renewed_ms) <= LATE_MS &&
      now >= atomic_load (&o->young_until_ms))
    return true;
  pthread_mutex_lock (&o->mutex);
  ours = now - atomic_load (&o->renewed_ms) <= LATE_MS ? look (s, o)
    : renew (s, o);
  pthread_mutex_unlock (&o->mutex);
  return ours;
}

/* The header that was written last, and the place of the next commit. */
bool
ownership_log_is_ours (struct spare *s)
{
  const struct log_area *area = &s->hdr.area[s->hdr.active];
  const uint64_t place = log_page_offset (area, s->pos);
  struct ownership *o = s->ownership;
  struct log_page info;
  struct header h;
  uint64_t now;
  unsigned newer = 1 - s->older_copy;

  if (o == NULL || !atomic_load (&o->active))
    return true;
  now = now_ms (o);
  if (o->log_looked_ms != 0 && now - o->log_looked_ms < RENEW_MS)
    return true;
  o->log_looked_ms = now;
  if (share (s, header_offset (newer)) == 0 &&
      device_pread (s->dev, o->log_page, SPARE_PAGE,
                    header_offset (newer)) == 0 &&
      header_decode (o->log_page, &h, NULL) == HEADER_COMPLETE &&
      (h.sequence > s->hdr.sequence ||
       memcmp (h.uuid, s->hdr.uuid, sizeof h.uuid) != 0))
    found_other (s, "another program has written a header of the spare");
  else if (!atomic_load (&s->failed) && s->pos < area->pages &&
           share (s, place) == 0 &&
           device_pread (s->dev, o->log_page, SPARE_PAGE, place) == 0 &&
           log_page_decode (o->log_page, &s->hdr, s->pos, &info) &&
           info.number > s->number && info.nonce != s->nonce &&
           info.nonce != o->leftover)
    found_other (s, "another program has written to the spare's log");
  return !atomic_load (&s->failed);
}

void
spare_renew (struct spare *s)
{
  struct ownership *o = s->ownership;

  if (o == NULL || !atomic_load (&o->active) || atomic_load (&s->failed))
    return;
  pthread_mutex_lock (&o->mutex);
  if (now_ms (o) - atomic_load (&o->renewed_ms) >= RENEW_MS)
    renew (s, o);
  pthread_mutex_unlock (&o->mutex);
}

void
ownership_give_back (struct spare *s)
{
  struct ownership *o = s->ownership;

  if (o == NULL || !atomic_load (&o->active) || atomic_load (&s->failed) ||
      !look (s, o))
    return;
  o->stamp.held = false;
  if (write_stamp (s, o) == 0)
    spare_flush_device (s);
}

void
ownership_free (struct spare *s)
{
  if (s->ownership == NULL)
    return;
  pthread_mutex_destroy (&s->ownership->mutex);
  free (s->ownership);
  s->ownership = NULL;
}

enum spare_stamp
spare_read_stamp (const struct device *dev, struct owner *owner,
                  uint64_t *renewed)
{
  struct stamp st;
  void *page = malloc (SPARE_PAGE);
  enum stamp_class class = STAMP_DAMAGED;

  memset (&st, 0, sizeof st);
  if (page != NULL && device_share (dev, STAMP_OFFSET, SPARE_PAGE) == 0 &&
      device_pread (dev, page, SPARE_PAGE, STAMP_OFFSET) == 0)
    class = stamp_decode (page, &st);
  free (page);
  *owner = st.owner;
  *renewed = st.renewed;
  return class == STAMP_NONE ? SPARE_NEVER_STAMPED
    : class == STAMP_DAMAGED ? SPARE_STAMP_DAMAGED
    : st.held ? SPARE_HELD : SPARE_GIVEN_BACK;
}
