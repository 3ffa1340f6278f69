/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Text in HTML, whatever is in it.
 */

#ifndef REMAP_MONITOR_HTML_H
#define REMAP_MONITOR_HTML_H

#include <stdio.h>

/* Text between tags or in a quoted attribute: no character of it is markup,
 * and control characters, also those that turn the direction of text, become
 * visible.
 */
extern void html_text (FILE *fp, const char *text);

/* Text as a part of a URL's query. */
extern void html_query (FILE *fp, const char *text);

#endif /* REMAP_MONITOR_HTML_H */
