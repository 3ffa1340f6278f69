/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control/protocol.h"

/* What follows a request's name. */
enum arguments {
  NOTHING,
  RANGE,               /* START [COUNT] */
  RANGE_OR_ALL,        /* [START [COUNT]], COUNT is 1 if there is a START */
  REST_OF_MAIN,        /* [START [COUNT]], COUNT is what is left */
  STATE_AND_RANGES,    /* lost|remap START [COUNT [START COUNT]...] */
  SWITCH,              /* 0|1 */
  SIZE,
  CELLS,
  SINCE,               /* [SINCE [wait]] */
  HOLD,                /* hold|release [NAME] */
  FINISH,              /* [give-up] [marker] [verify] */
};

static const struct {
  const char *name, *usage;
  enum arguments arguments;
  bool slow;
  bool shows;                   /* is allowed at the status socket */
} requests[NR_CONTROL_VERBS] = {
  [CONTROL_PING] = { "ping", "ping", NOTHING, false, true },
  [CONTROL_HELP] = { "help", "help", NOTHING, false, true },
  [CONTROL_STATUS] = { "status", "status", NOTHING, false, true },
  [CONTROL_CLIENTS] = { "clients", "clients", NOTHING, false, true },
  [CONTROL_TABLE] = { "table", "table [START [COUNT]]", REST_OF_MAIN, true,
                      true },
  [CONTROL_MAP] = { "map", "map CELLS", CELLS, true, true },
  [CONTROL_REMAP] = { "remap", "remap START [COUNT]", RANGE, true },
  [CONTROL_VERIFY] = { "verify", "verify START [COUNT]", RANGE, true },
  [CONTROL_UNMAP] = { "unmap", "unmap START [COUNT]", RANGE, true },
  [CONTROL_RETRY] = { "retry", "retry [START [COUNT]]", RANGE_OR_ALL, true },
  [CONTROL_FORGET_LOST] = { "forget-lost", "forget-lost START [COUNT]",
                            RANGE, true },
  [CONTROL_IMPORT] = { "import",
                       "import lost|remap START [COUNT [START COUNT]...]",
                       STATE_AND_RANGES, true },
  [CONTROL_SET_AUTO_REMAP] = { "set_auto_remap", "set_auto_remap 0|1",
                               SWITCH, false },
  [CONTROL_CLEAR_STATS] = { "clear_stats", "clear_stats", NOTHING, false },
  [CONTROL_GROW] = { "grow", "grow SIZE", SIZE, true },
  [CONTROL_SYNC] = { "sync", "sync", NOTHING, true },
  [CONTROL_EVENTS] = { "events", "events [SINCE [wait]]", SINCE, false, true },
  [CONTROL_BACKGROUND] = { "background", "background hold|release [NAME]",
                           HOLD, false, true },
  [CONTROL_BACKUP] = { "backup", "backup (with an empty file)",
                       NOTHING, true },
  [CONTROL_RESCUE_COPY] = { "rescue-copy", "rescue-copy [START [COUNT]]",
                            REST_OF_MAIN, false },
  [CONTROL_RESCUE_PAUSE] = { "rescue-pause", "rescue-pause", NOTHING, false },
  [CONTROL_RESCUE_RESUME] = { "rescue-resume", "rescue-resume", NOTHING,
                              false },
  [CONTROL_RESCUE_FINISH] = { "rescue-finish",
                              "rescue-finish [give-up] [marker] [verify]",
                              FINISH, true },
};

bool
control_only_shows (enum control_verb verb)
{
  return requests[verb].shows;
}

int
control_check_right (const struct control_request *rq,
                     struct message *message)
{
  if (!rq->at_status || requests[rq->verb].shows)
    return 0;
  message_set (message, "'%s' isn't allowed at this socket, which only shows: "
               "use the one that remap-control= names",
               requests[rq->verb].name);
  return EPERM;
}

bool
control_is_slow (enum control_verb verb)
{
  return requests[verb].slow;
}

bool
control_only_looks (enum control_verb verb)
{
  return verb == CONTROL_TABLE || verb == CONTROL_MAP;
}

void
control_describe (const struct control_request *rq, char *text, size_t size)
{
  const char *name = requests[rq->verb].name;
  const char *state = rq->verb != CONTROL_IMPORT ? ""
    : rq->lost ? " lost" : " remap";

  switch (requests[rq->verb].arguments) {
  case NOTHING:
  case FINISH:
    snprintf (text, size, "%s", name);
    break;
  case SIZE:
    snprintf (text, size, "%s %" PRIu64, name, rq->size);
    break;
  default:
    snprintf (text, size, "%s%s %" PRIu64 " %" PRIu64, name, state, rq->start,
              rq->count);
  }
}

const char *
control_usage (enum control_verb verb)
{
  return verb < NR_CONTROL_VERBS ? requests[verb].usage : NULL;
}

#define FEW_WORDS 5             /* of a request without a list of ranges */
#define MAX_WORDS (2 + 2 * CONTROL_MAX_RANGES)

struct words {
  unsigned n;
  struct {
    const char *text;           /* no NUL at its end */
    size_t len;
  } v[MAX_WORDS];
};

static bool
is_word (const struct words *w, unsigned i, const char *text)
{
  return w->v[i].len == strlen (text) &&
    memcmp (w->v[i].text, text, w->v[i].len) == 0;
}

/* For messages: as much of a word as is needed to recognise it. */
#define WORD(w, i) \
  (int) ((w)->v[i].len < 40 ? (w)->v[i].len : 40), (w)->v[i].text

static int
split (const char *line, size_t len, struct words *w, struct message *message)
{
  unsigned most = FEW_WORDS;
  size_t i, start;

  w->n = 0;
  for (i = 0; i < len; i++) {
    unsigned char c = line[i];

    if (c != '\t' && (c < 0x20 || c > 0x7e)) {
      message_set (message, "byte %zu of the request is 0x%02x: only "
                   "printable ASCII is allowed", i + 1, c);
      return EINVAL;
    }
  }
  for (i = 0; i < len;) {
    if (line[i] == ' ' || line[i] == '\t') {
      i++;
      continue;
    }
    for (start = i; i < len && line[i] != ' ' && line[i] != '\t'; i++)
      ;
    if (w->n == most) {
      message_set (message, "the request has more than %u words", most);
      return EINVAL;
    }
    w->v[w->n].text = line + start;
    w->v[w->n++].len = i - start;
    if (w->n == 1 && is_word (w, 0, requests[CONTROL_IMPORT].name))
      most = MAX_WORDS;
  }
  if (w->n == 0) {
    message_set (message, "an empty request: try help");
    return EINVAL;
  }
  return 0;
}

static int
digit (char c)
{
  return c >= '0' && c <= '9' ? c - '0'
    : c >= 'a' && c <= 'f' ? c - 'a' + 10
    : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* Decimal or 0x; returns the length of the number, 0 for none.  What is
 * too large becomes UINT64_MAX.
 */
static size_t
scan_number (const char *text, size_t len, uint64_t *number)
{
  int base = 10;
  size_t i = 0, first;

  if (len > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    i = 2;
  }
  *number = 0;
  for (first = i; i < len && digit (text[i]) < base; i++)
    if (__builtin_mul_overflow (*number, base, number) ||
        __builtin_add_overflow (*number, digit (text[i]), number)) {
      *number = UINT64_MAX;
      for (; i < len && digit (text[i]) < base; i++)
        ;
      break;
    }
  return i == first ? 0 : i;
}

static int
parse_number (const struct words *w, unsigned i, const char *what,
              uint64_t *number, struct message *message)
{
  if (scan_number (w->v[i].text, w->v[i].len, number) != w->v[i].len) {
    message_set (message, "%s must be a number of sectors, decimal or 0x..., "
                 "not '%.*s'", what, WORD (w, i));
    return EINVAL;
  }
  if (*number >= UINT64_C (1) << 55) {
    message_set (message, "%s is too large: %.*s", what, WORD (w, i));
    return EINVAL;
  }
  return 0;
}

/* START [COUNT [START COUNT]...] from word I on. */
static int
parse_ranges (const struct words *w, unsigned i, struct control_request *rq,
              struct message *message)
{
  struct sector_range *range;
  int err;

  for (; i < w->n; i += 2) {
    range = &rq->range[rq->nr_ranges++];
    err = parse_number (w, i, "START", &range->start, message);
    if (err || w->n == i + 1)
      return err;
    err = parse_number (w, i + 1, "COUNT", &range->count, message);
    if (err)
      return err;
    if (range->count == 0) {
      message_set (message, "COUNT must be at least 1");
      return EINVAL;
    }
  }
  return 0;
}

static int
parse_state (const struct words *w, struct control_request *rq,
             struct message *message)
{
  rq->lost = is_word (w, 1, "lost");
  if (rq->lost || is_word (w, 1, "remap"))
    return 0;
  message_set (message, "sectors can be imported as 'lost' or 'remap', not "
               "as '%.*s'", WORD (w, 1));
  return EINVAL;
}

static int
parse_switch (const struct words *w, struct control_request *rq,
              struct message *message)
{
  rq->on = is_word (w, 1, "1");
  if (rq->on || is_word (w, 1, "0"))
    return 0;
  message_set (message, "it must be 0 or 1, not '%.*s'", WORD (w, 1));
  return EINVAL;
}

static int
parse_since (const struct words *w, struct control_request *rq,
             struct message *message)
{
  if (w->n > 1 && (scan_number (w->v[1].text, w->v[1].len, &rq->since) !=
                   w->v[1].len || rq->since > INT64_MAX)) {
    message_set (message, "SINCE must be the number of an event, not '%.*s'",
                 WORD (w, 1));
    return EINVAL;
  }
  rq->wait = w->n > 2;
  if (!rq->wait || is_word (w, 2, "wait"))
    return 0;
  message_set (message, "after SINCE comes 'wait', or nothing, and not '%.*s'",
               WORD (w, 2));
  return EINVAL;
}

static int
parse_hold (const struct words *w, struct control_request *rq,
            struct message *message)
{
  rq->on = is_word (w, 1, "hold");
  if (!rq->on && !is_word (w, 1, "release")) {
    message_set (message, "background work can be put on 'hold', or 'release', "
                 "not '%.*s'", WORD (w, 1));
    return EINVAL;
  }
  if (w->n == 2)
    return 0;
  if (w->v[2].len > CONTROL_NAME_MAX) {
    message_set (message, "NAME can have %u characters, this one has %zu",
                 CONTROL_NAME_MAX, w->v[2].len);
    return EINVAL;
  }
  memcpy (rq->name, w->v[2].text, w->v[2].len);
  return 0;
}

static int
parse_finish (const struct words *w, struct control_request *rq,
              struct message *message)
{
  for (unsigned i = 1; i < w->n; i++)
    if (is_word (w, i, "give-up"))
      rq->give_up = true;
    else if (is_word (w, i, "marker"))
      rq->marker = true;
    else if (is_word (w, i, "verify"))
      rq->verify = true;
    else {
      message_set (message, "the end of a rescue can have 'give-up', 'marker' "
                   "and 'verify', not '%.*s'", WORD (w, i));
      return EINVAL;
    }
  return 0;
}

/* A number of bytes with one of nbdkit's suffixes. */
static int
parse_size (const struct words *w, struct control_request *rq,
            struct message *message)
{
  static const char suffixes[] = "bkmgtpe";
  const char *text = w->v[1].text, *s;
  size_t len = w->v[1].len, n = scan_number (text, len, &rq->size);
  unsigned shift = 0;

  if (n == 0 || len - n > 1)
    goto bad;
  if (n < len) {
    const char c = text[n] | 0x20;

    s = strchr (suffixes, c);
    if (c == 's')
      shift = SECTOR_SHIFT;
    else if (s)
      shift = 10 * (s - suffixes);
    else
      goto bad;
  }
  if (rq->size == 0 || rq->size > (uint64_t) INT64_MAX >> shift) {
    message_set (message, "SIZE is out of range: %.*s", WORD (w, 1));
    return EINVAL;
  }
  rq->size <<= shift;
  return 0;

 bad:
  message_set (message, "SIZE must be a number of bytes, perhaps with one of "
               "the suffixes k, M, G, T, P, E, s, not '%.*s'", WORD (w, 1));
  return EINVAL;
}

static int
parse_cells (const struct words *w, struct control_request *rq,
             struct message *message)
{
  if (scan_number (w->v[1].text, w->v[1].len, &rq->cells) == w->v[1].len &&
      rq->cells >= 1 && rq->cells <= CONTROL_CELLS_MAX)
    return 0;
  message_set (message, "CELLS must be a number from 1 to %u, not '%.*s'",
               CONTROL_CELLS_MAX, WORD (w, 1));
  return EINVAL;
}

/* How many words there must be, and the COUNT that is meant if it isn't
 * given.
 */
static int
parse_arguments (const struct words *w, struct control_request *rq,
                 struct message *message)
{
  static const unsigned short least[] = {
    [NOTHING] = 1, [RANGE] = 2, [RANGE_OR_ALL] = 1, [REST_OF_MAIN] = 1,
    [STATE_AND_RANGES] = 3, [SWITCH] = 2, [SIZE] = 2, [CELLS] = 2,
    [SINCE] = 1, [HOLD] = 2, [FINISH] = 1,
  }, most[] = {
    [NOTHING] = 1, [RANGE] = 3, [RANGE_OR_ALL] = 3, [REST_OF_MAIN] = 3,
    [STATE_AND_RANGES] = MAX_WORDS, [SWITCH] = 2, [SIZE] = 2, [CELLS] = 2,
    [SINCE] = 3, [HOLD] = 3, [FINISH] = 4,
  };
  const enum arguments a = requests[rq->verb].arguments;
  int err = 0;

  /* Of several ranges each has a COUNT. */
  if (w->n < least[a] || w->n > most[a] ||
      (a == STATE_AND_RANGES && w->n > 3 && w->n % 2 != 0)) {
    message_set (message, "the request is: %s", requests[rq->verb].usage);
    return EINVAL;
  }
  switch (a) {
  case NOTHING:
    break;
  case RANGE_OR_ALL:
  case REST_OF_MAIN:
  case RANGE:
    rq->count = a != REST_OF_MAIN && w->n > 1;
    rq->nr_ranges = w->n == 1;
    err = parse_ranges (w, 1, rq, message);
    break;
  case STATE_AND_RANGES:
    rq->count = 1;
    err = parse_state (w, rq, message);
    if (err == 0)
      err = parse_ranges (w, 2, rq, message);
    break;
  case SWITCH:
    err = parse_switch (w, rq, message);
    break;
  case SIZE:
    err = parse_size (w, rq, message);
    break;
  case CELLS:
    err = parse_cells (w, rq, message);
    break;
  case SINCE:
    err = parse_since (w, rq, message);
    break;
  case HOLD:
    err = parse_hold (w, rq, message);
    break;
  case FINISH:
    err = parse_finish (w, rq, message);
    break;
  }
  return err;
}

int
control_parse (const char *line, size_t len, struct control_request *rq,
               struct message *message)
{
  struct words w;
  int err;

  memset (rq, 0, sizeof *rq);
  rq->fd = -1;
  err = split (line, len, &w, message);
  if (err)
    return err;
  for (unsigned verb = 0; verb < NR_CONTROL_VERBS; verb++)
    if (is_word (&w, 0, requests[verb].name)) {
      rq->verb = verb;
      return parse_arguments (&w, rq, message);
    }
  message_set (message, "there is no request '%.*s': try help", WORD (&w, 0));
  return EINVAL;
}

int
control_check_range (struct control_request *rq, uint64_t nr_sectors,
                     struct message *message)
{
  struct sector_range *range;

  for (unsigned i = 0; i < rq->nr_ranges; i++) {
    range = &rq->range[i];
    if (range->start >= nr_sectors) {
      message_set (message, "sector %" PRIu64 " isn't there: main has %" PRIu64
                   " sectors", range->start, nr_sectors);
      return EINVAL;
    }
    if (range->count == 0)
      range->count = nr_sectors - range->start;
    if (range->count > nr_sectors - range->start) {
      message_set (message, "%" PRIu64 " sectors from %" PRIu64 " on reach "
                   "beyond the end of main, which has %" PRIu64 " sectors",
                   range->count, range->start, nr_sectors);
      return EINVAL;
    }
  }
  return 0;
}
