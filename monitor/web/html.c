/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "web/html.h"

/* How many bytes of P are a character that would turn or hide others: U+200B
 * to U+200F, U+2028 to U+202E, U+2060 to U+206F, U+0080 to U+009F, U+FEFF.
 */
static size_t
hidden (const unsigned char *p)
{
  if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
    return 2;
  if (p[0] == 0xe2 && p[1] == 0x80 &&
      ((p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae)))
    return 3;
  if (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa0 && p[2] <= 0xaf)
    return 3;
  return p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf ? 3 : 0;
}

void
html_text (FILE *fp, const char *text)
{
  const unsigned char *p = (const unsigned char *) text;
  size_t n;

  for (; *p; p++)
    switch (*p) {
    case '&': fputs ("&amp;", fp); break;
    case '<': fputs ("&lt;", fp); break;
    case '>': fputs ("&gt;", fp); break;
    case '"': fputs ("&quot;", fp); break;
    case '\'': fputs ("&#39;", fp); break;
    default:
      n = *p < 0x20 || *p == 0x7f ? 1 : hidden (p);
      if (n > 0) {
        fputs ("\xef\xbf\xbd", fp);     /* the replacement character */
        p += n - 1;
      }
      else
        putc (*p, fp);
    }
}

void
html_query (FILE *fp, const char *text)
{
  for (const unsigned char *p = (const unsigned char *) text; *p; p++)
    if (isascii (*p) && (isalnum (*p) || strchr ("-_.~/", *p)))
      putc (*p, fp);
    else
      fprintf (fp, "%%%02X", *p);
}
