#!/usr/bin/env bash
# Photos through a Redis Cluster with redis-cli (7.0 or later, for -X). With -c it follows MOVED: it sends a photo to the
# node it was given, and again to the one that has the key.
#
#     redis_cli.sh 127.0.0.1:7000 photo.jpg …      a batch; then each photo whose name comes on standard input
set -euo pipefail

address=$1
shift

# -e: an error is an exit status and a line on standard error, not a result.
cli() { redis-cli -c -e -h "${address%:*}" -p "${address##*:}" "$@" 2>&1; }
key_of() { printf 'image:%s' "$(sha256sum <"$1" | cut -c 1-64)"; }

# Asks first, and uploads only on a miss. The first word of an error tells what to do.
recognise() {
    local key reply wait=1
    key=$(key_of "$1")
    while true; do
        reply=$(cli --raw IMAGE.GET "$key") || true
        [ -n "$reply" ] || reply=$(cli --raw -X photo IMAGE.RECOGNIZE "$key" photo <"$1") || true
        case $reply in
            QUEUEFULL* | TIMEOUT* | UNBLOCKED* | CLUSTERDOWN* | 'Could not connect'*)
                [ $wait -le 64 ] || break
                sleep $wait
                wait=$((2 * wait))
                ;;
            *) break ;; # a result, or BADIMAGE and the like: the same again would give the same
        esac
    done
    printf '%s\n' "$reply"
}

# A batch: NOWAIT queues all, GET … WAIT collects.
for photo in "$@"; do
    cli --raw -X photo IMAGE.RECOGNIZE "$(key_of "$photo")" photo NOWAIT <"$photo" >/dev/null || true
done
for photo in "$@"; do
    printf 'batch\t%s\t%s\n' "${photo##*/}" "$(cli --raw IMAGE.GET "$(key_of "$photo")" WAIT 30000)"
done

key=$(key_of "$1")
printf 'get\t%s\t%s\n' "${1##*/}" "$(cli --raw IMAGE.GET "$key")"
# -3 speaks RESP3, where the reply is a map; --json (7.0) prints it as one.
meta=$(cli -3 --json -X photo IMAGE.RECOGNIZE "$key" photo WITHMETA <"$1")
printf 'meta\t%s\t%s\t%s\n' "${1##*/}" "$(sed -E 's/.*"source":"([^"]*)".*/\1/' <<<"$meta")" \
    "$(sed -E 's/.*"sha256":"([^"]*)".*/\1/' <<<"$meta")"

while IFS= read -r photo; do
    printf 'photo\t%s\t%s\n' "${photo##*/}" "$(recognise "$photo")"
done
