/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <microhttpd.h>

#include "base/bytes.h"
#include "ctl/text.h"
#include "web/http.h"
#include "web/listen.h"
#include "web/metrics.h"
#include "web/page.h"

#define MAX_CONNECTIONS 64
#define IDLE_SECONDS 30
#define USER "remap"                    /* of the token, for browsers */

/* Those who wait for changes: each has a connection that stays open. */
#define MAX_LISTENERS 16
#define STILL_THERE_MS 15000            /* a word in between */

struct http;

struct listener {
  struct http *http;
  struct MHD_Connection *connection;    /* NULL: this place is free */
  uint64_t told;                        /* of the changes */
  bool asleep, beat;
};

struct http {
  struct MHD_Daemon *daemon;
  const struct watch_list *list;
  struct store *store;
  char *path;                           /* of a Unix socket; or NULL */
  char *bearer, *basic;                 /* Authorization; NULL: none needed */
  bool local;                           /* without a token, over TCP */
  uint64_t changes, beat_ms;
  struct listener v[MAX_LISTENERS];
};

static const char policy[] =
"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/* However long they are alike takes the same time. */
static bool
is_same (const char *given, const char *wanted)
{
  const size_t n = strlen (wanted);
  unsigned char differs = strlen (given) != n;

  for (size_t i = 0; i < n && i < strlen (given); i++)
    differs |= given[i] ^ wanted[i];
  return differs == 0;
}

/* The value of a Basic authorization. */
static char *
basic_of (const char *token)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "abcdefghijklmnopqrstuvwxyz0123456789+/";
  char *plain = text_of (USER ":%s", token);
  const size_t n = strlen (plain);
  char *out = allocate (n * 2 + 16, 1), *p = stpcpy (out, "Basic ");

  for (size_t i = 0; i < n; i += 3) {
    const uint32_t v = (uint32_t) (unsigned char) plain[i] << 16 |
      (i + 1 < n ? (uint32_t) (unsigned char) plain[i + 1] << 8 : 0) |
      (i + 2 < n ? (uint32_t) (unsigned char) plain[i + 2] : 0);

    *p++ = digits[v >> 18];
    *p++ = digits[v >> 12 & 63];
    *p++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
    *p++ = i + 2 < n ? digits[v & 63] : '=';
  }
  free (plain);
  return out;
}

static enum MHD_Result
respond (struct MHD_Connection *c, unsigned status, const char *type,
         struct MHD_Response *r)
{
  enum MHD_Result result;

  if (r == NULL)
    return MHD_NO;
  MHD_add_response_header (r, "Content-Type", type);
  MHD_add_response_header (r, "Content-Security-Policy", policy);
  MHD_add_response_header (r, "X-Content-Type-Options", "nosniff");
  MHD_add_response_header (r, "Referrer-Policy", "no-referrer");
  MHD_add_response_header (r, "Cache-Control", "no-store");
  if (status == MHD_HTTP_UNAUTHORIZED)
    MHD_add_response_header (r, "WWW-Authenticate",
                             "Basic realm=\"remap-monitor\"");
  if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
    MHD_add_response_header (r, "Allow", "GET, HEAD");
  result = MHD_queue_response (c, status, r);
  MHD_destroy_response (r);
  return result;
}

/* TEXT is taken over. */
static enum MHD_Result
send_text (struct MHD_Connection *c, const char *type, char *text)
{
  return respond (c, MHD_HTTP_OK, type,
                  MHD_create_response_from_buffer (strlen (text), text,
                                                   MHD_RESPMEM_MUST_FREE));
}

static enum MHD_Result
send_constant (struct MHD_Connection *c, unsigned status, const char *type,
               const char *text)
{
  return respond (c, status, type,
                  MHD_create_response_from_buffer (strlen (text),
                                                   (void *) text,
                                                   MHD_RESPMEM_PERSISTENT));
}

static const char *
header (struct MHD_Connection *c, const char *name)
{
  const char *value = MHD_lookup_connection_value (c, MHD_HEADER_KIND, name);

  return value ? value : "";
}

/* A page of somebody else's, whose name leads to this machine, could read what
 * is shown here: so a name that isn't this machine's isn't answered.
 */
static bool
is_own_name (const char *host)
{
  const size_t n = *host == '[' ? strcspn (host, "]") : strcspn (host, ":");

  return *host == '\0' || *host == '[' ||
    (n == strlen ("localhost") && strncasecmp (host, "localhost", n) == 0) ||
    strspn (host, "0123456789.") == n;
}

static bool
is_allowed (const struct http *h, struct MHD_Connection *c)
{
  const char *given = header (c, "Authorization");

  return h->bearer == NULL || is_same (given, h->bearer) ||
    is_same (given, h->basic);
}

static const struct watched *
wanted (const struct http *h, struct MHD_Connection *c)
{
  const char *name = MHD_lookup_connection_value (c, MHD_GET_ARGUMENT_KIND,
                                                  "server");

  for (size_t i = 0; name && i < h->list->n; i++)
    if (strcmp (h->list->v[i]->name, name) == 0)
      return h->list->v[i];
  return NULL;
}

/* ---- those who wait for changes ---------------------------------------- */

static ssize_t
next_word (void *opaque, uint64_t pos, char *buf, size_t max)
{
  struct listener *l = opaque;
  char word[48] = ": still there\n\n";

  if (l->told != l->http->changes)
    snprintf (word, sizeof word, "data: %" PRIu64 "\n\n", l->http->changes);
  else if (!l->beat) {
    l->asleep = true;
    MHD_suspend_connection (l->connection);
    return 0;
  }
  if (strlen (word) > max)
    return 0;
  l->told = l->http->changes;
  l->beat = false;
  memcpy (buf, word, strlen (word));
  return strlen (word);
}

static void
leave (void *opaque)
{
  struct listener *l = opaque;

  l->connection = NULL;
}

static enum MHD_Result
send_changes (struct http *h, struct MHD_Connection *c)
{
  struct listener *l = NULL;

  for (int i = 0; i < MAX_LISTENERS && l == NULL; i++)
    if (h->v[i].connection == NULL)
      l = &h->v[i];
  if (l == NULL)
    return send_constant (c, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain",
                          "too many listen already\n");
  *l = (struct listener) { .http = h, .connection = c, .told = h->changes,
                           .beat = true };
  MHD_set_connection_option (c, MHD_CONNECTION_OPTION_TIMEOUT, 0);
  return respond (c, MHD_HTTP_OK, "text/event-stream",
                  MHD_create_response_from_callback (MHD_SIZE_UNKNOWN, 256,
                                                     next_word, l, leave));
}

static void
wake_listeners (struct http *h, bool beat)
{
  for (int i = 0; i < MAX_LISTENERS; i++) {
    struct listener *l = &h->v[i];

    l->beat |= beat;
    if (l->connection && l->asleep && (beat || l->told != h->changes)) {
      l->asleep = false;
      MHD_resume_connection (l->connection);
    }
  }
}

/* ---- requests ---------------------------------------------------------- */

static enum MHD_Result
send_metrics (const struct http *h, struct MHD_Connection *c)
{
  const bool open = strstr (header (c, "Accept"),
                            "application/openmetrics-text") != NULL;

  return send_text (c, open ? OPENMETRICS_TYPE : PROMETHEUS_TYPE,
                    metrics_text (h->list, h->store, open));
}

static enum MHD_Result
send_disk (const struct http *h, struct MHD_Connection *c)
{
  const struct watched *w = wanted (h, c);

  if (w == NULL)
    return send_constant (c, MHD_HTTP_NOT_FOUND, "text/plain",
                          "there is no such server\n");
  return send_text (c, "text/html; charset=utf-8", page_disk (w, h->store));
}

static enum MHD_Result
answer (void *opaque, struct MHD_Connection *c, const char *url,
        const char *method, const char *version, const char *upload,
        size_t *upload_size, void **state)
{
  struct http *h = opaque;

  if (strcmp (method, "GET") != 0 && strcmp (method, "HEAD") != 0)
    return send_constant (c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain",
                          "nothing can be changed here\n");
  if (!is_allowed (h, c))
    return send_constant (c, MHD_HTTP_UNAUTHORIZED, "text/plain",
                          "a token is needed\n");
  if (h->local && !is_own_name (header (c, "Host")))
    return send_constant (c, MHD_HTTP_FORBIDDEN, "text/plain",
                          "this is not that host\n");
  if (strcmp (url, "/") == 0)
    return send_text (c, "text/html; charset=utf-8", page_all (h->list));
  if (strcmp (url, "/disk") == 0)
    return send_disk (h, c);
  if (strcmp (url, "/metrics") == 0)
    return send_metrics (h, c);
  if (strcmp (url, "/json") == 0)
    return send_text (c, "application/json", metrics_json (h->list));
  if (strcmp (url, "/changes") == 0)
    return send_changes (h, c);
  if (strcmp (url, "/style.css") == 0)
    return send_constant (c, MHD_HTTP_OK, "text/css", page_style);
  if (strcmp (url, "/script.js") == 0)
    return send_constant (c, MHD_HTTP_OK, "text/javascript", page_script);
  if (strcmp (url, "/healthz") == 0)
    return store_works (h->store)
      ? send_constant (c, MHD_HTTP_OK, "text/plain", "ok\n")
      : send_constant (c, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain",
                       "the history can't be written\n");
  return send_constant (c, MHD_HTTP_NOT_FOUND, "text/plain", "not found\n");
}

/* libmicrohttpd's own messages are about single clients. */
static void
say_nothing (void *opaque, const char *fs, va_list args)
{
}

struct http *
http_start (const struct settings *set, const struct watch_list *list,
            struct store *store)
{
  char token[MAX_TOKEN + 1];
  struct http *h;
  int fd;

  if (set->token && !read_token (set->token, token))
    return NULL;
  fd = listen_at (set->listen, set->token != NULL);
  if (fd == -1)
    return NULL;
  h = allocate (1, sizeof *h);
  h->list = list;
  h->store = store;
  h->path = strchr (set->listen, '/') ? copy_text (set->listen) : NULL;
  h->bearer = set->token ? text_of ("Bearer %s", token) : NULL;
  h->basic = set->token ? basic_of (token) : NULL;
  h->local = set->token == NULL && h->path == NULL;
  h->daemon = MHD_start_daemon (
    MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
    NULL, answer, h, MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL,
    MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
    (unsigned) MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
    (unsigned) IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
    (size_t) 16384, MHD_OPTION_END);
  if (h->daemon)
    return h;
  error ("--listen=%s: the web server can't be started", set->listen);
  close (fd);
  http_stop (h);
  return NULL;
}

void
http_stop (struct http *h)
{
  if (h == NULL)
    return;
  for (int i = 0; i < MAX_LISTENERS; i++)
    if (h->v[i].connection && h->v[i].asleep)
      MHD_resume_connection (h->v[i].connection);
  if (h->daemon)
    MHD_stop_daemon (h->daemon);
  if (h->path)
    unlink (h->path);
  free (h->path);
  free (h->bearer);
  free (h->basic);
  free (h);
}

int
http_fd (const struct http *h)
{
  const union MHD_DaemonInfo *info =
    MHD_get_daemon_info (h->daemon, MHD_DAEMON_INFO_EPOLL_FD);

  return info ? info->epoll_fd : -1;
}

uint64_t
http_run (struct http *h, uint64_t changes, uint64_t now)
{
  const bool beat = now >= h->beat_ms;
  MHD_UNSIGNED_LONG_LONG wait;

  if (beat)
    h->beat_ms = now + STILL_THERE_MS;
  if (changes != h->changes || beat) {
    h->changes = changes;
    wake_listeners (h, beat);
  }
  MHD_run (h->daemon);
  return MHD_get_timeout (h->daemon, &wait) == MHD_YES
    ? min_u64 (h->beat_ms, now + wait) : h->beat_ms;
}
