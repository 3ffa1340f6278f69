/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>

#include "engine/errors.h"

/* ENODATA is what O_DIRECT reports for a SCSI medium error, EILSEQ a
 * protection error, EREMOTEIO a critical target error, ETIMEDOUT a drive
 * that didn't answer in time (blk_status_to_errno in Linux).
 */
enum error_class
error_classify (int err)
{
  switch (err) {
  case EIO:
  case ENODATA:
  case EILSEQ:
  case EREMOTEIO:
  case ETIMEDOUT:
    return ERROR_MEDIA;
  case ENODEV:
  case ENXIO:
  case ENOLINK:
    return ERROR_GONE;
  default:
    return ERROR_OTHER;
  }
}

bool
error_is_refusal (int err)
{
  return err == EROFS || err == EPERM || err == EOPNOTSUPP || err == ENOSPC;
}

/* The error numbers of the NBD protocol, and those that nbdkit translates
 * into one of them.  Two belong to requests of one kind and become EINVAL
 * elsewhere: ENOTSUP (fast zeroes: engine_zero knows), and EOVERFLOW.
 */
int
error_for_nbd (int err)
{
  switch (err) {
  case 0:
  case EPERM:
  case EROFS:
  case EIO:
  case ENOMEM:
  case EINVAL:
  case ENOSPC:
  case ESHUTDOWN:
    return err;
  case EDQUOT:
  case EFBIG:
    return ENOSPC;
  default:
    return EIO;
  }
}
