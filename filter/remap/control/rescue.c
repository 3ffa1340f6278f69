/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>

#include "base/bytes.h"
#include "control/rescue.h"
#include "engine/finish.h"

static json_t *
no_copy (void)
{
  return control_error ("main isn't being rescued: start the server with "
                        "rescue=PATH");
}

json_t *
control_rescue_copy (struct control_target *t,
                     const struct control_request *rq)
{
  if (t->copy_path == NULL)
    return no_copy ();
  if (rq->verb == CONTROL_RESCUE_COPY)
    t->copy_range (t->opaque, rq->start, rq->count);
  else
    t->copy_pause (t->opaque, rq->verb == CONTROL_RESCUE_PAUSE);
  return control_ok ();
}

json_t *
control_rescue_finish (struct control_target *t,
                       const struct control_request *rq,
                       const struct engine_watch *watch)
{
  const struct finish_options o = {
    .give_up = rq->give_up, .marker = rq->marker, .verify = rq->verify,
  };
  struct finish_result res = { 0 };
  struct engine_conn *conn;
  struct message message;
  json_t *reply;
  int err;

  if (t->copy_path == NULL)
    return no_copy ();
  if (t->get_main (t->opaque, false, &conn, &message) != 0)
    return control_error (message.text);
  err = engine_rescue_finish (conn, &o, watch, &res);
  t->put_main (t->opaque);
  if (err)
    engine_explain (t->engine, err, &message);
  reply = err ? control_error (message.text) : control_ok ();
  json_object_set_new (reply, "path", control_text (t->copy_path));
  put_number (reply, "direct", res.direct);
  put_number (reply, "given_up", res.given_up);
  put_number (reply, "moved", res.moved);
  put_number (reply, "stayed", res.stayed);
  put_number (reply, "first_stayed", res.first_stayed);
  put_number (reply, "lost", res.lost);
  put_number (reply, "compared", res.compared);
  put_number (reply, "unread", res.unread);
  put_number (reply, "different", res.different);
  put_number (reply, "first_different", res.first_different);
  json_object_set_new (reply, "main_needed",
                       json_boolean (!res.main_not_needed));
  json_object_set_new (reply, "alone", json_boolean (res.copy_alone));
  return reply;
}

static json_t *
copier (const struct control_target *t)
{
  static const char *const names[] = {
    [CONTROL_COPIER_IDLE] = "idle", [CONTROL_COPIER_RUNS] = "copying",
    [CONTROL_COPIER_PAUSED] = "paused", [CONTROL_COPIER_WAITS] = "waiting",
  };
  struct control_copier c;
  json_t *o = json_object ();

  t->get_copier (t->opaque, &c);
  json_object_set_new (o, "state", json_string (names[c.state]));
  json_object_set_new (o, "why", control_text (c.why));
  put_number (o, "at", c.at);
  put_number (o, "end", c.end);
  put_number (o, "copied", c.copied);
  put_number (o, "errors", c.bad);
  return o;
}

json_t *
control_rescue_status (const struct control_target *t,
                       const struct engine_status *st)
{
  json_t *o = json_object (), *pending;

  json_object_set_new (o, "path", control_text (t->copy_path));
  json_object_set_new (o, "failed", json_boolean (st->copy.failed));
  json_object_set_new (o, "full", json_boolean (st->copy.full));
  json_object_set_new (o, "main_needed",
                       json_boolean (!st->copy.main_not_needed));
  json_object_set_new (o, "alone", json_boolean (st->copy.alone));
  put_number (o, "direct", st->copy.direct);
  put_number (o, "kept_now", st->ever[STAT_KEPT]);
  put_number (o, "not_kept", st->stat[STAT_NOT_KEPT]);
  put_number (o, "errors", st->stat[STAT_COPY_ERRORS]);
  pending = json_object ();
  put_number (pending, "kept", st->copy.kept);
  put_number (pending, "written", st->copy.written);
  put_number (pending, "zero", st->copy.zero);
  json_object_set_new (o, "pending", pending);
  json_object_set_new (o, "copier", copier (t));
  return o;
}
