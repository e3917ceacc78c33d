#!/usr/bin/env bash
# Runs a command under a systemd with namespaces of its own, where systemd does not run the machine, as in a container:
# boot_systemd.sh FOLDER COMMAND...   FOLDER holds what it said (`out`) and its exit status (`status`) afterwards.
#
# It needs root and a cgroup v2 that can be mounted; exit status 77 and a line that says so where that is not to be had.
set -euo pipefail

folder=$1
if [ "${2:-}" != --inside ]; then
  cannot() { echo "skipped: $1"; exit 77; }
  [ "$(id -u)" = 0 ] || cannot "needs root, to start a systemd in namespaces of its own"
  [ -x /lib/systemd/systemd ] || cannot "systemd is not installed"
  mkdir -p "$folder/cgroup"
  printf '%q ' "${@:2}" >"$folder/command"
  unshare --mount sh -c 'mount -t cgroup2 none "$1/cgroup" && mkdir "$1/cgroup/check-$$" && rmdir "$1/cgroup/check-$$"' sh "$folder" \
    2>/dev/null || cannot "cgroup v2 cannot be mounted here"
  exec unshare --mount bash -c '
    mount -t cgroup2 none "$1/cgroup" && mkdir -p "$1/cgroup/ringfence-check"
    echo $$ >"$1/cgroup/ringfence-check/cgroup.procs"
    exec unshare --cgroup --pid --fork --mount-proc --net --uts --ipc --kill-child bash "$2" "$1" --inside
  ' bash "$folder" "$(realpath "$0")"
fi

umount -R /sys/fs/cgroup 2>/dev/null || umount -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
for path in /run /etc/systemd/system /var/log; do mount -t tmpfs tmpfs "$path"; done
ip link set lo up
cat >/etc/systemd/system/check.service <<UNIT
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
Environment="PATH=$PATH" "PYTHONPATH=${PYTHONPATH:-}"
ExecStart=/bin/bash -c "bash $folder/command >$folder/out 2>&1; echo \$? >$folder/status"
ExecStopPost=/bin/systemctl exit --force --force
UNIT
printf '[Unit]\nDefaultDependencies=no\nWants=check.service\n' >/etc/systemd/system/check.target
export container=unshare
exec /lib/systemd/systemd --system --unit=check.target --log-target=console --show-status=no
