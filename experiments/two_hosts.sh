#!/usr/bin/env bash
# Runs a command on a Ray cluster of two hosts, which are namespaces of this machine: each has its
# own network (10.77.0.1 and 10.77.0.2, joined by a cable), host name, processes and shared memory.
#
#   experiments/two_hosts.sh FIRST_CPUS SECOND_CPUS COMMAND...
#
# The CPUs are what each host offers to Ray: "first" should have too few for all nodes of a run. The
# command runs on "first", with RAY_ADDRESS set. Ray's own resources "first" and "second" are what a
# program can ask for that chooses hosts. `ray` and `python` are those on the PATH. Needs root, and
# leaves nothing: whatever ends this script, the hosts and all that runs on them end with it.
set -euo pipefail

readonly FIRST=10.77.0.1 SECOND=10.77.0.2 PORT=6379

fail() {
    echo "two_hosts.sh: $1" >&2
    exit 2
}

[[ $# -ge 3 && $1 =~ ^[0-9]+$ && $2 =~ ^[0-9]+$ ]] \
    || fail "usage: experiments/two_hosts.sh FIRST_CPUS SECOND_CPUS COMMAND..."
[[ $EUID -eq 0 ]] || fail "needs root, to make namespaces"
for program in ip unshare nsenter setpriv pgrep ray; do
    command -v "$program" >/dev/null || fail "there is no $program on the PATH"
done
unshare --net --uts --ipc --mount --pid --fork true || fail "namespaces are not permitted here"

scratch=$(mktemp -d /tmp/hosts.XXXX) # short: Ray's sockets are in it
keepers=()

clean_up() {
    for keeper in "${keepers[@]}"; do
        kill -KILL "$keeper" 2>/dev/null || true # and with it all that its host has
        wait "$keeper" 2>/dev/null || true
    done
    rm -rf "$scratch"
}
trap clean_up EXIT

# Starts a host that does nothing yet; its first process is in $host.
start_host() { # NAME
    setpriv --pdeathsig KILL \
        unshare --net --uts --ipc --mount --pid --fork --kill-child --mount-proc sleep infinity &
    keepers+=($!)
    until host=$(pgrep --parent $! sleep); do sleep 0.1; done
    nsenter --all --target "$host" bash -euc "
        hostname $1
        mount --bind $scratch/hosts /etc/hosts
        mount --bind /dev/null /etc/resolv.conf # no name server answers here
        mount -t tmpfs -o size=1g tmpfs /dev/shm
        ip link set lo up"
}

# Runs a command on a host.
on() { # HOST COMMAND...
    nsenter --all --target "$1" --wd="$PWD" "${@:2}"
}

connect() { # HOST ADDRESS
    on "$1" ip address add "$2/24" dev eth0
    on "$1" ip link set eth0 up
    # It leads nowhere, but a host that has none does not know its own address.
    on "$1" ip route add default dev eth0
}

start_ray() { # HOST NAME ADDRESS CPUS ARGUMENTS...
    on "$1" ray start --node-ip-address="$3" --num-cpus="$4" --resources="{\"$2\": 1}" \
        --temp-dir="$scratch/$2" --object-store-memory=$((100 * 2 ** 20)) \
        --include-log-monitor=false --disable-usage-stats "${@:5}" >"$scratch/$2.out" 2>&1 \
        || fail "ray start on $2: $(tail -n 5 "$scratch/$2.out")"
}

printf '127.0.0.1 localhost\n::1 localhost\n%s first\n%s second\n' "$FIRST" "$SECOND" >"$scratch/hosts"
start_host first
first=$host
start_host second
second=$host
ip link add eth0 netns "$first" type veth peer name eth0 netns "$second"
connect "$first" "$FIRST"
connect "$second" "$SECOND"

# Hosts of one cluster share a token. At Ray's own niceness nodes would starve beside the command.
cat /proc/sys/kernel/random/uuid >"$scratch/token"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$scratch/token RAY_worker_niceness=0
start_ray "$first" first "$FIRST" "$1" --head --port=$PORT --include-dashboard=false --no-monitor
start_ray "$second" second "$SECOND" "$2" --address="$FIRST:$PORT"

export RAY_ADDRESS=$FIRST:$PORT
on "$first" "${@:3}"
