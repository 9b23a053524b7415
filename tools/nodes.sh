#!/usr/bin/env bash
# What tools/cluster and tools/mall share: nodes of a cluster on free ports of 127.0.0.1, that end with the script. To be
# sourced from the repository's top folder, after these are set: `module`; `names`, one for each node; `demo`, the
# script's name; `node_options`, what each node gets besides.

ports=() pids=()
# Other programs of the script, which end with it.
others=()
folder=$(mktemp -d)
unset REDISCLI_AUTH

bold='' dim='' plain=''
if [ -t 1 ]; then
    bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

end() {
    local pid
    for pid in "${others[@]}" "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for _ in {1..50}; do
        kill -0 "${others[@]}" "${pids[@]}" 2>/dev/null || break
        sleep 0.1
    done
    for pid in "${others[@]}" "${pids[@]}"; do
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf -- "$folder"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
    printf '\n%s: %s\n' "$demo" "$1" >&2
    local log
    for log in "$folder"/*/log "$folder"/errors*; do
        if [ -s "$log" ]; then
            echo "--- ${log#"$folder/"} ends with:" >&2
            tail -n 8 "$log" >&2
        fi
    done
    exit 1
}

title() { printf '\n%s%s%s\n\n' "$bold" "$1" "$plain"; }

# typed TEXT: the command as a person would type it.
typed() { printf '%s$ %s%s\n' "$dim" "$1" "$plain"; }

# cli NODE [COMMAND …]: nodes are counted from 0.
cli() {
    local port=${ports[$1]}
    shift
    redis-cli -e -p "$port" "$@"
}

now() { date +%s%3N; }

# seconds BEGAN: since then.
seconds() { awk -v ms=$(($(now) - $1)) 'BEGIN { printf "%.1f", ms / 1000 }'; }

# until_true SECONDS WHAT COMMAND …: tries it until it succeeds.
until_true() {
    local deadline=$(($(now) + $1 * 1000)) what=$2
    shift 2
    until "$@"; do
        [ "$(now)" -lt "$deadline" ] || fail "waited in vain for $what"
        sleep 0.1
    done
}

# Starts node I on a free port. Another program may take the port, or the one of the cluster bus, first.
start_node() {
    local i=$1 log=$folder/$1/log
    mkdir "$folder/$i"
    for _ in {1..20}; do
        ports[i]=$((20000 + RANDOM % 2700)) # the bus is 10000 above it, still below the ports of outgoing connections
        ! launch_node "$i" || return 0
        grep -q 'Address already in use\|Failed listening' "$log" || fail "node $i did not start"
        rm -rf "${folder:?}/$i"/nodes.conf
    done
    fail "no free port found"
}

# On its port and in its folder; false if it ended before it answered.
launch_node() {
    local i=$1
    # A worker each: the masters keep the cores busy, and a replica's only works once it is a master.
    "${REDIS_SERVER:-redis-server}" --port "${ports[i]}" --bind 127.0.0.1 --dir "$folder/$i" \
        --cluster-enabled yes --cluster-node-timeout 2000 --cluster-require-full-coverage no \
        --repl-diskless-sync-delay 0 "${node_options[@]}" --loadmodule "$module" models-path "$folder/models" \
        onnxruntime-path "$runtime" threads 1 </dev/null >>"$folder/$i/log" 2>&1 &
    pids[i]=$!
    for _ in {1..600}; do
        # By its process, not by PING alone: on this port another server may answer.
        if cli "$i" INFO server 2>/dev/null | tr -d '\r' | grep -x "process_id:${pids[i]}" >/dev/null; then
            return
        fi
        kill -0 "${pids[i]}" 2>/dev/null || break
        sleep 0.1
    done
    ! kill -0 "${pids[i]}" 2>/dev/null || fail "node $i does not answer"
    wait "${pids[i]}" || true
    return 1
}

# The models of this repository whose weights are here, loaded when they are first used: a replica's never are.
lay_out_models() {
    local from to
    mkdir "$folder/models"
    for from in models/*/; do
        to=$folder/$from
        mkdir "$to"
        ln -s "$PWD/$from"* "$to"
        rm "$to/model.toml"
        { grep -q '^lazy = true' "$from/model.toml" || echo 'lazy = true'; cat "$from/model.toml"; } >"$to/model.toml"
    done
    runtime=$PWD/onnxruntime
    [ -d "$runtime" ] || runtime=''
}
