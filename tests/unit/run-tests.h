/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a unit test's main ends with.
 */

#ifndef RUN_TESTS_H
#define RUN_TESTS_H

/* The last one of a list has no name. */
struct unit_test {
  const char *name;
  void (*fn) (void);
};

/* Runs the tests whose names contain ARGV[1], if there is one.  Returns the
 * status of the program.
 */
extern int run_tests (int argc, char *argv[], const char *suite,
                      const struct unit_test *tests);

#endif /* RUN_TESTS_H */
