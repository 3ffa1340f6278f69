/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Lists of bad areas that other programs write: sysfs, HDDSuperClone and
 * OpenSuperClone, mdadm, Linux's messages, smartctl; how a list's format is
 * recognised; and that no input crashes the parser (promise 23 of
 * remap-promises(7)).
 *
 * TEST_SEED=N repeats a run of the random tests.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "base/bad-list.h"

static uint64_t seed;
static struct list_about about;         /* the last list */

/* splitmix64 */
static uint64_t
random_u64 (uint64_t *state)
{
  uint64_t z = *state += UINT64_C (0x9e3779b97f4a7c15);

  z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* Parses from memory of exactly LEN bytes, so that a sanitizer sees every
 * read beyond it.
 */
static int
parse_exact (const char *text, size_t len, const struct list_options *options,
             struct area_list *list, struct message *message)
{
  char *copy = malloc (len ? len : 1);
  int r;

  CU_ASSERT_PTR_NOT_NULL_FATAL (copy);
  memcpy (copy, text, len);
  r = bad_list_parse (copy, len, options, list, &about, message);
  free (copy);
  return r;
}

/* The result in sectors, "start+count start+count ...", or the message. */
static const char *
parsed (const char *text, size_t len, const struct list_options *options)
{
  static char out[4096];
  struct area_list list;
  struct message message = { "no message" };
  size_t used = 0;
  int r = parse_exact (text, len, options, &list, &message);

  if (r != 0) {
    CU_ASSERT_EQUAL (r, EINVAL);
    CU_ASSERT_PTR_NULL (list.v);
    snprintf (out, sizeof out, "%s", message.text);
    return out;
  }
  out[0] = '\0';
  for (size_t i = 0; i < list.n && used < sizeof out; i++) {
    CU_ASSERT_EQUAL (list.v[i].offset % 512, 0);
    CU_ASSERT_EQUAL (list.v[i].count % 512, 0);
    used += (size_t) snprintf (out + used, sizeof out - used,
                               "%s%" PRIu64 "+%" PRIu64, i ? " " : "",
                               list.v[i].offset / 512, list.v[i].count / 512);
  }
  area_list_free (&list);
  return out;
}

static void
check_with (const char *text, const struct list_options *options,
            enum list_format format, const char *wanted)
{
  const char *got = parsed (text, strlen (text), options);

  if (strcmp (got, wanted) != 0) {
    fprintf (stderr, "\ntext:\n%s\ngot:    %s\nwanted: %s\n", text, got,
             wanted);
    CU_FAIL ("result differs");
  }
  CU_ASSERT_EQUAL (about.format, format);
}

static void
check (const char *text, enum list_format format, const char *wanted)
{
  static const struct list_options none = { .block = -1 };

  check_with (text, &none, format, wanted);
}

/* The message must begin with BEGIN and hold WHY. */
static void
refused_with (const char *text, const struct list_options *options,
              const char *begin, const char *why)
{
  const char *got = parsed (text, strlen (text), options);

  if (strncmp (got, begin, strlen (begin)) != 0 || !strstr (got, why)) {
    fprintf (stderr, "\ntext:\n%s\ngot:    %s\nwanted: %s...%s\n", text, got,
             begin, why);
    CU_FAIL ("message differs");
  }
}

static void
refused (const char *text, const char *begin, const char *why)
{
  static const struct list_options none = { .block = -1 };

  refused_with (text, &none, begin, why);
}

/* /sys/block/DISK/badblocks, /sys/block/mdX/md/dev-Y/bad_blocks. */
static void
test_ranges (void)
{
  static const struct list_options ranges = {
    .format = LIST_RANGES, .block = -1,
  };

  check_with ("2048 8\n4096 1\n", &ranges, LIST_RANGES, "2048+8 4096+1");
  check_with ("", &ranges, LIST_RANGES, "");
  check_with ("8 0\n0 8\r\n", &ranges, LIST_RANGES, "0+8");
  refused ("2048 8\n", "line 1: '2048' begins a line of two columns",
           "--format=ranges");
  refused_with ("1 2\n3\n", &ranges, "line 2: '3'", "\"start count\"");
  refused_with ("1 2 3\n", &ranges, "line 1: '1'", "\"start count\"");
  refused_with ("0x1 2\n", &ranges, "line 1: '0x1'", "decimal");
  refused_with ("1 36028797018963968\n", &ranges, "line 1: '1'", "too large");
  refused_with ("18446744073709551615 1\n", &ranges, "line 1: '18446",
                "too large");
}

/* What a log of HDDSuperClone begins with; OpenSuperClone changed the name. */
#define LOG                                                             \
  "# Disk progress log file created by OpenSuperClone version 2.4.3\n"  \
  "# Mon Jul 21 09:37:44 2026\n"                                        \
  "# command= opensuperclone\n#\n"                                      \
  "################ START CONFIGURATION DATA ################\n"        \
  "# startconfig\n"                                                     \
  "# source  \t/dev/sdb\n"                                              \
  "# sectorsize  \t%s\n"                                                \
  "# endconfig\n"                                                       \
  "# current position  \t \tstatus\n"                                   \
  "0x000800        \t \t0x30\n#\n"                                      \
  "# position \tsize     \tstatus \tinfo \terr/status/time\n"           \
  "0x000000 \t0x000800 \t0x7f \t0x0 \t0x0\n"                            \
  "0x000800 \t0x000008 \t0x10 \t0x0 \t0x0\n"                            \
  "0x000808 \t0x000008 \t0x0 \t0x0 \t0x0\n"                             \
  "0x000810 \t0x000001 \t0x40 \t0x0 \t0x031104\n"                       \
  "0x000811 \t0x000001 \t0xc0 \t0x0 \t0x5140\n"                         \
  "0x000812 \t0x000002 \t0xff \t0x0 \t0x0\n"                            \
  "0x000814 \t0x000001 \t0x22 \t0x0 \t0x0\n"                            \
  "0x000815 \t0x000001 \t0x30 \t0x0 \t0x0\n"                            \
  "0x000816 \t0x0007ea \t0x6 \t0x0 \t0x0\n"

static void
test_superclone (void)
{
  static const struct list_options of_512 = { .block = 512 };
  static const struct list_options of_4096 = { .block = 4096 };
  char text[4096];

  snprintf (text, sizeof text, LOG, "512");
  check (text, LIST_SUPERCLONE, "2048+8 2064+2 2068+2");
  CU_ASSERT_EQUAL (about.extent, 4096 * 512);
  check_with (text, &of_512, LIST_SUPERCLONE, "2048+8 2064+2 2068+2");
  refused_with (text, &of_4096, "line 14: '0x000000'",
                "sectors have 512 bytes: leave --block-size out");
  snprintf (text, sizeof text, LOG, "4096");
  check (text, LIST_SUPERCLONE, "16384+64 16512+16 16544+16");
  CU_ASSERT_EQUAL (about.extent, 4096 * 4096);
  snprintf (text, sizeof text, LOG, "many");
  check (text, LIST_SUPERCLONE, "2048+8 2064+2 2068+2");

  check ("0x0 0x0\n0x8 0x8 0x40\n", LIST_SUPERCLONE, "8+8");
  check ("0x8 0x8 0x40 0x0 0x0\n", LIST_SUPERCLONE, "8+8");
  check_with ("0x8 0x8 0x40 0x0 0x0\n", &of_4096, LIST_SUPERCLONE, "64+64");
  refused ("0x0 0x0\n0x0 0x0\n", "line 2: '0x0'", "two columns");
  refused ("0x0 0x0\n0x0 0x1 0x50\n", "line 2: '0x50'", "status of a block");
  refused ("0x0 0x1 0x140\n", "line 1: '0x140'", "status of a block");
  refused ("0x0 0x1 0x\n", "line 1: '0x'", "is not a number");
  refused ("0x0 0x0\n0x0 512 -\n", "line 2: '0x0'",
           "lines before it are those of a log of HDDSuperClone");
  refused ("0x0 0x200 -\n0x0 0x1 0x40\n", "line 2: '0x0'",
           "lines before it are those of a ddrescue mapfile");
  refused ("0x80000000000000 0x1 0x40\n", "line 1: '0x8000", "64 bits");
  refused ("0xffffffffffffffff 0x1 0x7f\n", "line 1: '0xffff", "64 bits");
  refused ("0x10000000000000000 0x1 0x7f\n", "line 1: '0x1000", "too large");
}

/* What OpenSuperClone exports, and what versions of ddrescue wrote. */
static void
test_mapfiles (void)
{
  check ("# Disk progress log file created by OpenSuperClone version 2.4.3\n"
         "# ddrescue export\n# Mon Jul 21 09:37:44 2026\n"
         "# current_pos  current_status\n0x00100000     -\n"
         "#      pos        size  status\n0x00000000  0x00100000  +\n"
         "0x00100000  0x00000200  -\n0x00100200  0x000FFE00  ?\n",
         LIST_MAPFILE, "2048+1");
  CU_ASSERT_EQUAL (about.extent, 2 << 20);
  check ("# Rescue Logfile. Created by GNU ddrescue version 1.16\n"
         "# Command line: ddrescue -n /dev/sdc image log\n"
         "# current_pos  current_status\n0x00100000     /\n"
         "#      pos        size  status\n0x00000000  0x00100000  +\n"
         "0x00100000  0x00000200  /\n", LIST_MAPFILE, "2048+1");
  check ("# Rescue Logfile. Created by GNU ddrescue version 1.19\n"
         "# Command line: ddrescue /dev/sda image log\n"
         "# Start time:   2015-06-13 22:57:39\n"
         "# Current time: 2015-06-14 19:09:03\n# Finished\n"
         "# current_pos  current_status\n0x9162CAC00     +\n"
         "#      pos        size  status\n0x00000000  0x4F29D000  +\n"
         "0x4F29D000  0x00002000  -\n", LIST_MAPFILE, "2594024+16");
  check ("# Mapfile. Created by GNU ddrescue version 1.30\n"
         "# Command line: ddrescue -d /dev/sda image map\n"
         "# Start time:   2026-01-13 22:57:39\n"
         "# Current time: 2026-01-13 23:57:39\n"
         "# Trimming failed blocks... (forwards)\n"
         "# current_pos  current_status  current_pass\n"
         "0x00000000     *               1\n"
         "#      pos        size  status\n0x00000000  0x00001000  *\n"
         "0x00001000  0x7FFFFFFFFFFFEFFF  ?\n", LIST_MAPFILE, "0+8");
}

static void
test_mdadm (void)
{
  static const char text[] =
    "Bad-blocks list is empty in /dev/sda3\n"
    "Bad-blocks on /dev/sdc3:\n"
    "         13086517288 for 32 sectors\n"
    "                4096 for 8 sectors\n";
  static const char two[] =
    "Bad-blocks on /dev/sdc3:\n                4096 for 8 sectors\n"
    "No bad-blocks list configured on /dev/sde1\n"
    "Bad-blocks on /dev/sdd3:\n                8192 for 8 sectors\n";
  static const struct list_options sdd3 = { .block = -1, .device = "sdd3" };
  static const struct list_options sdx = { .block = -1, .device = "sdx" };
  static const struct list_options of_512 = { .block = 512 };
  static const struct list_options mdadm = {
    .format = LIST_MDADM, .block = -1,
  };

  check (text, LIST_MDADM, "4096+8 13086517288+32");
  CU_ASSERT_STRING_EQUAL (about.device, "sdc3");
  check ("Bad-blocks list is empty in /dev/sda3\n", LIST_MDADM, "");
  check_with (two, &sdd3, LIST_MDADM, "8192+8");
  check_with ("4096 for 8 sectors\n", &mdadm, LIST_MDADM, "4096+8");
  refused (two, "line 4: 'sdd3'", "another device than 'sdc3' in line 1: say "
           "which one is this disk, with --device=NAME");
  refused_with (two, &sdx, "nothing is listed of a device 'sdx'", "");
  refused_with (text, &of_512, "the format mdadm has sectors of 512 bytes",
                "leave --block-size out");
  refused ("Bad-blocks on /dev/sdc3:\n 4096 for 8\n", "line 2: '4096'",
           "cut off");
  refused ("Bad-blocks on /dev/sdc3:\n x for 8 sectors\n", "line 2: 'x'",
           "decimal");
  refused ("Bad-blocks on /dev/sdc3:\n 36028797018963967 for 2 sectors\n",
           "line 2: '36028797018963967'", "too large");
}

/* As kernels from 2.6 to 6.12 wrote them, in dmesg, syslog and journal. */
static void
test_kernel (void)
{
  static const char text[] =
    "[   12.345678] sd 0:0:0:0: [sda] Add. Sense: Unrecovered read error\n"
    "end_request: I/O error, dev sda, sector 1000\n"
    "end_request: critical medium error, dev sda, sector 1001\r\n"
    "Aug 26 09:12:55 host kernel: [808772.369195] blk_update_request: critical "
    "medium error, dev sda, sector 2000 op 0x0:(READ) flags 0x80700 phys_seg "
    "5 prio class 0\n"
    "Buffer I/O error on dev sda3, logical block 834720, async page read\n"
    "Buffer I/O error, dev sda1, logical block 5, async page read\n"
    "[1.2] print_req_error: I/O error, dev sda, sector 3000 flags 80700\n"
    "blk_update_request: I/O error, dev sda, sector 3001 op 0x1 flags 0x0\n"
    "Nov 28 12:00:00 host kernel: I/O error, dev sda, sector 4000 op "
    "0x1:(WRITE) flags 0x0 phys_seg 1 prio class 2";
  static const char others[] =
    "timeout error, dev sda, sector 1\n"
    "recoverable transport error, dev sda, sector 2\n"
    "device offline error, dev sda, sector 3 op 0x0:(READ) flags 0x0\n"
    "I/O error, dev sda, sector 4 op 0x3:(DISCARD) flags 0x0\n"
    "critical target error, dev sda, sector 5 op 0x9:(WRITE_ZEROES) flags 0\n"
    "I/O error, dev sda, sector 18446744073709551615 op 0x1:(WRITE) flags 0\n"
    "critical medium error, dev sda, sector 7\n";
  static const char two[] =
    "I/O error, dev sda, sector 1\nI/O error, dev sdb, sector 2\n";
  static const struct list_options sdb = { .block = -1, .device = "sdb" };
  static const struct list_options sdc = { .block = -1, .device = "sdc" };
  static const struct list_options kernel = {
    .format = LIST_KERNEL, .block = -1,
  };

  check (text, LIST_KERNEL, "1000+2 2000+1 3000+2 4000+1");
  CU_ASSERT_STRING_EQUAL (about.device, "sda");
  CU_ASSERT_EQUAL (about.left_out, 0);
  check (others, LIST_KERNEL, "7+1");
  CU_ASSERT_EQUAL (about.left_out, 6);
  check_with (two, &sdb, LIST_KERNEL, "2+1");
  check_with ("hello\n", &kernel, LIST_KERNEL, "");
  refused (two, "line 2: 'sdb'", "another device than 'sda' in line 1");
  refused_with (two, &sdc, "nothing is listed of a device 'sdc'", "");
  refused ("I/O error, dev sda, sector x\n", "line 1: 'x'", "decimal");
  refused ("I/O error, dev sda, sector \n", "line 1: 'I/O error", "ends where");
  refused ("I/O error, dev sda, sector 36028797018963968\n",
           "line 1: '36028797018963968'", "too large");
}

/* smartctl -x of a drive with sectors of SIZE bytes. */
#define SMART                                                              \
  "smartctl 7.3 2022-02-28 r5338 [x86_64-linux-6.1.0] (local build)\n"     \
  "=== START OF INFORMATION SECTION ===\n"                                 \
  "Device Model:     ST31000520AS\n"                                       \
  "%s\n"                                                                   \
  "=== START OF READ SMART DATA SECTION ===\n"                             \
  "197 Current_Pending_Sector  0x0012   100   100   000    -       1\n"    \
  "\nSMART Error Log Version: 1\nATA Error Count: 3\n"                     \
  "  ER ST SC SN CL CH DH\n  -- -- -- -- -- -- --\n"                       \
  "  40 51 08 00 40 37 e6  Error: UNC 8 sectors at LBA = 0x06374000 = "    \
  "104284160\n"                                                            \
  "  40 51 00 ff ff ff 0f  Error: UNC at LBA = 0x0fffffff = 268435455\n"   \
  "  84 51 00 00 5c 03 e0  Error: ICRC, ABRT at LBA = 0x00035c00 = 220160" \
  "\n  04 51 00 00 00 00 a0  Error: ABRT\n\n"                              \
  "SMART Self-test log structure revision number 1\n"                      \
  "Num  Test_Description    Status                  Remaining  "           \
  "LifeTime(hours)  LBA_of_first_error\n"                                  \
  "# 1  Short offline       Completed: read failure       90%%     20594"  \
  "         1406744400\n"                                                  \
  "# 2  Extended offline    Completed: read failure       10%%     20590"  \
  "         0x053da0a8\n"                                                  \
  "# 3  Short offline       Completed: electrical failure 10%%     20590"  \
  "         7\n"                                                           \
  "# 4  Short offline       Completed without error       00%%     20581"  \
  "         -\n"                                                           \
  "2 of 2 failed self-tests are outdated\n\n"                              \
  "Pending Defects log (GP Log 0x0c)\n"                                    \
  "Index                LBA    Hours\n"                                    \
  "    0        22791960168    54593\n"                                    \
  "    1        22791960169        -\n\n"                                  \
  "SATA Phy Event Counters (GP Log 0x11)\n"                                \
  "ID      Size     Value  Description\n"                                  \
  "0x0001  2            0  Command failed due to ICRC error\n"

static void
test_smartctl (void)
{
  static const struct list_options of_512 = { .block = 512 };
  static const struct list_options of_4096 = { .block = 4096 };
  static const struct list_options sda = { .block = -1, .device = "sda" };
  static const char wanted[] =
    "87924904+1 104284160+1 1406744400+1 22791960168+2";
  char text[4096];

  snprintf (text, sizeof text, SMART,
            "Sector Size:      512 bytes logical/physical");
  check (text, LIST_SMARTCTL, wanted);
  CU_ASSERT_EQUAL (about.left_out, 3);
  snprintf (text, sizeof text, SMART,
            "Sector Sizes:     512 bytes logical, 4096 bytes physical");
  check (text, LIST_SMARTCTL, wanted);
  check_with (text, &of_512, LIST_SMARTCTL, wanted);
  refused_with (text, &of_4096, "line 12: '104284160'", "512 bytes");
  refused_with (text, &sda, "the format smartctl names no devices", "");
  snprintf (text, sizeof text, SMART,
            "Sector Size:      4096 bytes logical/physical");
  check (text, LIST_SMARTCTL, "703399232+8 834273280+8 11253955200+8 "
         "182335681344+16");

  /* A log alone says nothing about sectors. */
  check_with ("SMART Self-test log\nNum  Test_Description  "
              "LBA_of_first_error\n# 1  Short offline  Completed: read "
              "failure  90%  1  1000\n", &of_4096, LIST_SMARTCTL, "8000+8");
  /* SCSI: the sense key tells. */
  check ("=== START OF READ SMART DATA SECTION ===\nSMART Self-test log\n"
         "Num  Test              Status                 segment  LifeTime  "
         "LBA_first_err [SK ASC ASQ]\n"
         "     Description                              number   (hours)\n"
         "# 1  Background long   Failed in segment -->       3   47877"
         "                 - [0x1 0xb 0x97]\n"
         "# 2  Background long   Failed in segment -->       6   47877"
         "         764900874 [0x3 0x5d 0x1]\n"
         "# 3  Background long   Failed in segment -->       6   47877"
         "               874 [0x4 0x5d 0x1]\n"
         "# 4  Background long   Completed                   -   41724"
         "                 - [-   -    -]\n", LIST_SMARTCTL, "764900874+1");
  CU_ASSERT_EQUAL (about.left_out, 1);
  /* NVMe. */
  check ("Self-test Log (NVMe Log 0x06)\nSelf-test status: No self-test in "
         "progress\nNum  Test_Description  Status                       "
         "Power_on_Hours  Failing_LBA  NSID Seg SCT Code\n"
         " 0   Extended          Completed: failed segments               736"
         "       81920     1   7 0x2 0x81\n"
         " 1   Short             Completed without error                 720"
         "            -     -   -   -    -\n", LIST_SMARTCTL, "81920+1");
  refused ("SMART Self-test log\nNum  LBA_of_first_error\n# 1 read failure x"
           "\n", "line 3: 'x'", "decimal");
  refused ("smartctl 7\n  40  Error: UNC at LBA = 0x1\n", "line 2: '0x1'",
           "cut off");
  refused ("Pending Defects log\nIndex LBA Hours\n 0 36028797018963968 -\n",
           "line 3: '36028797018963968'", "too large");
}

static void
test_recognised (void)
{
  static const struct list_options mapfile = {
    .format = LIST_MAPFILE, .block = -1,
  };
  static const struct list_options far = {
    .block = -1, .offset = UINT64_MAX - 1024,
  };
  static const struct list_options partition = {
    .block = -1, .offset = 1 << 20,
  };
  static const struct list_options none = { .block = -1 };

  /* A byte order mark, and lines that end as in Windows. */
  check ("\xef\xbb\xbf" "0x0 ? 1\r\n0x200 0x200 -\r\n", LIST_MAPFILE, "1+1");
  check ("\xef\xbb\xbf" "4\r\n", LIST_BADBLOCKS, "8+2");
  check ("\xef\xbb\xbf", LIST_ANY, "");
  CU_ASSERT_PTR_NOT_NULL (strstr (parsed ("\xff\xfe" "4\0", 4, &none),
                                  "is UTF-16: convert it, with iconv"));
  CU_ASSERT_PTR_NOT_NULL (strstr (parsed ("\xfe\xff\0" "4", 4, &none),
                                  "is UTF-16"));
  refused ("smartctl 7\n\nI/O error, dev sda, sector 1\n", "line 3: ",
           "the format kernel, and line 1 of the format smartctl");
  refused_with ("4\n", &mapfile, "line 1: '4'", "leave --format out");
  check_with ("0 ? 1\n0x200 0x200 -\n", &mapfile, LIST_MAPFILE, "1+1");

  check_with ("0x200 0x200 -\n", &partition, LIST_MAPFILE, "2049+1");
  CU_ASSERT_EQUAL (about.extent, 1024);
  check_with ("I/O error, dev sda, sector 1\n", &partition, LIST_KERNEL,
              "2049+1");
  refused_with ("0x200 0x400 -\n", &far, "line 1: '0x200'",
                "beyond 64 bits when the offset of 18446744073709550591 bytes "
                "is added");

  for (enum list_format f = LIST_ANY; f < LIST_FORMATS; f++)
    CU_ASSERT_EQUAL (list_format_find (list_format_name (f)), f);
  CU_ASSERT_EQUAL (list_format_find ("xml"), LIST_FORMATS);
}

/* Flips, inserts and cuts bytes of valid texts. */
static void
test_mutations (void)
{
  static const char *const texts[] = {
    "2048 8\n4096 1\n", LOG,
    "Bad-blocks on /dev/sdc3:\n   13086517288 for 32 sectors\n", SMART,
    "blk_update_request: critical medium error, dev sda, sector 2000 op "
    "0x0:(READ) flags 0x80700\nI/O error, dev sda, sector 4000\n",
  };
  enum { ROUNDS = 30000, TEXTS = sizeof texts / sizeof texts[0] };
  static const char interesting[] = "0123456789abcxX+-*/?#,: \t\r\n\0\xff";
  uint64_t state = seed;
  unsigned accepted = 0;

  for (unsigned round = 0; round < ROUNDS; round++) {
    const char *from = texts[random_u64 (&state) % TEXTS];
    const struct list_options options = {
      .format = random_u64 (&state) % LIST_FORMATS, .block = -1,
      .device = random_u64 (&state) % 4 ? NULL : "sda",
    };
    char text[4096];
    size_t len = strlen (from);
    struct area_list list;
    struct message message = { "" };

    memcpy (text, from, len);
    for (uint64_t n = random_u64 (&state) % 4; n > 0; n--) {
      const size_t at = (size_t) (random_u64 (&state) % len);
      const uint64_t what = random_u64 (&state);

      if (what % 16 == 0)
        len = at + 1;
      else
        text[at] = what % 2 ? (char) (what >> 8) :
          interesting[(what >> 8) % sizeof interesting];
    }
    if (parse_exact (text, len, &options, &list, &message) == 0) {
      accepted++;
      for (size_t i = 0; i < list.n; i++)
        CU_ASSERT_FATAL (list.v[i].count > 0 && list.v[i].count <=
                         UINT64_MAX - list.v[i].offset);
    }
    else
      CU_ASSERT_FATAL (message.text[0] != '\0' && list.n == 0);
    area_list_free (&list);
  }
  CU_ASSERT (accepted > ROUNDS / 100 && accepted < ROUNDS);
}

int
main (void)
{
  static const struct {
    const char *name;
    void (*function) (void);
  } tests[] = {
    { "ranges of sysfs", test_ranges },
    { "logs of HDDSuperClone and OpenSuperClone", test_superclone },
    { "mapfiles of many programs", test_mapfiles },
    { "mdadm", test_mdadm },
    { "Linux's messages", test_kernel },
    { "smartctl", test_smartctl },
    { "what is recognised", test_recognised },
    { "random mutations (promise 23)", test_mutations },
  };
  const char *s = getenv ("TEST_SEED");
  CU_pSuite suite;
  unsigned failures;

  seed = s ? strtoull (s, NULL, 0) : (uint64_t) time (NULL);
  printf ("TEST_SEED=%" PRIu64 "\n", seed);

  if (CU_initialize_registry () != CUE_SUCCESS ||
      (suite = CU_add_suite ("bad-lists", NULL, NULL)) == NULL)
    return 1;
  for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
    if (CU_add_test (suite, tests[i].name, tests[i].function) == NULL)
      return 1;
  CU_basic_set_mode (CU_BRM_VERBOSE);
  CU_basic_run_tests ();
  failures = CU_get_number_of_failures ();
  CU_cleanup_registry ();
  return failures ? 1 : 0;
}
