/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "run-tests.h"

int
run_tests (int argc, char *argv[], const char *suite_name,
           const struct unit_test *tests)
{
  CU_pSuite suite;
  unsigned failures;

  setvbuf (stdout, NULL, _IOLBF, 0);
  if (CU_initialize_registry () != CUE_SUCCESS ||
      (suite = CU_add_suite (suite_name, NULL, NULL)) == NULL)
    return EXIT_FAILURE;
  for (; tests->name; tests++) {
    if (argc > 1 && strstr (tests->name, argv[1]) == NULL)
      continue;
    if (CU_add_test (suite, tests->name, tests->fn) == NULL)
      return EXIT_FAILURE;
  }
  CU_basic_set_mode (CU_BRM_VERBOSE);
  CU_basic_run_tests ();
  failures = CU_get_number_of_failures ();
  CU_cleanup_registry ();
  return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
