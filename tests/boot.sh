#!/bin/sh
# tests/boot.sh: boots a Debian tree with its own systemd as PID 1, in namespaces and a cgroup of its own, where there is
# no systemd-nspawn. For following doc/install.md to the letter; root's, cgroup v2, and not part of ./check.
#
#     debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps,ca-certificates bookworm TREE
#     tests/boot.sh TREE &
#     nsenter -t PID -a systemctl …       PID is that of its /lib/systemd/systemd; `systemctl poweroff` ends it
#
# The network is a loopback of its own: packages are installed by `nsenter -t PID -m apt-get …` or by chroot.
set -eu

if [ ! -x "${1:-}/lib/systemd/systemd" ]; then
    sed -n '5,7s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi
tree=$(cd "$1" && pwd)
own=$(sed -n 's/^[^ ]* \([^ ]*\) cgroup2 .*/\1/p' /proc/mounts | head -n 1)/certctl-boot-$$
mkdir "$own"
echo $$ >"$own/cgroup.procs"

# shellcheck disable=SC2016 # the inner shell's own
exec unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child --propagation private sh -eu -c '
    tree=$1
    hostname certctl-boot
    mount --bind "$tree" "$tree"
    mount -t proc proc "$tree/proc"
    mount -t sysfs -o ro sysfs "$tree/sys"
    mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$tree/run"
    mount -t tmpfs -o mode=755 tmpfs "$tree/dev"
    mkdir "$tree/dev/pts" "$tree/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$tree/dev/pts"
    mount -t tmpfs tmpfs "$tree/dev/shm"
    for device in null zero full random urandom tty; do
        touch "$tree/dev/$device"
        mount --bind "/dev/$device" "$tree/dev/$device"
    done
    touch "$tree/dev/console"
    mount --bind /dev/null "$tree/dev/console"
    ln -s pts/ptmx "$tree/dev/ptmx"
    ln -s /proc/self/fd "$tree/dev/fd"
    cd "$tree"
    pivot_root . mnt
    umount -l /mnt
    exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal </dev/null
' sh "$tree"
