/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Bad sectors in what programs say to people, between lines about other
 * things: Linux's messages, mdadm, smartctl.
 *
 * A line that isn't understood is skipped: it is about something else.  One
 * that begins as those do that name a sector, and goes on otherwise, is an
 * error.
 */

#ifndef REMAP_MESSAGES_H
#define REMAP_MESSAGES_H

#include "base/list-format.h"
#include "base/listing.h"

struct messages {
  bool wanted;             /* mdadm: the device that the lines are about;
                            * whoever begins says what is before the first
                            */
  uint64_t left_out;       /* see list_about */

  /* smartctl. */
  unsigned table;          /* that the lines are a part of; 0: none */
  uint32_t block;          /* bytes of a sector, as the user says; or 0 */
  uint32_t sector;         /* as smartctl says; or 0 */
};

/* Is this line one by which Linux's messages, mdadm's or smartctl's output is
 * recognised?  LIST_ANY if not.
 */
extern enum list_format messages_recognise (struct token line);

/* Each reads one line, without its end. */
extern int kernel_line (struct messages *m, struct listing *l,
                        struct token line);
extern int mdadm_line (struct messages *m, struct listing *l,
                       struct token line);
extern int smartctl_line (struct messages *m, struct listing *l,
                          struct token line);

#endif /* REMAP_MESSAGES_H */
