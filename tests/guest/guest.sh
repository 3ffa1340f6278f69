# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Helpers of the guest tests (bash): a throw-away machine under QEMU's
# emulation with Debian's kernel, in which a shell script runs as root.  So
# the kernel's nbd client, SCSI disks with medium errors and disks that
# vanish can be tested anywhere, without KVM and without touching the
# machine that the tests run on.
#
# A test sources this after functions.sh, and does:
#
#   guest_start NAME SCRIPT [QEMU-ARG...]
#   guest_await TEXT         until the guest says it (see `say' in init)
#   guest_end                waits for the script's end, which must be well
#
# or guest_run, which is start and end.  What the guest prints is in
# NAME.serial; the script is given the files in $guest_files (host paths,
# found in /files).  The host is 10.0.2.2 for the guest.
#
# The kernel's package and the file system with the programs (from the
# packages that are installed here) are kept in REMAP_GUEST_CACHE (default:
# /var/cache/nbdkit-remap-guest, or below the build directory).
#
# shellcheck shell=bash

# functions.sh's.
abs_top_builddir=${abs_top_builddir:?}
tmp=${tmp:?}

here_guest=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
guest_programs=(busybox blockdev dash dmsetup e2fsck fio losetup mkfs.ext4
                nbd-client nbdcopy nbdfuse nbdinfo ddrescue ddrescuelog
                fallocate)
guest_modules=(virtio_pci virtio_net virtio_blk virtio_scsi virtio_rng nbd loop
               fuse scsi_debug sd_mod sr_mod dm-mod dm-flakey ext4 crc32c_generic
               crct10dif_generic)
guest_plugins=(file memory)
guest_filters=(delay error log offset)
guest_files=()

guest_requires ()
{
  [ "$(uname -m)" = x86_64 ] || skip "guests are made for x86-64 only"
  requires_program qemu-system-x86_64 cpio modprobe depmod dpkg apt-get \
                   flock "${guest_programs[@]}"
  requires_plugin "${guest_plugins[@]}"

  guest_cache=${REMAP_GUEST_CACHE:-}
  if [ -z "$guest_cache" ]; then
    guest_cache=/var/cache/nbdkit-remap-guest
    mkdir -p "$guest_cache" 2>/dev/null && [ -w "$guest_cache" ] ||
      guest_cache=$abs_top_builddir/../guest
  fi
  mkdir -p "$guest_cache"
  # One test makes what is missing, others wait for it.
  exec {guest_lock}>"$guest_cache/lock"
  flock "$guest_lock"
  guest_find_kernel
  guest_make_base
  exec {guest_lock}>&-
}

guest_requires_sectors ()
{
  [ -x "$abs_top_builddir/tests/sectors" ] ||
    skip "tests/sectors was not built, as libnbd was missing"
}

# Unpacked, not installed: nothing of this machine changes.
guest_find_kernel ()
{
  local package

  package=$(apt-cache depends --important linux-image-amd64 |
              awk '/Depends:/ { print $2; exit }')
  [ -n "$package" ] || skip "apt knows no package linux-image-amd64"
  guest_kernel=$guest_cache/$package
  if [ ! -e "$guest_kernel/complete" ]; then
    rm -rf "$guest_kernel"
    mkdir -p "$guest_kernel"
    (cd "$guest_kernel" &&
       apt-get -qq -o APT::Sandbox::User=root download "$package") ||
      fail "the package $package can't be downloaded"
    dpkg -x "$guest_kernel"/*.deb "$guest_kernel"
    rm "$guest_kernel"/*.deb
    guest_version=$(ls "$guest_kernel/lib/modules")
    depmod -b "$guest_kernel" "$guest_version"
    touch "$guest_kernel/complete"
  fi
  guest_version=$(ls "$guest_kernel/lib/modules")
}

# copy_libraries ROOT FILE...: the libraries, to where they are here.
copy_libraries ()
{
  local root=$1 lib
  shift

  # A static program is an error for ldd.
  { ldd "$@" 2>/dev/null || :; } |
    awk '/:$/ { next }
         $2 == "=>" && $3 ~ /^\// { print $3 }
         NF == 2 && $1 ~ /^\// { print $1 }' | sort -u |
    while read -r lib; do
      [ -e "$root$lib" ] || install -D "$lib" "$root$lib"
    done
}

guest_copy_modules ()
{
  local root=$1 module file modules=lib/modules/$guest_version

  for module in "${guest_modules[@]}"; do
    modprobe -d "$guest_kernel" -S "$guest_version" --show-depends \
             --ignore-install "$module" 2>/dev/null |
      awk '$1 == "insmod" { print $2 }'
  done | sort -u |
    while read -r file; do
      install -D -m 644 "$file" "$root/$modules/${file#*/"$modules"/}"
    done
  cp "$guest_kernel/$modules"/modules.{order,builtin}* "$root/$modules/"
  depmod -b "$root" "$guest_version"
}

guest_pack ()
{
  (cd "$1" && find . | cpio -o -H newc -R 0:0 --quiet)
}

guest_make_base ()
{
  local key root program name so

  key=$({
    cat "$here_guest/guest.sh" "$here_guest/init"
    echo "$guest_version"
    dpkg-query -W nbdkit busybox-static nbd-client fio e2fsprogs dmsetup \
               gddrescue libnbd-bin
  } | sha256sum | cut -c 1-16)
  guest_base=$guest_cache/base-$key.cpio
  [ ! -s "$guest_base" ] || return 0
  rm -f "$guest_cache"/base-*.cpio

  root=$tmp/guest-root
  mkdir -p "$root"/{bin,dev,etc,files,lib,mnt,proc,root,run,sys,tmp,usr/bin}
  ln -s bin "$root/sbin"
  ln -s ../bin "$root/usr/sbin"
  for program in "${guest_programs[@]}" "$REMAP_NBDKIT"; do
    name=$(basename "$program")
    program=$(readlink -f "$(command -v "$program")")
    cp "$program" "$root/bin/$name"
    copy_libraries "$root" "$program"
  done
  for name in $(busybox --list); do
    [ -e "$root/bin/$name" ] || ln -s busybox "$root/bin/$name"
  done
  ln -sf dash "$root/bin/sh"
  for name in "${guest_plugins[@]}"; do
    so=$(pkg-config --variable=plugindir nbdkit)/nbdkit-$name-plugin.so
    install -D "$so" "$root$so"
    copy_libraries "$root" "$so"
  done
  for name in "${guest_filters[@]}"; do
    so=$(pkg-config --variable=filterdir nbdkit)/nbdkit-$name-filter.so
    install -D "$so" "$root$so"
    copy_libraries "$root" "$so"
  done
  guest_copy_modules "$root"
  cp /etc/mke2fs.conf "$root/etc/"
  echo "root:x:0:0:root:/root:/bin/sh" >"$root/etc/passwd"
  echo "root:x:0:" >"$root/etc/group"
  echo "127.0.0.1 localhost" >"$root/etc/hosts"
  ln -s /proc/mounts "$root/etc/mtab"
  install -m 755 "$here_guest/init" "$root/init"
  guest_pack "$root" >"$guest_base.new"
  mv "$guest_base.new" "$guest_base"
  rm -rf "$root"
}

# guest_start NAME SCRIPT [QEMU-ARG...]
guest_start ()
{
  local root=$tmp/guest-files file
  guest_name=$1
  local script=$2
  shift 2

  rm -rf "$root"
  mkdir -p "$root/files"
  cp "$script" "$root/files/script"
  cp "$here_guest/in-guest.sh" "$REMAP_FILTER" "$BADDISK_FILTER" "$root/files/"
  cp "$DIRECT_PLUGIN" "$abs_top_builddir/ctl/remapctl" "$root/files/"
  # Not built without libnbd.
  cp "$abs_top_builddir/tests/sectors" "$root/files/" 2>/dev/null || :
  for file in "${guest_files[@]}"; do
    cp "$file" "$root/files/"
  done
  for file in "$root"/files/*; do
    copy_libraries "$root" "$file"
  done
  { cat "$guest_base"; guest_pack "$root"; } >"$guest_name.initrd"
  rm -rf "$root"

  qemu-system-x86_64 -accel tcg -cpu max -smp 1 -m 1024 -M q35 -nodefaults \
    -kernel "$guest_kernel/boot/vmlinuz-$guest_version" \
    -initrd "$guest_name.initrd" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off log_buf_len=16M \
no_timer_check" \
    -display none -serial "file:$guest_name.serial" -no-reboot \
    -device virtio-rng-pci \
    -netdev user,id=net0 -device virtio-net-pci,netdev=net0,romfile= \
    "$@" </dev/null >"$guest_name.qemu.log" 2>&1 &
  guest_pid=$!
  cleanup_fn guest_kill "$guest_pid"
}

guest_kill ()
{
  kill -KILL "$1" 2>/dev/null || :
  wait "$1" 2>/dev/null || :
}

# Has the guest said this line?
guest_said ()
{
  [ -e "$guest_name.serial" ] || return 1
  tr -d '\r' <"$guest_name.serial" | grep -qx -e "GUEST: $1"
}

# guest_await TEXT: until the guest says it.  The test's own time is limited,
# that of the guest isn't: emulation is slow.
guest_await ()
{
  until guest_said "$1"; do
    if ! kill -0 "$guest_pid" 2>/dev/null; then
      guest_said "$1" && return 0
      guest_show
      fail "the guest ended before it said: $1"
    fi
    sleep 0.1
  done
}

guest_show ()
{
  tr -d '\r' <"$guest_name.serial" 2>/dev/null | tail -n 100
  cat "$guest_name.qemu.log"
}

# guest_end: waits for the guest's end; its script must have ended well.
guest_end ()
{
  local status=0

  wait "$guest_pid" || status=$?
  guest_show
  [ "$status" -eq 0 ] || fail "QEMU ended with status $status"
  guest_said "status 77" && skip "the guest: $(tr -d '\r' \
    <"$guest_name.serial" | grep -m 1 '^SKIP: ' | cut -c 7-)"
  guest_said "status 0" || fail "the guest's script failed"
}

guest_run ()
{
  guest_start "$@"
  guest_end
}
