/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Error numbers by name, as parameters and the log have them.
 */

#ifndef BADDISK_ERRORS_H
#define BADDISK_ERRORS_H

#define MAX_ERRNO 4095          /* the largest that the kernel can return */

/* "EIO"; or the number, written to BUF, for an error that has no name. */
extern const char *error_name (int error, char buf[16]);

/* The error that TEXT is the name or the number of; 0: none. */
extern int error_number (const char *text);

#endif /* BADDISK_ERRORS_H */
