#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Builds this project and runs its tests, on a fresh Debian 12 or 13 too:
#
#   tests/run.sh [OPTION...] [CATEGORY|NAME...]
#
# The categories are core, auto, perf, hardening and debug; without a word
# all tests of these are run (under ten minutes on two processors).  The
# category guest, tests with a kernel of their own under QEMU's emulation,
# runs if it is named.  A test can be named as well; list.txt has all names.
#
#   --valgrind          the tests marked for it, under valgrind
#   --sanitizers=LIST   a build with -fsanitize=LIST: address,undefined or
#                       thread; the tests marked for it
#   --verbose           show what the build prints
#   --jobs N            tests at a time
#
# Debian packages that are missing are installed first (root, or sudo).
# The last line is: N passed, N failed, N skipped; the status is 0 if
# nothing failed.  Everything that this makes is in build/.

set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
variant=plain
groups="build run test"
configure_args=(--enable-gcc-warnings)
build_flags=()
runner_flags=()
words=()

usage ()
{
  sed -n '/^#   tests\/run.sh/,/^# nothing failed/s/^# \{0,1\}//p' "$0"
}

while [ $# -gt 0 ]; do
  case "$1" in
    --help|-h) usage; exit 0 ;;
    --valgrind)
      runner_flags+=(--valgrind)
      groups+=" ci"
      ;;
    --sanitizers=*)
      variant=${1#--sanitizers=}
      configure_args+=("--enable-sanitizers=$variant")
      # A name without a comma, which would end up in a path.
      variant=${variant//,/-}
      ;;
    --verbose) build_flags+=(--verbose) ;;
    --jobs) runner_flags+=(--jobs "$2"); shift ;;
    -*) echo "$0: unknown option: $1 (see --help)" >&2; exit 2 ;;
    guest*) words+=("$1") groups+=" guest" ;;
    *) words+=("$1") ;;
  esac
  shift
done

if ! command -v apt-get >/dev/null; then
  echo "$0: this is made for Debian 12 and 13; elsewhere:" \
       "autoreconf -i && ./configure && make check" >&2
  exit 2
fi

# A failure to build counts as one failed test: the last line is the same
# in every case.
if ! builddir=$("$here/build.sh" --packages "$groups" "${build_flags[@]}" \
                "$variant" "${configure_args[@]}" | tail -n 1); then
  echo "FAIL: the build"
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi
exec "$builddir/run" "$builddir/../src/tests/runner.sh" "${runner_flags[@]}" \
     "${words[@]}"
