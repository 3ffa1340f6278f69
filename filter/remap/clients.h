/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The clients that are connected: for whoever wants to end the server, and is
 * told for whom it waits.  There is one list, with a lock of its own, which is
 * held for a few instructions.
 */

#ifndef REMAP_CLIENTS_H
#define REMAP_CLIENTS_H

#include "control/target.h"

/* A client of the list; zeroed before it is noted. */
struct client_note {
  struct client_note *next, **back;     /* BACK: NULL if it isn't there */
  struct control_client client;
};

/* Looks who the client of this thread's connection is, and adds it to the
 * list.  NOTE stays the caller's.
 */
extern void clients_note (struct client_note *note);

/* Takes it from the list, if it is there. */
extern void clients_forget (struct client_note *note);

/* Fills in up to MAX of them, and returns how many there are. */
extern unsigned clients_list (struct control_client *v, unsigned max);

#endif /* REMAP_CLIENTS_H */
