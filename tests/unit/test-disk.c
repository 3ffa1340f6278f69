/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What sysfs says of disks: labels, and which devices are on the same one
 * (promises 20 and 22 of remap-promises(7)).  The tree is made up.
 *
 * Linked with --wrap for system calls and fopen.
 */

#include <config.h>

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "host/blockdev.h"
#include "engine-rig.h"
#include "fail-syscall.h"

static char root[1024], dev_block[1100];

/* Whoever opens a path that contains this is the last one to do so. */
static const char *vanishing;

extern FILE *__real_fopen (const char *path, const char *mode);
extern FILE *__wrap_fopen (const char *path, const char *mode);

FILE *
__wrap_fopen (const char *path, const char *mode)
{
  FILE *fp = __real_fopen (path, mode);

  if (fp && vanishing && strstr (path, vanishing) != NULL)
    unlink (path);
  return fp;
}

static int
remove_one (const char *path, const struct stat *st, int flag,
            struct FTW *ftw)
{
  return remove (path);
}

/* Makes the directories of a path below the root. */
static void
make_dirs (const char *path)
{
  char full[4096];

  snprintf (full, sizeof full, "%s/%s", root, path);
  for (char *p = full + strlen (root) + 1; *p; p++)
    if (*p == '/') {
      *p = '\0';
      mkdir (full, 0700);
      *p = '/';
    }
  mkdir (full, 0700);
}

static void
attribute (const char *path, const char *text)
{
  char full[4096];
  FILE *fp;

  snprintf (full, sizeof full, "%s/%s", root, path);
  *strrchr (full, '/') = '\0';
  make_dirs (full + strlen (root) + 1);
  snprintf (full, sizeof full, "%s/%s", root, path);
  fp = fopen (full, "w");
  CU_ASSERT_PTR_NOT_NULL_FATAL (fp);
  fputs (text, fp);
  fclose (fp);
}

/* A device at a place in the tree, found by its number as in /sys. */
static void
device (const char *place, unsigned maj, unsigned min)
{
  char target[4096], link[4096], text[64];

  make_dirs (place);
  snprintf (text, sizeof text, "%u:%u\n", maj, min);
  snprintf (target, sizeof target, "%s/dev", place);
  attribute (target, text);
  snprintf (target, sizeof target, "../../%s", place);
  snprintf (link, sizeof link, "%s/%u:%u", dev_block, maj, min);
  CU_ASSERT_EQUAL_FATAL (symlink (target, link), 0);
}

/* A block device's link to what it is a device of. */
static void
link_device (const char *place, const char *parent)
{
  char target[4096], link[4096];

  make_dirs (parent);
  snprintf (link, sizeof link, "%s/%s/device", root, place);
  snprintf (target, sizeof target, "%s/%s", root, parent);
  CU_ASSERT_EQUAL_FATAL (symlink (target, link), 0);
}

/* The two bytes of the length in a page of SCSI. */
static void
set_length (const char *path, unsigned char length)
{
  const unsigned char bytes[2] = { 0, length };
  char full[4096];
  FILE *fp;

  snprintf (full, sizeof full, "%s/%s", root, path);
  fp = fopen (full, "r+");
  CU_ASSERT_PTR_NOT_NULL_FATAL (fp);
  fseek (fp, 2, SEEK_SET);
  fwrite (bytes, 1, 2, fp);
  fclose (fp);
}

static void
truncate_page (const char *path, off_t length)
{
  char full[4096];

  snprintf (full, sizeof full, "%s/%s", root, path);
  CU_ASSERT_EQUAL (truncate (full, length), 0);
}

static void
slave (const char *of, const char *name, const char *place)
{
  char target[4096], link[4096];

  snprintf (link, sizeof link, "%s/slaves", of);
  make_dirs (link);
  snprintf (link, sizeof link, "%s/%s/slaves/%s", root, of, name);
  snprintf (target, sizeof target, "%s/%s", root, place);
  CU_ASSERT_EQUAL_FATAL (symlink (target, link), 0);
}

static void
setup (void)
{
  const char *tmp = getenv ("TMPDIR");

  snprintf (root, sizeof root, "%s/remapXXXXXX", tmp ? tmp : "/tmp");
  CU_ASSERT_PTR_NOT_NULL_FATAL (mkdtemp (root));
  make_dirs ("dev/block");
  snprintf (dev_block, sizeof dev_block, "%s/dev/block", root);
  disk_sysfs = dev_block;

  device ("devices/sda", 8, 0);
  attribute ("devices/sda/device/wwid", " naa.5000c500a1b2c3d4  \n");
  attribute ("devices/sda/device/serial", "IGNORED\n");
  device ("devices/sda/sda1", 8, 1);
  attribute ("devices/sda/sda1/partition", "1\n");
  device ("devices/sda/sda12", 8, 12);
  attribute ("devices/sda/sda12/partition", "12\n");

  device ("devices/sdb", 8, 16);
  attribute ("devices/sdb/serial", "A B\tC\x01\xff\n");
  device ("devices/sdb/sdb1", 8, 17);
  attribute ("devices/sdb/sdb1/partition", "1\n");

  device ("devices/sdc", 8, 32);        /* says nothing of itself */
  device ("devices/sdc/sdc1", 8, 33);
  attribute ("devices/sdc/sdc1/partition", "1\n");

  /* USB: a drive that tells its number, and one behind a bridge. */
  attribute ("devices/usb1/1-1/idVendor", "1d6b\n");
  attribute ("devices/usb1/1-1/serial", "BRIDGE1\n");
  make_dirs ("devices/usb1/1-1/if0/host6/target/lun");
  device ("devices/usb1/1-1/if0/host6/target/lun/block/sdd", 8, 48);
  link_device ("devices/usb1/1-1/if0/host6/target/lun/block/sdd",
               "devices/usb1/1-1/if0/host6/target/lun");
  device ("devices/usb1/1-1/if0/host6/target/lun/block/sde", 8, 64);
  link_device ("devices/usb1/1-1/if0/host6/target/lun/block/sde",
               "devices/usb1/1-1/if0/host6/target/lun1");
  attribute ("devices/usb1/1-1/if0/host6/target/lun1/vpd_pg80",
             "?\x80?\x0cWD-  SERIAL42");
  set_length ("devices/usb1/1-1/if0/host6/target/lun1/vpd_pg80", 12);

  /* A memory card; a drive whose number says nothing. */
  device ("devices/mmcblk0", 179, 0);
  attribute ("devices/mmcblk0/device/serial", "0x1234\n");
  attribute ("devices/mmcblk0/device/cid", "275048534431364760\n");
  device ("devices/sdf", 8, 80);
  attribute ("devices/sdf/serial", "0000 0000\n");
  attribute ("devices/sdf/device/serial", "REAL\n");
  device ("devices/md7", 9, 7);
  attribute ("devices/md7/md/uuid", "ab:cd\n");

  device ("devices/nvme0n1", 259, 0);
  attribute ("devices/nvme0n1/wwid", "eui.0025385b01\n");

  /* LVM over a RAID of sda12 and sdb1, and another one over sdc1. */
  device ("devices/md0", 9, 0);
  slave ("devices/md0", "sda12", "devices/sda/sda12");
  slave ("devices/md0", "sdb1", "devices/sdb/sdb1");
  device ("devices/dm-0", 253, 0);
  attribute ("devices/dm-0/dm/uuid", "LVM-abc\n");
  slave ("devices/dm-0", "md0", "devices/md0");
  device ("devices/dm-1", 253, 1);
  slave ("devices/dm-1", "sdc1", "devices/sdc/sdc1");

  /* One that lies on itself, as no kernel has. */
  device ("devices/dm-9", 253, 9);
  slave ("devices/dm-9", "dm-9", "devices/dm-9");
}

static void
teardown (void)
{
  CU_ASSERT_EQUAL (nftw (root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static const char *
label (unsigned maj, unsigned min)
{
  static char text[64];
  bool found = disk_label (makedev (maj, min), text, sizeof text);

  CU_ASSERT_EQUAL (found, text[0] != '\0');
  return text;
}

static void
test_label (void)
{
  char small[8];

  setup ();
  CU_ASSERT_STRING_EQUAL (label (8, 0), "naa.5000c500a1b2c3d4");
  CU_ASSERT_STRING_EQUAL (label (8, 1), "naa.5000c500a1b2c3d4-part1");
  CU_ASSERT_STRING_EQUAL (label (8, 12), "naa.5000c500a1b2c3d4-part12");
  CU_ASSERT_STRING_EQUAL (label (8, 16), "A_B_C__");
  CU_ASSERT_STRING_EQUAL (label (8, 17), "A_B_C__-part1");
  CU_ASSERT_STRING_EQUAL (label (8, 32), "");
  CU_ASSERT_STRING_EQUAL (label (8, 33), "");
  CU_ASSERT_STRING_EQUAL (label (8, 48), "BRIDGE1");
  CU_ASSERT_STRING_EQUAL (label (8, 64), "WD-__SERIAL4");
  CU_ASSERT_STRING_EQUAL (label (179, 0), "275048534431364760");
  CU_ASSERT_STRING_EQUAL (label (8, 80), "REAL");
  CU_ASSERT_STRING_EQUAL (label (9, 7), "ab:cd");
  CU_ASSERT_STRING_EQUAL (label (259, 0), "eui.0025385b01");
  CU_ASSERT_STRING_EQUAL (label (253, 0), "LVM-abc");
  CU_ASSERT_STRING_EQUAL (label (253, 1), "");
  CU_ASSERT_STRING_EQUAL (label (1, 1), "");
  CU_ASSERT (disk_label (makedev (8, 1), small, sizeof small));
  CU_ASSERT_EQUAL (strlen (small), sizeof small - 1);
  teardown ();
}

/* A page of SCSI's serial number, with this length in its header. */
static void
vpd_page (const char *disk, unsigned min, const char *page,
          unsigned char length)
{
  char name[512];

  snprintf (name, sizeof name, "devices/%s", disk);
  device (name, 8, min);
  snprintf (name, sizeof name, "devices/%s/device/vpd_pg80", disk);
  attribute (name, page);
  set_length (name, length);
}

/* What says nothing, or not what it should, is no label. */
static void
test_strange_label (void)
{
  char page[256], text[256];

  setup ();
  /* Empty or blank: the next one counts. */
  device ("devices/sdg", 8, 96);
  attribute ("devices/sdg/wwid", "");
  attribute ("devices/sdg/device/wwid", " \t \n");
  attribute ("devices/sdg/serial", "GOOD\n");
  CU_ASSERT_STRING_EQUAL (label (8, 96), "GOOD");

  /* A partition whose disk isn't to be found stands for itself. */
  device ("devices/sdh/sdh1", 8, 113);
  attribute ("devices/sdh/sdh1/partition", "1\n");
  attribute ("devices/sdh/sdh1/serial", "OWN\n");
  CU_ASSERT_STRING_EQUAL (label (8, 113), "OWN");
  attribute ("devices/sdh/dev", "what?\n");
  CU_ASSERT_STRING_EQUAL (label (8, 113), "OWN");
  attribute ("devices/sdh/dev", "8:112\n");
  CU_ASSERT_STRING_EQUAL (label (8, 113), "");

  /* Pages that are cut off, are others, or claim more than they have. */
  vpd_page ("sdi", 128, "?\x80?", 3);
  truncate_page ("devices/sdi/device/vpd_pg80", 3);
  CU_ASSERT_STRING_EQUAL (label (8, 128), "");
  vpd_page ("sdj", 144, "?\x83??SERIAL", 6);
  CU_ASSERT_STRING_EQUAL (label (8, 144), "");
  vpd_page ("sdk", 160, "?\x80??ABC", 200);
  CU_ASSERT_STRING_EQUAL (label (8, 160), "ABC");
  vpd_page ("sdl", 176, "?\x80??0000", 4);
  CU_ASSERT_STRING_EQUAL (label (8, 176), "");
  memset (page, 'S', sizeof page);
  memcpy (page, "?\x80", 2);
  page[204] = '\0';
  vpd_page ("sdm", 192, page, 200);
  CU_ASSERT (disk_label (makedev (8, 192), text, sizeof text));
  CU_ASSERT_EQUAL (strlen (text), 159);
  CU_ASSERT_EQUAL (strspn (text, "S"), 159);

  /* A bridge whose number says nothing. */
  device ("devices/usb2/if0/sdn", 8, 208);
  make_dirs ("devices/usb2/if0/sdn/device");
  attribute ("devices/usb2/idVendor", "1d6b\n");
  attribute ("devices/usb2/serial", "000000\n");
  CU_ASSERT_STRING_EQUAL (label (8, 208), "");

  /* A partition that is removed meanwhile has never been a whole disk. */
  vanishing = "8:12/partition";
  CU_ASSERT_STRING_EQUAL (label (8, 12), "naa.5000c500a1b2c3d4-part12");
  vanishing = NULL;
  teardown ();
}

/* A disk is found again wherever it is now, if it is the only one. */
static void
test_find (void)
{
  char path[64], small[9];
  dev_t dev;

  setup ();
  CU_ASSERT_EQUAL (disk_find ("naa.5000c500a1b2c3d4", &dev), 1);
  CU_ASSERT_EQUAL (dev, makedev (8, 0));
  CU_ASSERT_EQUAL (disk_find ("naa.5000c500a1b2c3d4-part12", &dev), 1);
  CU_ASSERT_EQUAL (dev, makedev (8, 12));
  CU_ASSERT_EQUAL (disk_find ("naa.5000c500a1b2c3d", &dev), 0);
  CU_ASSERT_EQUAL (disk_find ("", &dev), 0);

  device ("devices/sdz", 65, 144);
  attribute ("devices/sdz/device/wwid", "naa.5000c500a1b2c3d4\n");
  CU_ASSERT_EQUAL (disk_find ("naa.5000c500a1b2c3d4", &dev), 2);
  disk_sysfs = "/nowhere";
  CU_ASSERT_EQUAL (disk_find ("naa.5000c500a1b2c3d4", &dev), 0);
  disk_sysfs = dev_block;

  CU_ASSERT (!disk_node (makedev (8, 0), path, sizeof path));
  attribute ("devices/sda/uevent", "MAJOR=8\nMINOR=0\nDEVNAME=sda\n");
  CU_ASSERT (disk_node (makedev (8, 0), path, sizeof path));
  CU_ASSERT_STRING_EQUAL (path, "/dev/sda");
  CU_ASSERT (disk_node (makedev (8, 0), small, sizeof small));
  CU_ASSERT (!disk_node (makedev (8, 0), small, sizeof small - 1));
  teardown ();
}

/* Gone: not there, or given up by the kernel. */
static void
test_gone (void)
{
  uint64_t n;

  setup ();
  CU_ASSERT (!disk_is_gone (makedev (8, 0)));
  CU_ASSERT (disk_is_gone (makedev (8, 99)));
  attribute ("devices/sda/device/state", "running\n");
  CU_ASSERT (!disk_is_gone (makedev (8, 0)));
  attribute ("devices/sda/device/state", "blocked\n");
  CU_ASSERT (!disk_is_gone (makedev (8, 0)));
  attribute ("devices/sda/device/state", "offline\n");
  CU_ASSERT (disk_is_gone (makedev (8, 0)));
  CU_ASSERT (disk_is_gone (makedev (8, 12)));
  CU_ASSERT (!disk_is_gone (makedev (8, 17)));

  attribute ("devices/sda/queue/rotational", "1\n");
  CU_ASSERT (disk_number (makedev (8, 12), "queue/rotational", &n));
  CU_ASSERT_EQUAL (n, 1);
  attribute ("devices/sda/queue/rotational", "yes\n");
  CU_ASSERT (!disk_number (makedev (8, 0), "queue/rotational", &n));
  CU_ASSERT (!disk_number (makedev (8, 16), "queue/rotational", &n));

  /* Without sysfs nothing can be said. */
  disk_sysfs = "/nowhere";
  CU_ASSERT (!disk_is_gone (makedev (8, 99)));
  teardown ();
}

/* Partitions lie in the directory of their disk. */
static void
test_partitions (void)
{
  struct disk_partition v[4];
  unsigned n, second;

  setup ();
  CU_ASSERT_EQUAL (disk_partitions (makedev (8, 0), v, 4), 0);
  attribute ("devices/sda/size", "204800\n");
  attribute ("devices/sda/sda1/start", "2048\n");
  attribute ("devices/sda/sda1/size", "8192\n");
  attribute ("devices/sda/sda12/start", "10240\n");
  attribute ("devices/sda/sda12/size", "100\n");
  attribute ("devices/sda/queue/size", "7\n");
  n = disk_partitions (makedev (8, 0), v, 4);
  CU_ASSERT_EQUAL_FATAL (n, 2);
  second = strcmp (v[1].name, "sda12") == 0;
  CU_ASSERT_STRING_EQUAL (v[second].name, "sda12");
  CU_ASSERT_EQUAL (v[second].start, 10240 * 512);
  CU_ASSERT_EQUAL (v[second].size, 100 * 512);
  CU_ASSERT_EQUAL (v[!second].start, 2048 * 512);
  CU_ASSERT_EQUAL (disk_partitions (makedev (8, 0), v, 1), 1);
  attribute ("devices/sda/sda1/size", "36028797018963968\n");
  attribute ("devices/sda/sda12/size", "many\n");
  CU_ASSERT_EQUAL (disk_partitions (makedev (8, 0), v, 4), 0);
  CU_ASSERT_EQUAL (disk_partitions (makedev (8, 99), v, 4), 0);
  teardown ();
}

static bool
same (unsigned amaj, unsigned amin, unsigned bmaj, unsigned bmin)
{
  bool ab = disk_is_same (makedev (amaj, amin), makedev (bmaj, bmin));

  CU_ASSERT_EQUAL (ab, disk_is_same (makedev (bmaj, bmin),
                                     makedev (amaj, amin)));
  return ab;
}

static void
test_same (void)
{
  char loop[1200];
  struct stat st;

  setup ();
  CU_ASSERT (same (8, 0, 8, 0));
  CU_ASSERT (same (8, 0, 8, 1));
  CU_ASSERT (same (8, 1, 8, 12));
  CU_ASSERT (!same (8, 1, 8, 17));
  CU_ASSERT (!same (8, 0, 259, 0));
  CU_ASSERT (same (253, 0, 8, 1));
  CU_ASSERT (same (253, 0, 8, 16));
  CU_ASSERT (same (253, 1, 8, 32));
  CU_ASSERT (!same (253, 0, 253, 1));
  CU_ASSERT (!same (253, 9, 8, 0));
  CU_ASSERT (!same (1, 1, 2, 2));

  /* A loop device lies where its file lies. */
  CU_ASSERT_EQUAL (stat (root, &st), 0);
  device ("devices/loop0", 7, 0);
  snprintf (loop, sizeof loop, "%s\n", root);
  attribute ("devices/loop0/loop/backing_file", loop);
  CU_ASSERT (same (7, 0, major (st.st_dev), minor (st.st_dev)));
  CU_ASSERT (!same (7, 0, 8, 32));
  teardown ();
}

/* Where not all that lies below a device can be seen, and a disk below more
 * than anybody has.
 */
static void
test_stacks (void)
{
  char file[1200], place[64], name[16];
  unsigned found = 0;

  setup ();
  device ("devices/loop1", 7, 1);
  attribute ("devices/loop1/loop/backing_file", "/nowhere/x (deleted)\n");
  CU_ASSERT (same (7, 1, 7, 1));
  CU_ASSERT (!same (7, 1, 8, 16));

  /* A loop device over a device: sdb1. */
  attribute ("nodes/sdb1", "");
  device ("devices/loop2", 7, 2);
  snprintf (file, sizeof file, "%s/nodes/sdb1\n", root);
  attribute ("devices/loop2/loop/backing_file", file);
  fake_device = (struct fake_device) {
    .on = true, .type = S_IFBLK, .rdev = makedev (8, 17)
  };
  CU_ASSERT (same (7, 2, 8, 16));
  CU_ASSERT (same (7, 2, 9, 0));
  CU_ASSERT (!same (7, 2, 8, 0));
  call_reset ();

  device ("devices/dm-2", 253, 2);
  make_dirs ("devices/dm-2/slaves/gone");
  slave ("devices/dm-2", "sda1", "devices/sda/sda1");
  CU_ASSERT (same (253, 2, 8, 12));

  /* Itself, and as many as there is room for: more do no harm. */
  device ("devices/md1", 9, 1);
  for (unsigned i = 0; i < 40; i++) {
    snprintf (name, sizeof name, "disk%u", i);
    snprintf (place, sizeof place, "devices/%s", name);
    device (place, 66, i);
    slave ("devices/md1", name, place);
  }
  for (unsigned i = 0; i < 40; i++)
    found += same (9, 1, 66, i);
  CU_ASSERT_EQUAL (found, 31);
  teardown ();
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "labels (promise 20)", test_label },
    { "strange labels (promise 20)", test_strange_label },
    { "found again (promise 12)", test_find },
    { "gone (promise 12)", test_gone },
    { "partitions", test_partitions },
    { "the same disk (promise 22)", test_same },
    { "stacks of devices (promise 22)", test_stacks },
    { NULL }
  };

  return run_tests (argc, argv, "disk", tests);
}
