#!/usr/bin/env bash
# Shows that this machine's kernel enforces the units: check_isolation.sh [RINGFENCE...]
#
# Runs a few lines under the settings of the printed units, as a unit that it makes and takes away again, and has them try
# to get out to a network namespace of its own; nothing else is contacted. RINGFENCE is how ringfence is started.
# Exit status 0: enforced; 1: not; 77: it cannot be seen on this machine, and the last line says why.
set -euo pipefail

cannot() { echo "skipped: $1"; exit 77; }
[ "$(id -u)" = 0 ] || cannot "needs root"
[ -d /run/systemd/system ] || cannot "systemd does not run this machine"
[ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] || cannot "cgroup v2 is not what /sys/fs/cgroup holds"
for program in systemctl ip python3; do command -v "$program" >/dev/null || cannot "$program is missing"; done
ringfence=("${@:-ringfence}")

far=ringfence-check
public=198.18.77.2  # of 198.18.0.0/15, which is for tests (RFC 2544) and no private network
private=10.213.77.2
listener='import socket, time; s = socket.create_server(("", 7979)); time.sleep(120)'
lines=/run/ringfence-check
check=/run/systemd/system/ringfence-check.service
python=$(PATH=/usr/bin:/bin:/usr/local/bin; command -v python3)  # one that the units do not hide
pids=()
tidy() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  ip netns del "$far" 2>/dev/null || true
  rm -rf "$lines" "$check"
  systemctl daemon-reload || true
}
trap tidy EXIT

ip netns add "$far"
ip link add rf-check type veth peer name rf-far netns "$far"
ip addr add 198.18.77.1/30 dev rf-check
ip addr add 10.213.77.1/30 dev rf-check
ip link set rf-check up
ip -n "$far" addr add "$public/30" dev rf-far
ip -n "$far" addr add "$private/30" dev rf-far
ip -n "$far" link set rf-far up
ip netns exec "$far" python3 -c "$listener" & pids+=($!)
python3 -c "$listener" & pids+=($!)

settings() { # of a unit, as options of systemd-run; without what names a user, files and programs of Ringfence
  "${ringfence[@]}" service print "$1" | sed -n '/^\[Service\]/,/^\[Install\]/p' |
    grep -E '^[A-Za-z]+=' | grep -vE '^(Type|User|Group|StateDirectory.*|Environment|LoadCredential|Exec.*|Restart.*|Timeout.*|ReadWritePaths)='
}
under() { # under UNIT COMMAND...: whether it ended well
  local settings
  settings=$(cat "$lines/$1")
  shift
  printf '[Unit]\nDefaultDependencies=no\n[Service]\n%s\nType=oneshot\nDynamicUser=yes\nExecStart=%s\n' "$settings" "$*" >"$check"
  systemctl daemon-reload
  systemctl start ringfence-check.service 2>/dev/null
}

failed=0
expect() { # expect yes|no WHAT COMMAND...
  local wanted=$1 what=$2 got=no
  shift 2
  if "$@"; then got=yes; fi
  if [ "$got" = "$wanted" ]; then echo "ok: $what"; else echo "FAILED: $what (got $got)"; failed=1; fi
}
mkdir -p "$lines"
chmod 755 "$lines"
for unit in gateway egress engine; do settings "$unit" >"$lines/$unit"; done
echo 'import socket, sys; socket.create_connection((sys.argv[1], 7979), 2).close()' >"$lines/connect"
echo 'import mmap; mmap.mmap(-1, 4096, prot=7)' >"$lines/map"
reach() { python3 "$lines/connect" "$1" 2>/dev/null; }

for _ in $(seq 50); do reach "$public" && reach 127.0.0.1 && break; sleep 0.1; done
expect yes "without a unit, the far end is reached" reach "$public"
expect yes "without a unit, its private address is reached" reach "$private"
expect yes "the gateway's unit runs at all" under gateway /bin/true
expect yes "the gateway reaches this machine" under gateway "$python" "$lines/connect" 127.0.0.1
expect no "the gateway reaches a public address" under gateway "$python" "$lines/connect" "$public"
expect no "the gateway reaches a private address" under gateway "$python" "$lines/connect" "$private"
expect yes "egress reaches a public address" under egress "$python" "$lines/connect" "$public"
expect no "egress reaches a private address" under egress "$python" "$lines/connect" "$private"
expect no "egress reaches a service of this machine" under egress "$python" "$lines/connect" 127.0.0.1
expect yes "an engine reaches this machine" under engine "$python" "$lines/connect" 127.0.0.1
expect no "an engine reaches a public address" under engine "$python" "$lines/connect" "$public"
expect no "the gateway may write to /etc" under gateway /bin/touch /etc/ringfence-check
expect no "the gateway maps memory to write and execute" under gateway "$python" "$lines/map"
exit "$failed"
