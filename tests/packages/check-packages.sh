#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
#   tests/packages/check-packages.sh [--all]
#
# The Debian packages, in a minimal system of their own, as root (.ci/run makes
# such systems): built from the source tree with nothing but what
# debian/control names, looked at by lintian, installed with apt, tried, held
# back together with nbdkit, and purged.  With --all also what takes longer:
# debian/tests under autopkgtest, nbdkit-remap-rebuild for a filter that doesn't
# fit, and an upgrade from an older version.
#
# Prints a line for each step, and last `N passed, N failed, N skipped'.

set -u -o pipefail

all=
[ "${1:-}" != --all ] || all=yes
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DEBIAN_FRONTEND=noninteractive
passed=0 failed=0

# step NAME COMMAND...: runs it, and shows what it said if it failed.
step ()
{
  local name=$1 begin=$SECONDS
  shift

  if "$@" >"$work/log" 2>&1; then
    printf 'PASS: packages   %-28s %3d s\n' "$name" $((SECONDS - begin))
    passed=$((passed + 1))
  else
    printf 'FAIL: packages   %-28s %3d s\n' "$name" $((SECONDS - begin))
    tail -n 60 "$work/log"
    failed=$((failed + 1))
    return 1
  fi
}

get ()
{
  apt-get install -y -q --no-install-recommends "$@"
}

prepare ()
{
  mkdir "$work/src" &&
    tar -C "$top" --exclude=./build --exclude-vcs -cf - . |
      tar -C "$work/src" -xf - &&
    apt-get update -q &&
    get build-essential lintian &&
    cd "$work/src" && apt-get build-dep -y -q --no-install-recommends ./
}

build ()
{
  cd "$work/src" && dpkg-buildpackage -b -us -uc
}

# Debian's own releases are what lintian knows of; the version says that this
# isn't one.
look ()
{
  lintian --allow-root --fail-on error,warning --show-overrides \
          --profile debian "$work"/*.changes
}

install_them ()
{
  get "$work"/nbdkit-remap_*.deb "$work"/nbdkit-remap-tools_*.deb libnbd-bin \
      python3-libnbd
}

# apt with a mirror that has one package: nbdkit in VERSION.
apt_with_nbdkit ()
{
  local version=$1 mirror=$work/mirror
  shift

  rm -rf "$mirror"
  mkdir -p "$mirror/lists/partial" &&
    sed -i "s/^Version: .*/Version: $version/" "$work/nbdkit/DEBIAN/control" &&
    dpkg-deb -b "$work/nbdkit" "$mirror/" &&
    (cd "$mirror" && dpkg-scanpackages . >Packages) &&
    echo "deb [trusted=yes] file:$mirror ./" >"$mirror/sources.list" || return 1
  set -- -o "Dir::Etc::sourcelist=$mirror/sources.list" \
         -o Dir::Etc::sourceparts=/dev/null \
         -o "Dir::State::lists=$mirror/lists" "$@"
  apt-get "${@:1:6}" update && apt-get "$@"
}

# apt upgrades nbdkit to another package of its version, and not to another
# version, as long as the filter isn't there for that.
held ()
{
  local version

  version=$(dpkg-query -W -f '${Version}' nbdkit) && version=${version%-*} &&
    mkdir "$work/download" && cd "$work/download" &&
    apt-get download nbdkit && dpkg-deb -R nbdkit_*.deb "$work/nbdkit" &&
    apt_with_nbdkit "$version-99" -s upgrade >same &&
    apt_with_nbdkit "$version.1-1" -s upgrade >micro &&
    apt_with_nbdkit "999.0-1" -s upgrade >other &&
    # Without the filter it would be, or else nothing is tested.
    apt_with_nbdkit "999.0-1" -s install nbdkit-remap- nbdkit >without ||
    return 1
  tail -n 100 same micro other without
  grep '^Inst nbdkit ' same && grep '^Inst nbdkit ' without &&
    ! grep '^Inst ' micro && ! grep '^Inst ' other
}

serve ()
{
  "$work/src/debian/tests/serve"
}

# debian/tests/serve and rebuild, as Debian's machines run them.
autopkgtest_them ()
{
  get autopkgtest &&
    autopkgtest "$work"/nbdkit-remap_*.deb "$work"/nbdkit-remap-tools_*.deb \
                "$work/src" -- null
}

# A filter of another version: create and the unit name nbdkit-remap-rebuild,
# and that helps.
stale ()
{
  local dir filter unit check server

  dir=$(nbdkit --dump-config | sed -n 's/^filterdir=//p')
  filter=$dir/nbdkit-remap-filter.so
  server=$(nbdkit --dump-config | sed -n 's/^version=//p')
  unit=$(dpkg -L nbdkit-remap-tools | grep '/nbdkit-remap@\.service$')
  check=$(sed -n "s|^ExecStartPre=/bin/sh -c '\(.*dump-plugin.*\)'\$|\1|p" \
              "$unit")
  [ -n "$check" ] && sh -c "$check" || return 1
  # The version is a string of the filter: its last digit is changed.
  grep -c "${server//./\\.}" "$filter" &&
    LC_ALL=C sed -i "s/\x00${server//./\\.}\x00/\x00${server%?}x\x00/g" \
                 "$filter" &&
    truncate -s 8M "$work/disk.img" || return 1
  ! remapctl create dm_name=stale main_dev="$work/disk.img" \
    spare_dev="$work/disk.spare" >"$work/said" 2>&1 &&
    cat "$work/said" && grep nbdkit-remap-rebuild "$work/said" &&
    ! sh -c "$check" >"$work/said" 2>&1 &&
    cat "$work/said" && grep nbdkit-remap-rebuild "$work/said" || return 1
  nbdkit-remap-rebuild &&
    dpkg-query -W -f '${Version}\n' nbdkit-remap | grep -F "+nbdkit$server" &&
    sh -c "$check" &&
    "$work/src/debian/tests/serve"
}

# From a version that sorts before this one.
upgrade ()
{
  local new="$work/new" old="$work/old" package

  mkdir "$new" "$old" &&
    cp "$work"/nbdkit-remap_*.deb "$work"/nbdkit-remap-tools_*.deb "$new" ||
    return 1
  for package in nbdkit-remap nbdkit-remap-tools; do
    dpkg-deb -R "$new/$package"_*.deb "$old/$package" &&
      sed -i "s/^Version: .*/Version: 0.0.1/;
              s/nbdkit-remap-tools (= [^)]*)/nbdkit-remap-tools (= 0.0.1)/" \
          "$old/$package/DEBIAN/control" &&
      dpkg-deb -b "$old/$package" "$old/" || return 1
  done
  apt-get remove -y -q nbdkit-remap nbdkit-remap-tools &&
    get "$old"/*.deb &&
    mkdir -p /etc/nbdkit-remap /var/lib/nbdkit-remap &&
    echo 'REMAP_ARGS="memory 1M"' >/etc/nbdkit-remap/mine.conf &&
    get "$new"/*.deb &&
    grep -q 'memory 1M' /etc/nbdkit-remap/mine.conf &&
    [ "$(dpkg-query -W -f '${Version}' nbdkit-remap)" != 0.0.1 ]
}

# What the administrator has written stays; logs and state go.
purge ()
{
  local left

  apt-get purge -y -q nbdkit-remap nbdkit-remap-tools || return 1
  rm -rf /etc/nbdkit-remap
  left=$(find / -xdev \( -name '*nbdkit-remap*' -o -name 'remapctl*' \
                         -o -name '*baddisk*' \) \
              -not -path "$work/*" -not -path "$top/*" \
              -not -path '/proc/*' -not -path '/tmp/*' \
              -not -path '/var/lib/dpkg/*' -not -path '/var/lib/systemd/*')
  [ -z "$left" ] || { echo "left: $left"; return 1; }
}

if step "what the build needs" prepare && step build build; then
  step lintian look
  if step install install_them; then
    step serve serve
    step "held back with nbdkit" held
    [ -z "$all" ] || step autopkgtest autopkgtest_them
    [ -z "$all" ] || step "rebuild for another nbdkit" stale
    [ -z "$all" ] || step upgrade upgrade
    step purge purge
  fi
fi
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
