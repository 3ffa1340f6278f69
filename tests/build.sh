#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Installs the Debian packages that are missing, and builds, without
# leaving anything in the source tree but the folder build/.
#
#   build.sh [--packages "GROUP..."] [--verbose] VARIANT [CONFIGURE-ARG...]
#
# copies the source to build/src, makes `configure' there, and builds in
# build/VARIANT.  What is up to date is not built again.  The last line of
# the output is the path of that folder; `FOLDER/run nbdkit ...' uses it.
#
#   --packages   groups of packages.txt to install (default: build)
#   --verbose    show what the build prints, not only if it fails
#
# REMAP_BUILD=DIR is used instead of build/ (needed if the source can't be
# written to).  Root, or sudo, is needed only if packages are missing.

set -eu -o pipefail

source_dir=$(cd "$(dirname "$0")/.." && pwd)
base=${REMAP_BUILD:-$source_dir/build}
groups=build
verbose=

while [ $# -gt 0 ]; do
  case "$1" in
    --packages) groups=$2; shift ;;
    --verbose) verbose=1 ;;
    -*) echo "$0: unknown option: $1" >&2; exit 2 ;;
    *) break ;;
  esac
  shift
done
[ $# -ge 1 ] || { echo "$0: which variant?" >&2; exit 2; }
variant=$1
shift

say ()
{
  echo "$*" >&2
}

# quietly LOG COMMAND [ARG...]: the output goes to a log, whose end is shown
# if the command fails.
quietly ()
{
  local log=$1
  shift
  if [ -n "$verbose" ]; then
    "$@" 2>&1 </dev/null | tee "$log" >&2
  elif ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 60 "$log" >&2
    say "failed: $* (log: $log)"
    exit 1
  fi
}

install_packages ()
{
  local group package missing=() wanted=() as_root=()

  while read -r group package; do
    case " $groups " in
      *" $group "*) wanted+=("$package") ;;
    esac
  done < <(grep -v -e '^#' -e '^$' "$source_dir/tests/packages.txt")

  for package in $(printf '%s\n' "${wanted[@]}" | sort -u); do
    # The state, not the existence: a removed package is listed as well.
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" \
         2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      say "These packages are missing, and only root can install them:"
      say "  ${missing[*]}"
      exit 1
    }
    as_root=(sudo)
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  say "installing ${#missing[@]} packages: ${missing[*]}"
  # The lists of packages may be missing, or older than the mirror.
  if ! "${as_root[@]}" apt-get -qq -y --no-install-recommends install \
       "${missing[@]}" >"$base/apt.log" 2>&1 </dev/null; then
    quietly "$base/apt.log" "${as_root[@]}" apt-get -qq update
    quietly "$base/apt.log" "${as_root[@]}" apt-get -qq -y \
            --no-install-recommends install "${missing[@]}"
  fi
}

# The source as it is, without what a build in the tree may have left
# there.  Only files that differ are replaced, so that make sees what
# changed, whichever way their times went.
copy_source ()
{
  local new=$base/src.new old=$base/src file excludes=()

  rm -rf "$new"
  mkdir -p "$new" "$old"
  # Folders in which somebody builds, this one included.
  while read -r file; do
    excludes+=("--exclude=$(dirname "$file")")
  done < <(cd "$source_dir" &&
             find . -mindepth 2 -maxdepth 3 -name config.status)
  case "$base" in
    "$source_dir"/*) excludes+=("--exclude=.${base#"$source_dir"}") ;;
  esac
  tar -C "$source_dir" -cf - --exclude-vcs "${excludes[@]}" \
      --exclude=./build --exclude=./autom4te.cache \
      --exclude=./aclocal.m4 --exclude=./build-aux --exclude=./configure \
      --exclude=./config.h --exclude=./config.h.in --exclude=./config.log \
      --exclude=./config.status --exclude=./libtool --exclude=./stamp-h1 \
      --exclude=./run --exclude=./tests/bin/nbdkit --exclude=./tests/logs \
      --exclude=Makefile --exclude=Makefile.in --exclude=.deps \
      --exclude=.libs --exclude='*.o' --exclude='*.lo' --exclude='*.la' \
      --exclude='*.so' --exclude='*.img' . |
    tar -C "$new" -xf -

  (cd "$new" && find . -type f | sort) >"$base/files.new"
  if [ -f "$base/files" ]; then
    comm -23 "$base/files" "$base/files.new" |
      (cd "$old" && xargs -d '\n' -r rm -f)
  fi
  while read -r file; do
    if ! cmp -s "$new/$file" "$old/$file"; then
      mkdir -p "$(dirname "$old/$file")"
      cp --preserve=mode "$new/$file" "$old/$file"
    fi
  done <"$base/files.new"
  mv "$base/files.new" "$base/files"
  rm -rf "$new"
}

configure_and_make ()
{
  local srcdir=$base/src builddir=$base/$variant key module

  mkdir -p "$builddir"
  # One autoreconf at a time, and one build at a time in each folder.
  exec 9>"$base/lock"
  flock 9
  copy_source
  if [ ! -x "$srcdir/configure" ] ||
     [ "$srcdir/configure.ac" -nt "$srcdir/configure" ]; then
    (cd "$srcdir" && quietly "$base/autoreconf.log" autoreconf -i)
  fi
  cd "$builddir"
  # Configured before, with these arguments, this configure, and the same
  # libraries?  An nbdkit that was upgraded refuses older filters, and what
  # only the tests need may have been installed since.
  key=$*
  for module in nbdkit liburcu-bp ext2fs blkid liburing jansson cairo \
                sqlite3 libmicrohttpd cunit libnbd; do
    key+=" $module=$(pkg-config --modversion "$module" 2>/dev/null || :)"
  done
  if [ ! -f config.status ] || [ "$srcdir/configure" -nt config.status ] ||
     [ "$(cat configure.key 2>/dev/null)" != "$key" ]; then
    quietly configure.log ../src/configure "$@"
    # make doesn't know that the compiler's options may have changed.
    quietly make.log make clean
    echo "$key" >configure.key
  fi
  quietly make.log make -j"$(nproc)" all
  quietly make-tests.log make -j"$(nproc)" -C tests build-tests
  exec 9>&-
}

mkdir -p "$base"
base=$(cd "$base" && pwd)
install_packages
say "building ($variant)"
configure_and_make "$@"
echo "$base/$variant"
