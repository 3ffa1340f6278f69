/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stddef.h>

#include "ask.h"
#include "client.h"
#include "exit-status.h"
#include "reply.h"

json_t *
ask_server (const struct ctl *ctl, const char *line, int *status)
{
  struct connection *c = client_open (ctl, status);
  json_t *reply;

  if (c == NULL)
    return NULL;
  reply = client_ask (c, status, "%s", line);
  connection_close (c);
  if (reply == NULL)
    return NULL;
  if (ctl->json)
    print_json (reply);
  if (*status != STATUS_DONE)
    print_refusal (reply);
  if (ctl->json || *status != STATUS_DONE) {
    json_decref (reply);
    return NULL;
  }
  return reply;
}
