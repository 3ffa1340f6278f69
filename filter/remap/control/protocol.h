/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The lines of the control socket: requests in, replies out.  Knows nothing
 * of sockets, of nbdkit, or of what requests do.
 *
 * What isn't a request is refused with a reason (promise 23 of
 * remap-promises(7)).
 *
 * The protocol is documented in nbdkit-remap-filter(1), section CONTROL
 * SOCKET.  All functions may be called from any thread.
 */

#ifndef REMAP_CONTROL_PROTOCOL_H
#define REMAP_CONTROL_PROTOCOL_H


#include "base/message.h"
#include "base/sector.h"

#define CONTROL_LINE_MAX 4096U          /* bytes of a request, \n included */
#define CONTROL_CELLS_MAX 16384U        /* of map; bounds its reply */
#define CONTROL_NAME_MAX 32U            /* bytes of a holder's name */

enum control_verb {
  CONTROL_PING, CONTROL_HELP, CONTROL_STATUS, CONTROL_CLIENTS, CONTROL_TABLE,
  CONTROL_MAP, CONTROL_REMAP, CONTROL_VERIFY, CONTROL_UNMAP, CONTROL_RETRY,
  CONTROL_FORGET_LOST, CONTROL_IMPORT, CONTROL_SET_AUTO_REMAP,
  CONTROL_CLEAR_STATS, CONTROL_GROW,
  CONTROL_SYNC, CONTROL_EVENTS, CONTROL_BACKGROUND, CONTROL_BACKUP,
  CONTROL_RESCUE_COPY, CONTROL_RESCUE_PAUSE, CONTROL_RESCUE_RESUME,
  CONTROL_RESCUE_FINISH,
  NR_CONTROL_VERBS
};

/* Ranges of one request; only import takes more than one. */
#define CONTROL_MAX_RANGES 256U

struct control_request {
  enum control_verb verb;
  union {
    struct {
      sector_t start;
      uint64_t count;  /* sectors; 0: to the end of main */
    };
    struct sector_range range[CONTROL_MAX_RANGES];      /* the same, and more */
  };
  unsigned nr_ranges;  /* 0: the request isn't about ranges */
  bool lost;           /* import lost, not import remap */
  bool on;             /* set_auto_remap; background: hold */
  uint64_t size;       /* grow: bytes */
  uint64_t cells;      /* map: how many; at most CONTROL_CELLS_MAX */
  uint64_t since;      /* events: the number of the first one */
  bool give_up, marker, verify;         /* rescue-finish */
  bool wait;           /* events: until there is one */
  char name[CONTROL_NAME_MAX + 1];      /* background: whose; "": not given */

  /* Of whoever asks; the caller of control_parse fills it in. */
  bool at_status;      /* at the status socket */
  unsigned uid;
  int fd;              /* backup: the file that came with it; -1: none */
};

/* Parses one line, without its \n.  Any bytes.  Returns 0, or EINVAL: then
 * MESSAGE says what is wrong with it.
 */
extern int control_parse (const char *line, size_t len,
                          struct control_request *rq,
                          struct message *message);

/* Checks the ranges of a request against main's size, and replaces a COUNT of
 * 0.  A request without a range passes.  Returns 0, or EINVAL with MESSAGE
 * set.
 */
extern int control_check_range (struct control_request *rq,
                                uint64_t nr_sectors,
                                struct message *message);

/* May this be asked for at the status socket, if RQ says that it was (promise
 * 38 of remap-promises(7))?  Returns 0, or EPERM with MESSAGE set.
 */
extern int control_check_right (const struct control_request *rq,
                                struct message *message);

/* May this be asked for there? */
extern bool control_only_shows (enum control_verb verb);

/* May this take so long that a thread of its own must do it? */
extern bool control_is_slow (enum control_verb verb);

/* Is this slow, but reads nothing but the map and the log of the spare? */
extern bool control_only_looks (enum control_verb verb);

/* A slow request in words, as whoever asked has written it. */
extern void control_describe (const struct control_request *rq, char *text,
                              size_t size);

/* How each request is written; NULL after the last one. */
extern const char *control_usage (enum control_verb verb);

#endif /* REMAP_CONTROL_PROTOCOL_H */
