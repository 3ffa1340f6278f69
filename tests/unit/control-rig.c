/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "control-rig.h"

static int
get_main (void *opaque, bool write, struct engine_conn **conn,
          struct message *message)
{
  struct control_rig *c = opaque;

  if (c->refuse_main || (write && c->refuse_writing)) {
    message_set (message, "main is refused");
    return EBUSY;
  }
  c->users++;
  *conn = &c->conn;
  return 0;
}

static void
put_main (void *opaque)
{
  struct control_rig *c = opaque;

  c->users--;
}

static bool
is_wanted (void *opaque)
{
  struct control_rig *c = opaque;

  return c->wanted;
}

static int
grow (void *opaque, uint64_t size, struct message *message)
{
  struct control_rig *c = opaque;

  if (size > c->r.mem->size) {
    message_set (message, "there are %" PRIu64 " bytes", c->r.mem->size);
    return ENOSPC;
  }
  return spare_grow (c->r.spare, size, message);
}

void
control_rig_init (struct control_rig *c, const struct rig_options *o)
{
  memset (c, 0, sizeof *c);
  rig_init (&c->r, o);
  background_init (&c->background);
  engine_conn_init (&c->conn, c->r.e, &c->r.main->dev);
  c->t = (struct control_target) {
    .engine = c->r.e, .spare = c->r.spare, .map = c->r.map,
    .history = spare_history_new (c->r.spare, c->r.map),
    .events = c->r.config.events, .background = &c->background,
    .version = "1.2.3",
    .spare_path = "/a/spare", .preferred = 4096,
    .get_main = get_main, .put_main = put_main, .main_is_wanted = is_wanted,
    .grow = grow, .opaque = c,
  };
  CU_ASSERT_PTR_NOT_NULL_FATAL (c->t.history);
  CU_ASSERT_EQUAL_FATAL (control_target_init (&c->t), 0);
}

void
control_rig_end (struct control_rig *c)
{
  CU_ASSERT_EQUAL (c->users, 0);
  control_target_free (&c->t);
  background_destroy (&c->background);
  spare_history_free (c->t.history);
  rig_end (&c->r);
}

char *
control_line (struct control_rig *c, const char *line, size_t len)
{
  struct control_request rq;
  struct message message;

  if (control_parse (line, len, &rq, &message) != 0)
    return control_encode (control_error (message.text), &len);
  return control_execute (&c->t, &rq, &c->stop, &c->told, &len);
}
