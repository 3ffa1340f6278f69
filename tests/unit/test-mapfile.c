/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Mapfiles and badblocks lists: what is understood, what is refused and in
 * which words, and that no input crashes the parser (promise 23 of
 * remap-promises(7)).  test-bad-lists.c has the other lists.
 *
 * TEST_SEED=N repeats a run of the random tests.  Linked with --wrap, see
 * fail-malloc.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "fail-malloc.h"
#include "base/bad-list.h"

static uint64_t seed;

static struct list_about about;         /* the last list */
static const struct list_options of_512 = { .block = 512 };

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
parse_exact (const char *text, size_t len, uint32_t block,
             struct area_list *list, struct message *message)
{
  const struct list_options options = { .block = block };
  char *copy = malloc (len ? len : 1);
  int r;

  CU_ASSERT_PTR_NOT_NULL_FATAL (copy);
  memcpy (copy, text, len);
  r = bad_list_parse (copy, len, &options, list, &about, message);
  free (copy);
  return r;
}

/* The result as "offset+count offset+count ...", or the message. */
static const char *
parsed (const char *text, size_t len, uint32_t block)
{
  static char out[4096];
  struct area_list list;
  struct message message = { "no message" };
  size_t used = 0;
  int r;

  r = parse_exact (text, len, block, &list, &message);
  if (r != 0) {
    CU_ASSERT_EQUAL (r, EINVAL);
    CU_ASSERT_PTR_NULL (list.v);
    snprintf (out, sizeof out, "%s", message.text);
    return out;
  }
  out[0] = '\0';
  for (size_t i = 0; i < list.n && used < sizeof out; i++)
    used += (size_t) snprintf (out + used, sizeof out - used,
                               "%s%" PRIu64 "+%" PRIu64, i ? " " : "",
                               list.v[i].offset, list.v[i].count);
  area_list_free (&list);
  return out;
}

static void
check (const char *text, const char *wanted)
{
  const char *got = parsed (text, strlen (text), 1024);

  if (strcmp (got, wanted) != 0) {
    fprintf (stderr, "\ntext:\n%s\ngot:    %s\nwanted: %s\n", text, got,
             wanted);
    CU_FAIL ("result differs");
  }
}

/* The message must begin with LINE and hold WHY. */
static void
check_refused (const char *text, size_t len, unsigned line, const char *why)
{
  const char *got = parsed (text, len, 1024);
  char begin[32];

  snprintf (begin, sizeof begin, "line %u: ", line);
  if (strncmp (got, begin, strlen (begin)) != 0 || !strstr (got, why)) {
    fprintf (stderr, "\ntext:\n%s\ngot:    %s\nwanted: %s...%s\n", text, got,
             begin, why);
    CU_FAIL ("message differs");
  }
}

static void
refused (const char *text, unsigned line, const char *why)
{
  check_refused (text, strlen (text), line, why);
}

/* As ddrescue 1.27 wrote it. */
static const char mapfile[] =
  "# Mapfile. Created by GNU ddrescue version 1.27\n"
  "# Command line: ddrescue -d -c18 /dev/sdx image mapfile\n"
  "# Start time:   2026-07-21 09:37:44\n"
  "# Current time: 2026-07-21 09:38:19\n"
  "# Copying non-tried blocks... Pass 1 (forwards)\n"
  "# current_pos  current_status  current_pass\n"
  "0x00120000     ?               1\n"
  "#      pos        size  status\n"
  "0x00000000  0x00117000  +\n"
  "0x00117000  0x00000200  -\n"
  "0x00117200  0x00001000  /\n"
  "0x00118200  0x00007E00  *\n"
  "0x00120000  0x00048000  ?\n"
  "0x00168000  0x00000400  -\n";

static void
test_mapfile (void)
{
  check (mapfile, "1142784+36864 1474560+1024");
  check ("0 ? 1\n0 512 -\n", "0+512");
  check ("0 ? 1\n", "");
  check ("0 F 1\n0 512 *\n", "0+512");
  check ("0 G 1\n0 512 /\n", "0+512");
  check ("0 +\n0 512 +\n512 512 ?\n", "");       /* before version 1.21 */
  check ("0x00 0x200 +\n0x200 0x200 -\n", "512+512"); /* no status line */
  check ("0 1 -\n", "0+1");
  check ("0 0 -\n", "");
  check ("0 512 - a word more\n", "0+512");
}

static void
test_numbers (void)
{
  check ("0x10 0X20 -\n", "16+32");
  check ("0xAbCdEf 1 -\n", "11259375+1");
  check ("010 0100 -\n", "8+64");
  check ("10 100 -\n", "10+100");
  check ("0x7fffffffffffffff 1 -\n", "9223372036854775807+1");
  check ("0xfffffffffffffffe 1 -\n", "18446744073709551614+1");
  check ("0x1000 0x7FFFFFFFFFFFEFFF -\n", "4096+9223372036854771711");
  refused ("0 1 -\n0x 1 -\n", 2, "'0x' is not a number");
  refused ("08 1 -\n", 1, "'08' is not an octal number");
  refused ("0xg 1 -\n", 1, "'0xg' is not a hexadecimal number");
  refused ("1a 1 -\n", 1, "'1a' is not a decimal number");
  refused ("-1 1 -\n", 1, "'-1' is not a decimal number");
  refused ("+1 1 -\n", 1, "'+1' is not a decimal number");
  refused ("0 -512 -\n", 1, "'-512' is not a decimal number");
  refused ("1M 1 -\n", 1, "'1M' is not a decimal number");
  refused ("18446744073709551616 1 -\n", 1, "too large");
  refused ("0x10000000000000000 1 -\n", 1, "too large");
  refused ("0 99999999999999999999999999 +\n", 1, "too large");
  refused ("0xffffffffffffffff 1 -\n", 1, "beyond 64 bits");
  refused ("0xffffffffffffffff 1 +\n", 1, "beyond 64 bits");
  refused ("0x8000000000000000 0x8000000000000000 -\n", 1, "beyond 64 bits");
  refused ("0 ? x\n", 1, "'x' is not a decimal number");
  refused ("0 ? 0x1\n", 1, "'0x1' is not a decimal number");
  refused ("x ? 1\n", 1, "'x' is not a decimal number");
}

static void
test_badblocks (void)
{
  check ("0\n2\n3\n7\n", "0+1024 2048+2048 7168+1024");
  check ("5\n1\n4\n1\n", "1024+1024 4096+2048");
  check ("  12\t\r\n", "12288+1024");
  check ("007\n", "7168+1024");                    /* decimal here */
  check ("1", "1024+1024");
  check ("18014398509481982\n", "18446744073709549568+1024");
  refused ("1\n18014398509481983\n", 2, "too large a block number");
  refused ("18446744073709551615\n", 1, "too large a block number");
  refused ("18446744073709551616\n", 1, "too large");
  refused ("-1\n", 1, "'-1' is not a decimal number");
  refused ("0x10\n", 1, "'0x10' is not a decimal number");
  refused ("1,2\n", 1, "'1,2' is not a decimal number");
  refused ("Pass completed, 0 bad blocks found.\n", 1, "'Pass'");
  CU_ASSERT_STRING_EQUAL (parsed ("3\n", 2, 512), "1536+512");
  CU_ASSERT_STRING_EQUAL (parsed ("3\n", 2, 1), "3+1");
  CU_ASSERT_STRING_EQUAL (parsed ("3\n", 2, UINT32_MAX),
                          "12884901885+4294967295");
  CU_ASSERT_STRING_EQUAL (parsed ("3\n", 2, 0), "the block size of a badblocks"
                          " list can't be 0");
}

static void
test_comments_and_space (void)
{
  check ("", "");
  check ("\n\n", "");
  check ("# nothing\n", "");
  check ("#", "");
  check ("   # nothing", "");
  check ("\n# a\n\n1 # b\n#3\n\t#4\n", "1024+1024");
  check ("0 512 - # c\n", "0+512");
  check ("0 512 # -\n", "line 1: '0' begins a line of two columns: expected "
         "\"position size status\" (ddrescue mapfile) or one block number "
         "(badblocks list); if these are start and count of sectors, as sysfs "
         "has them, say --format=ranges");
  check ("0\t\v\f512   -\r\n", "0+512");
  refused ("1#2\n", 1, "'1#2'");
  refused ("\n#\n\nx\n", 4, "'x'");
}

static void
test_order (void)
{
  check ("4096 512 -\n0 512 -\n", "0+512 4096+512");
  check ("512 512 -\n0 512 -\n", "0+1024");                  /* adjacent */
  check ("0 1024 -\n512 1024 *\n", "0+1536");                /* overlapping */
  check ("0 4096 -\n512 512 -\n", "0+4096");                 /* contained */
  check ("512 512 -\n0 4096 -\n", "0+4096");
  check ("0 512 -\n0 512 -\n", "0+512");
  check ("9216 512 -\n0 10240 -\n1024 512 /\n10240 512 *\n", "0+10752");
  check ("0 512 -\n512 512 +\n1024 512 -\n", "0+512 1024+512");
}

static void
test_mixtures (void)
{
  refused ("1\n0 512 -\n", 2, "lines before it are those of a badblocks list");
  refused ("0 512 -\n\n1\n", 3, "lines before it are those of a ddrescue");
  refused ("0 ? 1\n1\n", 2, "lines before it are those of a ddrescue");
  refused ("1\n0 ? 1\n", 2, "lines before it are those of a badblocks list");
  refused ("0 ? 1\n0 ? 1\n", 2, "is not a size");
  refused ("0 512 -\n0 ? 1\n", 2, "is not a size");
  refused ("0 512\n", 1, "two columns");
  refused ("0 512 x\n", 1, "'x' is not the status of a block");
  refused ("0 512 --\n", 1, "'--' is not the status of a block");
  refused ("0 512 F\n", 1, "'F' is not the status of a block");
  refused ("0 512 -512\n", 1, "'-512' is not the status of a block");
}

static void
test_bytes_that_are_not_text (void)
{
  check_refused ("1\0002\n", 4, 1, "'1?2'");
  check_refused ("\0", 1, 1, "'?'");
  check_refused ("0 512 \0\n", 8, 1, "'?' is not the status");
  check_refused ("0 \0 1\n", 6, 1, "'?' is not a decimal number");
  check_refused ("\x7f" "ELF\x02\x01\x01", 7, 1, "'?ELF");
  check_refused ("\xc3\xa4\n", 3, 1, "'?");
  refused ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", 1,
           "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'... is");
  CU_ASSERT_STRING_EQUAL (parsed ("12345", 2, 512), "6144+512");
}

/* A mapfile that was cut off anywhere is parsed, or refused, and never
 * read beyond its end.  Nothing shows that isn't bad in the whole file,
 * but for the one case that can't be told from a badblocks list: a file
 * whose only column that is left is "0".
 */
static void
test_truncated (void)
{
  for (size_t len = 0; len < sizeof mapfile - 1; len++) {
    struct area_list list;
    struct message message = { "" };
    const int r = parse_exact (mapfile, len, 1024, &list, &message);

    CU_ASSERT (r == 0 || r == EINVAL);
    CU_ASSERT_EQUAL (r == 0, message.text[0] == '\0');
    for (size_t i = 0; i < list.n; i++) {
      if (len > 0 && mapfile[len - 1] == '0' && mapfile[len - 2] == '\n')
        continue;
      CU_ASSERT (list.v[i].offset == 1142784 || list.v[i].offset == 1474560);
      CU_ASSERT (list.v[i].count <= 36864);
    }
    area_list_free (&list);
  }
}

static void
test_find (void)
{
  struct area v[] = { { 512, 512 }, { 4096, 1024 }, { UINT64_MAX - 512, 512 } };
  const struct area_list list = { v, 3 }, empty = { NULL, 0 };

  CU_ASSERT_PTR_NULL (area_list_find (&empty, 0, UINT64_MAX));
  CU_ASSERT_PTR_NULL (area_list_find (&list, 0, 512));
  CU_ASSERT_PTR_NULL (area_list_find (&list, 512, 0));
  CU_ASSERT_PTR_NULL (area_list_find (&list, 1024, 3072));
  CU_ASSERT_PTR_NULL (area_list_find (&list, 5120, 512));
  CU_ASSERT_PTR_EQUAL (area_list_find (&list, 0, 513), &v[0]);
  CU_ASSERT_PTR_EQUAL (area_list_find (&list, 1023, 1), &v[0]);
  CU_ASSERT_PTR_EQUAL (area_list_find (&list, 0, UINT64_MAX), &v[0]);
  CU_ASSERT_PTR_EQUAL (area_list_find (&list, 1024, 3073), &v[1]);
  CU_ASSERT_PTR_EQUAL (area_list_find (&list, 5119, UINT64_MAX - 5119), &v[1]);
  CU_ASSERT_PTR_EQUAL (area_list_find (&list, 5120, UINT64_MAX - 5120), &v[2]);
  CU_ASSERT_PTR_EQUAL (area_list_find (&list, UINT64_MAX - 1, 1), &v[2]);
}

/* What the parser promises of every list that it returns. */
static void
check_list (const struct area_list *list)
{
  for (size_t i = 0; i < list->n; i++) {
    const struct area *a = &list->v[i];
    uint64_t end;

    CU_ASSERT_FATAL (a->count > 0);
    CU_ASSERT_FATAL (!__builtin_add_overflow (a->offset, a->count, &end));
    CU_ASSERT_FATAL (i == 0 ||
                     a->offset > list->v[i-1].offset + list->v[i-1].count);
  }
}

/* Random areas against a plain array of flags. */
static void
test_model (void)
{
  enum { ROUNDS = 300, SPAN = 256, LINES = 60 };
  uint64_t state = seed;

  for (unsigned round = 0; round < ROUNDS; round++) {
    bool bad[SPAN] = { false };
    char text[LINES * 32];
    size_t len = 0;
    struct area_list list;
    struct message message;

    for (unsigned i = 0, n = (unsigned) (random_u64 (&state) % LINES); i < n;
         i++) {
      const unsigned offset = (unsigned) (random_u64 (&state) % SPAN);
      const unsigned count =
        (unsigned) (random_u64 (&state) % (SPAN - offset) % 20);
      const char status = "?*/-+"[random_u64 (&state) % 5];

      len += (size_t) snprintf (text + len, sizeof text - len, "%u 0x%x %c\n",
                                offset, count, status);
      if (status == '*' || status == '/' || status == '-')
        memset (bad + offset, 1, count);
    }
    CU_ASSERT_FATAL (parse_exact (text, len, 512, &list, &message) == 0);
    check_list (&list);
    for (unsigned i = 0; i < SPAN; i++)
      CU_ASSERT_EQUAL (area_list_find (&list, i, 1) != NULL, bad[i]);
    area_list_free (&list);
  }
}

/* Flips, inserts and cuts bytes of valid files. */
static void
test_mutations (void)
{
  static const char badblocks[] = "17\n4\n5\n123456789\n# end\n1\n";
  static const char interesting[] = "0123456789abcxX+-*/?# \t\r\n\0\xff";
  enum { ROUNDS = 100000 };
  uint64_t state = seed;
  unsigned accepted = 0;

  for (unsigned round = 0; round < ROUNDS; round++) {
    const bool which = random_u64 (&state) & 1;
    char text[1024];
    size_t len = which ? sizeof mapfile - 1 : sizeof badblocks - 1;
    struct area_list list;
    struct message message = { "" };
    int r;

    memcpy (text, which ? mapfile : badblocks, len);
    for (uint64_t n = 1 + random_u64 (&state) % 4; n > 0; n--) {
      const size_t at = (size_t) (random_u64 (&state) % len);
      const uint64_t what = random_u64 (&state);

      if (what % 8 == 0)
        len = at + 1;
      else if (what % 8 == 1) {
        memmove (text + at + 1, text + at, len - at);
        len++;
        text[at] = interesting[(what >> 8) % sizeof interesting];
      }
      else if (what % 8 < 5)
        text[at] = interesting[(what >> 8) % sizeof interesting];
      else
        text[at] = (char) (what >> 8);
    }
    r = parse_exact (text, len, 512, &list, &message);
    if (r == 0) {
      accepted++;
      check_list (&list);
    }
    else {
      CU_ASSERT_EQUAL_FATAL (r, EINVAL);
      CU_ASSERT_FATAL (strncmp (message.text, "line ", 5) == 0);
    }
    area_list_free (&list);
  }
  CU_ASSERT (accepted > ROUNDS / 100 && accepted < ROUNDS);
}

/* A long list in the worst order. */
static void
test_large (void)
{
  enum { N = 200000 };
  char *text = malloc (N * 8);
  size_t len = 0;
  struct area_list list;
  struct message message;

  CU_ASSERT_PTR_NOT_NULL_FATAL (text);
  for (unsigned i = N; i > 0; i--)
    len += (size_t) snprintf (text + len, N * 8 - len, "%u\n", i * 2);
  CU_ASSERT_FATAL (bad_list_parse (text, len, &of_512, &list, &about,
                                   &message) == 0);
  CU_ASSERT_EQUAL_FATAL (list.n, N);
  check_list (&list);
  CU_ASSERT_EQUAL (list.v[0].offset, 1024);
  CU_ASSERT_EQUAL (list.v[N - 1].offset, UINT64_C (1024) * N);
  area_list_free (&list);
  free (text);
}

/* Memory runs out while the list grows: the message says where. */
static void
test_no_memory (void)
{
  struct area_list list;
  struct message message;
  char text[4096] = "";
  size_t len = 0;
  unsigned n;
  int r;

  for (unsigned i = 0; i < 300; i++)
    len += snprintf (text + len, sizeof text - len, "%u\n", 2 * i);
  for (n = 1;; n++) {
    malloc_countdown = n;
    r = bad_list_parse (text, len, &of_512, &list, &about, &message);
    if (malloc_countdown > 0)
      break;
    CU_ASSERT_EQUAL (r, ENOMEM);
    CU_ASSERT_PTR_NULL (list.v);
    CU_ASSERT (strstr (message.text, "out of memory") != NULL);
    CU_ASSERT_EQUAL (strncmp (message.text, "line ", 5), 0);
  }
  malloc_countdown = 0;
  CU_ASSERT_EQUAL (r, 0);
  CU_ASSERT_EQUAL (list.n, 300);
  CU_ASSERT (n >= 3);
  area_list_free (&list);
}

int
main (void)
{
  static const struct {
    const char *name;
    void (*function) (void);
  } tests[] = {
    { "a mapfile", test_mapfile },
    { "numbers of a mapfile", test_numbers },
    { "a badblocks list", test_badblocks },
    { "comments and space", test_comments_and_space },
    { "areas in any order", test_order },
    { "mixtures of the formats", test_mixtures },
    { "bytes that are not text", test_bytes_that_are_not_text },
    { "truncated files", test_truncated },
    { "finding an area", test_find },
    { "random areas against a model", test_model },
    { "random mutations", test_mutations },
    { "a large list", test_large },
    { "a list without memory (promise 23)", test_no_memory },
  };
  const char *s = getenv ("TEST_SEED");
  CU_pSuite suite;
  unsigned failures;

  seed = s ? strtoull (s, NULL, 0) : (uint64_t) time (NULL);
  printf ("TEST_SEED=%" PRIu64 "\n", seed);

  if (CU_initialize_registry () != CUE_SUCCESS ||
      (suite = CU_add_suite ("mapfile", NULL, NULL)) == NULL)
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
