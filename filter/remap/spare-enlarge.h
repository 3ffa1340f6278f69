/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A spare is made larger: the file or device under it is looked at and
 * lengthened, then the spare takes what is new.  One at a time; the caller
 * sees to it.
 */

#ifndef REMAP_SPARE_ENLARGE_H
#define REMAP_SPARE_ENLARGE_H

#include "base/message.h"
#include "host/sparefile.h"
#include "spare/spare.h"

/* Is there room for SIZE bytes that the spare may take, as far as can be seen
 * without writing?  ST: how it is now.  Returns 0, or an errno with MESSAGE
 * set.
 */
extern int spare_enlarge_check (struct spare_file *file,
                                const struct spare_status *st, uint64_t size,
                                struct message *message);

/* Makes the spare SIZE bytes large, which it wasn't before.  The new part has
 * been checked: a file is lengthened only when all that it has there was
 * found to be blank.  Returns as above.
 */
extern int spare_enlarge_to (struct spare_file *file, struct spare *spare,
                             uint64_t size, struct message *message);

/* Both, for a spare in use: WANTED bytes, rounded down to pages.  Returns as
 * above.
 */
extern int spare_enlarge (struct spare_file *file, struct spare *spare,
                          uint64_t wanted, struct message *message);

#endif /* REMAP_SPARE_ENLARGE_H */
