/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The spare: where remapped sectors live, and the record of every change.
 *
 * The format is documented byte by byte in remap-spare(5); in short: two
 * headers, two log areas of which one is active, and slots.  A change of
 * state is a record in the log.  A commit is one or more pages of records
 * that become valid together.  When the log is a few times as long as the
 * state, the state is written into the other area (a checkpoint), piece by
 * piece between commits; that area then becomes active.
 *
 * A struct spare owns the slots' allocation and the log; it does not own
 * the device or the map, which must outlive it.
 *
 * This is the interface of all of spare/ for everybody else, together with
 * history.h and examine.h.  The other headers are for spare/ alone; a file
 * without a header of its own has its interface here.
 *
 * Threads: after spare_load or spare_format has returned, every function
 * may be called from any thread, except spare_close.  Commits that arrive
 * together are made durable together.
 */

#ifndef REMAP_SPARE_H
#define REMAP_SPARE_H

#include "base/bytes.h"
#include "base/device.h"
#include "base/message.h"
#include "base/owner.h"
#include "map/map.h"
#include "spare/changes.h"

#define SPARE_MIN_SIZE (UINT64_C (1) << 20)         /* bytes */
#define SPARE_MAX_SIZE ((MAP_MAX_SLOT - 1) * SECTOR_SIZE)
#define SPARE_LABEL_MAX 255                         /* bytes, without NUL */

/* The size in bytes, not rounded, of a new spare for which none is given: a
 * 64th of main's, but at least 64 MiB, and at most 4 GiB.  That is room for
 * seven million sectors; whoever needs more can enlarge it.
 */
static inline uint64_t
spare_default_size (uint64_t main_size)
{
  return min_u64 (max_u64 (main_size / 64, UINT64_C (64) << 20),
                  UINT64_C (4) << 30);
}

struct spare;

/* What this spare belongs to, and when it was made. */
struct spare_identity {
  uint8_t uuid[16];
  uint64_t main_size;                   /* bytes */
  char label[SPARE_LABEL_MAX + 1];
  uint64_t created;                     /* seconds since 1970, UTC */
  bool grows;                           /* its size was nobody's choice: it may
                                         * be enlarged when it becomes full */
};

/* Counters that survive restarts, written with each commit. */
enum spare_counter {
  COUNT_AUTO_REMAPS,   /* sectors remapped after an error of main */
  COUNT_MANUAL_REMAPS, /* sectors remapped by command or import */
  COUNT_WEAK,          /* of the automatic ones: main read them again */
  COUNT_LOST,          /* sectors that became LOST, ever */
  COUNT_RECOVERED,     /* LOST sectors that were read after all */
  COUNT_RETIRED,       /* slots */
  NR_SPARE_COUNTERS = 8,
};

/* What the caller provides; copied. */
struct spare_env {
  /* Seconds since 1970, UTC.  NULL: time(2). */
  uint64_t (*now) (void *opaque);

  /* Fills BUF with random bytes.  NULL: getrandom(2). */
  void (*random) (void *opaque, void *buf, size_t len);

  /* Something that an operator should know.  May be NULL. */
  void (*warn) (void *opaque, const char *text);

  /* It is time to enlarge the spare: an eighth of the slots is left, or the
   * state takes three quarters of what the log can hold.  Called after each
   * commit that finds it so, and when slots are wanted that aren't there, by
   * the thread that did: it must not wait, nor use the spare.  May be NULL.
   */
  void (*low) (void *opaque);

  /* The log is going to be asked for its history (history.h): what is read of
   * it when the spare is opened is kept for that.
   */
  bool keep_history;

  /* Others, on other hosts, may use the spare where locks don't reach: stamps
   * are looked at, and one is kept in it.  NULL: nothing of that.
   */
  const struct owner_env *owner;

  void *opaque;
};

/* What is on a device, whose first SIZE bytes are the spare's to use. */
enum spare_content {
  SPARE_BLANK,         /* reads as zeroes all over */
  SPARE_VALID,         /* at least one header of a spare */
  SPARE_UNFINISHED,    /* an interrupted format */
  SPARE_FOREIGN,       /* anything else */
};

/* Looks at a device without writing to it.  NEXT_DATA, if not NULL, says
 * where the next data that isn't a hole begins at or after an offset (the
 * end of the device if none does), and saves reading holes.  For VALID and
 * UNFINISHED the identity is filled in.  Returns 0 or an errno (then
 * MESSAGE is set): EIO, ENOMEM, EINVAL if what was a spare has no intact
 * header any more, or ENOTSUP for a spare of a version that this program
 * doesn't know.
 */
extern int spare_probe (const struct device *dev, uint64_t size,
                        uint64_t (*next_data) (void *ctx, uint64_t offset),
                        enum spare_content *content,
                        struct spare_identity *id, struct message *message);

/* Sets BLANK if the bytes FROM .. TO - 1 of the device read as zeroes, as
 * those that spare_grow is given must (from spare_status.claimed on).
 * Returns 0, EIO or ENOMEM (then MESSAGE is set).
 */
extern int spare_check_blank (const struct device *dev, uint64_t from,
                              uint64_t to,
                              uint64_t (*next_data) (void *ctx,
                                                     uint64_t offset),
                              bool *blank, struct message *message);

/* Formats a blank or unfinished device (the caller has probed it), and
 * opens it.  MAP must be empty.  ID's main_size, label and grows are used, and
 * its uuid unless that is all zeroes; what was used is filled in.  WHOLE says
 * that the spare reaches to the end of what contains it, so that it may
 * grow with it.
 * Errors: EINVAL (size out of range), ENOSPC, EIO, ENOMEM.
 */
extern int spare_format (const struct device *dev, uint64_t size, bool whole,
                         struct spare_identity *id,
                         const struct spare_env *env, struct map *map,
                         struct spare **spare, struct message *message);

/* Opens a spare: checks all of its metadata, and replays the log into MAP
 * (empty).  It flushes the device first, but writes nothing, see
 * spare_start.  READ_ONLY doesn't even flush, and forbids all that would
 * write (EROFS).  Otherwise it may wait for 12 seconds for another owner.
 * Errors: EINVAL (damaged: MESSAGE says what and where), ENOTSUP, EIO, ENOMEM,
 * EBUSY (there is another owner).
 */
extern int spare_load (const struct device *dev, uint64_t size,
                       bool read_only, const struct spare_env *env,
                       struct map *map, struct spare **spare,
                       struct message *message);

/* Repairs a header that is bad or behind.  Until this is called nothing
 * is written to a spare that was loaded; call it once the spare's identity
 * was found to be right.  It may take 3 seconds, if spare_load has waited.
 * Errors: ENOSPC, EIO, EBUSY (another owner has come meanwhile).
 */
extern int spare_start (struct spare *spare, struct message *message);

/* Notes a clean end in the headers if there is anything to note, and
 * frees.  No other call may be under way.
 */
extern void spare_close (struct spare *spare);

/* Renews the owner stamp if it is time, which whoever holds the spare for a
 * while calls every second; and finds out if there is another owner: then the
 * spare has failed.  May wait for the device.
 */
extern void spare_renew (struct spare *spare);

/* The owner stamp of a spare, that may be in use. */
enum spare_stamp {
  SPARE_NEVER_STAMPED,
  SPARE_GIVEN_BACK,                     /* by OWNER, at a clean end */
  SPARE_HELD,                           /* by OWNER, or it was killed */
  SPARE_STAMP_DAMAGED,                  /* or can't be read */
};

/* RENEWED: seconds since 1970, by the owner's clock. */
extern enum spare_stamp spare_read_stamp (const struct device *dev,
                                          struct owner *owner,
                                          uint64_t *renewed);

extern const struct spare_identity *spare_get_identity (const struct spare *);

/* Makes 16 random bytes a UUID of version 4 (RFC 4122). */
extern void spare_uuid_set_version (uint8_t uuid[16]);

/* A UUID as people write it (RFC 4122): 36 characters and a NUL. */
#define SPARE_UUID_TEXT 37
extern void spare_uuid_text (const uint8_t uuid[16],
                             char text[SPARE_UUID_TEXT]);

/* Writes COUNT sectors of DATA to newly allocated slots and adds what is
 * to be committed to LIST: CHANGE_REMAPs of SECTOR .., and CHANGE_RETIREs
 * of slots that could not be written.  Nothing is durable, and no reader
 * sees anything, before spare_commit.  On error nothing was added but
 * CHANGE_RETIREs, and no slot stays allocated: ENOSPC (no slot, or no room
 * below the spare), EIO (the spare has failed), ENOMEM.
 */
extern int spare_store (struct spare *spare, struct change_list *list,
                        sector_t sector, const void *data, uint32_t count,
                        enum change_reason reason);

/* Makes all changes of the list durable, in order: slot contents first,
 * then records; then publishes them in the map, and releases the slots
 * that they replaced.  The caller guarantees that nobody else changes or
 * reads through the map's slots of these sectors meanwhile.  COUNTERS (may
 * be NULL) are added to the persistent counters in the same commit.
 * Whatever is returned, the list's slots are no longer the caller's; it may
 * be freed.  ENOSPC: no room for the record, nothing has changed.  EIO:
 * the spare has failed.  ENOMEM: nothing has changed.
 *
 * If the list's IN_DOUBT is set after EIO, the record may be on the disk
 * all the same, and take effect when the spare is opened again: until then
 * nothing may be acknowledged for its sectors, or it would be undone.
 *
 * COUNT_RETIRED is counted here, the caller's value is ignored.  A slot
 * that is retired must not stay mapped: retire and replace it in one list.
 */
extern int spare_commit (struct spare *spare, struct change_list *list,
                         const uint64_t counters[NR_SPARE_COUNTERS]);

/* A commit without changes.  The number of the last commit is what a spare can
 * be told by from an older copy of it: after this call the copies that there
 * are, are older.  Errors as above.
 */
extern int spare_advance (struct spare *spare);

/* Keeps room in the log for a commit that makes the state larger by RUNS runs
 * at most, and has no more of them itself, whatever is committed before it.
 * Costs nothing as a rule.  What is kept is given back by spare_unreserve, or
 * by a commit whose list has it as RESERVED and that succeeds.  Errors: ENOSPC,
 * EIO (the spare has failed), EROFS.
 */
extern int spare_reserve (struct spare *spare, uint64_t runs);
extern void spare_unreserve (struct spare *spare, uint64_t runs);

/* A copy of the first attribute whose tag and key are TAG and KEY or come after
 * them; to be freed.  False if there is none.  True and NULL: out of memory.
 */
extern bool spare_next_attribute (struct spare *spare, const char *tag,
                                  uint32_t key, struct attribute **copy);

/* Gives back the slots of a list that won't be committed. */
extern void spare_abandon (struct spare *spare, struct change_list *list);

/* Slot I/O.  COUNT slots from SLOT, whole.  EIO where the slots aren't the
 * spare's.  spare_write is for slots that are already mapped; a slot that
 * it reports as failing must be replaced (spare_store and CHANGE_RETIRE).
 * After the spare has failed writes return EIO, reads go on.
 */
extern int spare_read (struct spare *spare, void *buf, slot_t slot,
                       uint32_t count);
extern int spare_write (struct spare *spare, const void *buf, slot_t slot,
                        uint32_t count);

/* Part of one slot: OFFSET and LEN are bytes within the slot. */
extern int spare_read_part (struct spare *spare, void *buf, slot_t slot,
                            uint32_t offset, uint32_t len);

/* Makes slot contents durable.  Costs nothing if nothing was written since
 * the last one.  An error is final: see spare_failed.
 */
extern int spare_flush (struct spare *spare);

/* True once a flush or eight slots in a row have failed, those within 4 KiB
 * counted as one; never false again before a restart.
 */
extern bool spare_failed (const struct spare *spare);

/* The caller knows that it has: nothing is written to it any more. */
extern void spare_fail (struct spare *spare);

/* Rewrites the log into the other area now, all at once. */
extern int spare_checkpoint (struct spare *spare);

/* Enlarges an open spare to NEW_SIZE bytes of its device.  What lies
 * beyond spare_status.claimed must be blank (the caller has looked).
 * EINVAL: smaller than before, or too large.  After ENOSPC, EIO and ENOMEM
 * the spare is as it was (unless it has failed).
 */
extern int spare_grow (struct spare *spare, uint64_t new_size,
                       struct message *message);

/* Gives the spare to another disk: a copy of the one that it belongs to.
 * LABEL has at most SPARE_LABEL_MAX bytes.  After ENOSPC the label is as it
 * was, or the new one: whichever it is, both headers will agree on it when
 * the spare is started again.  EINVAL, EROFS, ENOSPC, EIO, ENOMEM.
 */
extern int spare_relabel (struct spare *spare, const char *label,
                          struct message *message);

/* Main has grown to SIZE bytes; what is beyond its former end is DIRECT.  Its
 * former last sector must be, if it was a short one: EINVAL, and so is a size
 * that isn't larger.  The spare isn't in use yet.  Else as spare_relabel.
 */
extern int spare_main_has_grown (struct spare *spare, uint64_t size,
                                 struct message *message);

struct spare_status {
  uint64_t size;                        /* bytes that the spare uses */
  uint64_t claimed;                     /* bytes that are its own: more than
                                         * size if growing was interrupted */
  bool whole;                           /* reaches its container's end */
  uint64_t slots_total, slots_used, slots_retired, slots_free;
  uint64_t log_pages, log_used;         /* of the active area */
  uint64_t commits, changes, flushes, checkpoints; /* since it was opened */
  bool failed, full;                    /* full: the last allocation failed */
  uint64_t counters[NR_SPARE_COUNTERS];
  uint64_t commit_number;               /* of the last one, ever */
  uint64_t attributes;
  char features[160];                   /* names of those in use, or "" */
};

extern void spare_get_status (struct spare *spare, struct spare_status *);

#endif /* REMAP_SPARE_H */
