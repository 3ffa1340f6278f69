#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# README.md's commands: each line that is indented as a command is run here,
# and a line that this test doesn't know makes it fail.  So do files that
# README names and that aren't there.

# shellcheck source-path=SCRIPTDIR disable=SC2016,SC2154
. "$(dirname "$0")/../functions.sh"

readme=$abs_top_srcdir/README.md

# From a copy of the source, into a folder instead of the system; and what
# was installed there is used.
install_and_serve ()
{
  local filterdir plugindir remapctl

  cp -r "$abs_top_srcdir" source
  rm -rf source/build source/autom4te.cache
  (
    cd source
    eval "$1 DESTDIR=$tmp/root"
  ) >install.log 2>&1 || { tail -n 50 install.log; fail "$1"; }
  filterdir=$tmp/root$(pkg-config --variable=filterdir nbdkit)
  for f in remap baddisk; do
    [ -f "$filterdir/nbdkit-$f-filter.so" ] || fail "not installed: $f"
  done
  plugindir=$tmp/root$(pkg-config --variable=plugindir nbdkit)
  [ -f "$plugindir/nbdkit-direct-plugin.so" ] || fail "not installed: direct"
  for page in man1/nbdkit-remap-filter.1 man1/nbdkit-baddisk-filter.1 \
              man1/nbdkit-direct-plugin.1 man1/remapctl.1 \
              man5/remap-spare.5 man7/remap-promises.7; do
    find root -path "*/man/$page" | grep -q . || fail "not installed: $page"
  done
  remapctl=$(find root -path '*/bin/remapctl')
  "$remapctl" --version
  # Where examples/nbdkit-remap.logrotate looks for logs.
  truncate -s 1M logged.img
  if [ "$(id -u)" = 0 ]; then
    env -u REMAP_LOG_DIR "$remapctl" create --dry-run main_dev=logged.img \
        spare_dev=logged.spare >dry
    assert_grep '^Log file: +/var/log/nbdkit-remap/test_remap\.log$' dry
  fi
  find root -path '*/bash-completion/completions/remapctl' | grep -q . ||
    fail "not installed: the completion of remapctl"
  truncate -s 1M check.img
  "$REMAP_NBDKIT" -U - --filter="$filterdir/nbdkit-remap-filter.so" \
    file check.img spare=check.spare --run 'nbdinfo --size "$uri"' >size
  assert_equal "$(cat size)" 1048576 "size through the installed filter"
}

commands=0
while IFS= read -r line; do
  commands=$((commands + 1))
  echo "# $line"
  case "$line" in
    "examples/quickstart.sh [DISK [SPARE]]")
      # test-quickstart.sh runs it.
      [ -x "$abs_top_srcdir/examples/quickstart.sh" ] || fail "$line" ;;
    "tests/run.sh [core|auto|perf|hardening|debug]")
      # What runs this test: so only its words are looked at.
      "$abs_top_srcdir/tests/run.sh" --help
      for word in core auto perf hardening debug; do
        assert_grep "^$word +[a-z]" "$abs_top_srcdir/tests/list.txt"
      done ;;
    "apt-get build-dep ./ && "*|"apt-get install ../"*)
      # tests/packages/check-packages.sh does it, in a new Debian: so it has to
      # have these words, whatever options there are between them.
      for word in $line; do
        case "$word" in
          apt-get|-*|'&&') ;;
          *) grep -qF -- "${word#../}" \
                  "$abs_top_srcdir/tests/packages/check-packages.sh" ||
               fail "check-packages.sh doesn't do this: $line" ;;
        esac
      done ;;
    "apt-get install "*)
      # Installed or not, there are such packages.
      if command -v apt-get >/dev/null; then
        eval "${line/install/-s install}" >packages 2>&1 || {
          cat packages
          fail "$line"
        }
      fi ;;
    "autoreconf -i && ./configure && make && make install")
      install_and_serve "$line" ;;
    "nbdkit -U main.sock --filter=remap file main.img spare=spare.img remap-control=main.ctl")
      truncate -s 1M main.img
      eval "$line --run 'nbdinfo --size \"\$uri\"'" >size
      assert_equal "$(cat size)" 1048576 "$line" ;;
    "uri='nbd+unix:///?socket=/run/nbdkit-remap/my_remap.nbd'")
      # test-readme-table.sh uses it.
      ;;
    "nbdkit -U sdX.sock --filter=remap direct /dev/sdX spare=/mnt/other/sdX.spare remap-control=sdX.ctl")
      # test-direct-failing-disk.sh does it with a device; here, a file.
      truncate -s 1M sdX.img
      line=${line//\/dev\/sdX/sdX.img}
      eval "${line//\/mnt\/other\//} --run 'nbdinfo --size \"\$uri\"'" >size
      assert_equal "$(cat size)" 1048576 "$line" ;;
    *)
      fail "README.md has a command that no test runs: $line" ;;
  esac
done < <(sed -n 's/^    \([a-z].*\)/\1/p' "$readme")
[ "$commands" -ge 4 ] || fail "only $commands commands found in README.md"

# Names in the text: files of the tree, parameters of the filters.
grep -oE '\((core|ctl|tests|filter|plugin|examples)/[a-zA-Z0-9_.@/-]+\)' \
     "$readme" |
  tr -d '()' | while read -r f; do
    [ -e "$abs_top_srcdir/$f" ] || fail "README.md names $f"
  done
for p in $(grep -oE '\b(spare|remap)-[a-z-]+=' "$readme" | tr -d = | sort -u); do
  assert_grep "B<$p=>" "$abs_top_srcdir/filter/remap/nbdkit-remap-filter.pod"
done
