/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Bad sectors in what programs say to people.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/messages.h"

#define MAX_COLUMNS 16

/* Sectors have 512 bytes in Linux and md, whatever the disk's have. */
static int
add_sectors (struct listing *l, struct token t, uint64_t start,
             uint64_t count)
{
  return listing_add_blocks (l, t, start, count, SECTOR_SIZE);
}

static bool
ends_with (struct token t, const char *s)
{
  const size_t len = strlen (s);

  return t.len >= len && memcmp (t.s + t.len - len, s, len) == 0;
}

/* Linux's messages about a request that failed, of all versions:
 *
 *   end_request: I/O error, dev sda, sector 2048
 *   blk_update_request: critical medium error, dev sda, sector 2048
 *   print_req_error: I/O error, dev sda, sector 2048 flags 80700
 *   I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x0 phys_seg 1 ...
 *
 * The sector is one of the whole disk, and the first one that is missing.
 */
static const char device_mark[] = " error, dev ";
static const char sector_mark[] = ", sector ";

/* Only a read or a write that failed says something about a sector: other
 * operations have no sector, or are refused as a whole.
 */
static bool
is_read_or_write (struct token rest)
{
  const struct token op = token_after (rest, " op ");

  return op.s == NULL || token_begins (op, "0x0:") ||
    token_begins (op, "0x1:") || token_begins (op, "0x0 ") ||
    token_begins (op, "0x1 ");
}

int
kernel_line (struct messages *m, struct listing *l, struct token line)
{
  const struct token kind = token_before (line, device_mark);
  const struct token rest = token_after (line, device_mark);
  const struct token after = token_after (rest, sector_mark);
  struct token sector[1];
  uint64_t n;
  bool wanted;
  int r;

  if (after.s == NULL)
    return 0;
  if ((r = listing_device (l, token_before (rest, sector_mark),
                           &wanted)) != 0 || !wanted)
    return r;
  if (token_split (after, sector, 1) == 0)
    return listing_complain (l, token_trim (line), "ends where the number of "
                             "a sector should be");
  if ((!ends_with (kind, "I/O") && !ends_with (kind, "critical medium")) ||
      !is_read_or_write (after) ||
      token_is (sector[0], "18446744073709551615")) {
    /* A time-out, a link that failed, or a flush: no sector is bad. */
    m->left_out++;
    return 0;
  }
  if ((r = listing_digits (l, sector[0], 0, 10, &n)) != 0)
    return r;
  return add_sectors (l, sector[0], n, 1);
}

/* mdadm --examine-badblocks DEVICE...:
 *
 *   Bad-blocks list is empty in /dev/sda3
 *   Bad-blocks on /dev/sdc3:
 *            13086517288 for 32 sectors
 */
static const char mdadm_mark[] = "Bad-blocks on ";

int
mdadm_line (struct messages *m, struct listing *l, struct token line)
{
  struct token t[4], name = token_trim (line);
  uint64_t start, count;
  size_t n;
  int r;

  if (token_begins (name, mdadm_mark)) {
    name = token_before (token_after (name, mdadm_mark), ":");
    return listing_device (l, name, &m->wanted);
  }
  n = token_split (line, t, 4);
  if (n < 2 || !token_is (t[1], "for") || !m->wanted)
    return 0;
  if (n != 4 || !token_is (t[3], "sectors"))
    return listing_complain (l, t[0], "begins a line of mdadm's that is cut "
                             "off: expected \"start for count sectors\"");
  if ((r = listing_digits (l, t[0], 0, 10, &start)) != 0 ||
      (r = listing_digits (l, t[2], 0, 10, &count)) != 0)
    return r;
  return add_sectors (l, t[0], start, count);
}

/* smartctl's tables, by their headings. */
enum { NO_TABLE, SELF_TESTS, SCSI_SELF_TESTS, NVME_SELF_TESTS, PENDING };

static int
add_lba (struct messages *m, struct listing *l, struct token t)
{
  uint64_t n;
  int r;

  if (m->block && m->sector && m->block != m->sector)
    return listing_complain (l, t, "is the number of a sector of %" PRIu32
                             " bytes, as smartctl says: leave --block-size "
                             "out", m->sector);
  if ((r = listing_number (l, t, &n)) != 0)
    return r;
  return listing_add_blocks (l, t, n, 1, m->block ? m->block : m->sector ?
                             m->sector : SECTOR_SIZE);
}

/* A row of the self-test log:
 *
 *   # 1  Short offline       Completed: read failure  90%  20594  1406744400
 *
 * The number means nothing after failures of another kind.
 */
static int
self_test (struct messages *m, struct listing *l, struct token line,
           const struct token *t, size_t n)
{
  if (!token_begins (t[0], "#"))
    return 0;
  if (token_after (line, "read failure").s == NULL) {
    m->left_out += token_after (line, "failure").s != NULL;
    return 0;
  }
  if (n > MAX_COLUMNS)
    return listing_complain (l, t[0], "begins a line of %zu columns: is it one "
                             "of a self-test log?", n);
  return token_is (t[n-1], "-") ? 0 : add_lba (m, l, t[n-1]);
}

/* "# 1 Background long Failed in segment --> 6 47877 764900874 [0x3 0x5d
 * 0x1]": the sense key 3 is an error of the medium.
 */
static int
scsi_self_test (struct messages *m, struct listing *l, struct token line,
                const struct token *first)
{
  const struct token key = token_after (line, "[");
  struct token t[MAX_COLUMNS];
  size_t n;

  if (!token_begins (*first, "#") || key.s == NULL)
    return 0;
  n = token_split (token_before (line, "["), t, MAX_COLUMNS);
  if (n < 2 || n > MAX_COLUMNS || token_is (t[n-1], "-"))
    return 0;
  if (!token_begins (key, "0x3 ")) {
    m->left_out++;
    return 0;
  }
  return add_lba (m, l, t[n-1]);
}

/* "0 Extended Completed: failed segments 3441 81920 1 7 0x2 0x81" */
static int
nvme_self_test (struct messages *m, struct listing *l, const struct token *t,
                size_t n)
{
  if (n < 8 || n > MAX_COLUMNS || token_is (t[n-5], "-"))
    return 0;
  return add_lba (m, l, t[n-5]);
}

/* Of an error log: "... Error: UNC 8 sectors at LBA = 0x06374000 =
 * 104284160".  UNC is an uncorrectable sector.  A register of 28 bits that
 * was too small for the number is all ones.
 */
static int
logged_error (struct messages *m, struct listing *l, struct token error)
{
  const struct token lba = token_after (error, " at LBA = ");
  const struct token decimal = token_after (lba, " = ");
  struct token t[1];

  if (lba.s == NULL)
    return 0;
  if (token_after (token_before (error, " at LBA = "), "UNC").s == NULL ||
      token_begins (lba, "0x0fffffff ")) {
    m->left_out++;
    return 0;
  }
  if (token_split (decimal, t, 1) == 0)
    return listing_complain (l, token_trim (lba), "is cut off: expected a "
                             "number, and once more in decimal");
  return add_lba (m, l, t[0]);
}

/* "Sector Size: 512 bytes logical/physical" and the like of other drives. */
static void
sector_size (struct messages *m, struct token line)
{
  static const char *const names[] = {
    "Sector Size:", "Sector Sizes:", "Logical block size:",
    "Namespace 1 Formatted LBA Size:",
  };
  const struct listing quiet = { 0 };
  struct token t[1];
  uint64_t n;

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (token_begins (line, names[i]) &&
        token_split (token_after (line, names[i]), t, 1) > 0 &&
        listing_digits (&quiet, t[0], 0, 10, &n) == 0 &&
        n >= SECTOR_SIZE && n <= 65536)
      m->sector = (uint32_t) n;
}

int
smartctl_line (struct messages *m, struct listing *l, struct token line)
{
  const struct token error = token_after (line, "  Error: ");
  struct token t[MAX_COLUMNS];
  const size_t n = token_split (line, t, MAX_COLUMNS);

  sector_size (m, line);
  if (n == 0)
    m->table = NO_TABLE;
  else if (token_is (t[0], "Num") || token_is (t[0], "Index"))
    m->table =
      token_after (line, "LBA_of_first_error").s ? SELF_TESTS :
      token_after (line, "LBA_first_err").s ? SCSI_SELF_TESTS :
      token_after (line, "Failing_LBA").s ? NVME_SELF_TESTS :
      n == 3 && token_is (t[1], "LBA") ? PENDING : NO_TABLE;
  else if (error.s)
    return logged_error (m, l, error);
  else if (m->table == SELF_TESTS)
    return self_test (m, l, line, t, n);
  else if (m->table == SCSI_SELF_TESTS)
    return scsi_self_test (m, l, line, t);
  else if (m->table == NVME_SELF_TESTS)
    return nvme_self_test (m, l, t, n);
  else if (m->table == PENDING && n >= 2)
    return add_lba (m, l, t[1]);
  return 0;
}

enum list_format
messages_recognise (struct token line)
{
  static const struct { enum list_format format; const char *begin; } marks[] =
  {
    { LIST_MDADM, "Bad-blocks on " },
    { LIST_MDADM, "Bad-blocks list is empty in " },
    { LIST_MDADM, "No bad-blocks list configured on " },
    { LIST_SMARTCTL, "smartctl " },
    { LIST_SMARTCTL, "=== START OF " },
    { LIST_SMARTCTL, "SMART Error Log Version" },
    { LIST_SMARTCTL, "SMART Extended " },
    { LIST_SMARTCTL, "SMART Self-test log" },
    { LIST_SMARTCTL, "Self-test Log (NVMe" },
    { LIST_SMARTCTL, "Pending Defects log" },
  };

  for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
    if (token_begins (line, marks[i].begin))
      return marks[i].format;
  if (token_after (token_after (line, device_mark), sector_mark).s)
    return LIST_KERNEL;
  return LIST_ANY;
}
