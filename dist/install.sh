#!/usr/bin/env bash
# Installs redis-image on a host with systemd. Starts nothing, and can be run again, for a newer version too: then
# restart the servers that use it.
#
#     ./install.sh [--instance PORT] [--server PROGRAM] [--prefix DIR] [--destdir DIR] [--dry-run]
#     ./install.sh --uninstall [--purge] [--prefix DIR] [--destdir DIR] [--dry-run]
#
#     --instance PORT    writes /etc/redis-image/PORT.conf for the server redis-image@PORT, unless there is one
#     --server PROGRAM   the redis-server or valkey-server to run; by default the one in PATH
#     --prefix DIR       where the module, the tool and the models go: /opt/redis-image
#     --destdir DIR      puts everything below DIR instead of /, and leaves the system alone (no user, no systemctl)
#     --dry-run          only shows what would be done
#     --uninstall        removes what was installed; configuration, data, weights and models of your own stay,
#     --purge            and these go as well, with the user
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prefix=/opt/redis-image config=/etc/redis-image data=/var/lib/redis-image user=redis-image
unit=/etc/systemd/system/redis-image@.service link=/usr/local/bin/redis-image
destdir='' instance='' server='' dry=no uninstall=no purge=no

fail() {
    echo "install.sh: $1" >&2
    exit 1
}
usage() { sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }
value() { [ -n "${2:-}" ] || fail "$1 needs a value"; }

while [ $# -gt 0 ]; do
    case $1 in
        --instance) value "$@"; instance=$2; shift ;;
        --server) value "$@"; server=$2; shift ;;
        --prefix) value "$@"; prefix=$2; shift ;;
        --destdir) value "$@"; destdir=$2; shift ;;
        --dry-run) dry=yes ;;
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        --help | -h) usage; exit ;;
        *) fail "unknown: $1 (--help shows what there is)" ;;
    esac
    shift
done
[ $purge = no ] || [ $uninstall = yes ] || fail "--purge goes with --uninstall"
# These go into a unit and a redis.conf, where a space ends a word.
for path in "$prefix" ${destdir:+"$destdir"}; do
    [[ $path =~ ^/[A-Za-z0-9._/+-]*[A-Za-z0-9_]$ ]] || fail "$path: an absolute path without spaces, please"
done
[ "$(dirname "$prefix")" != / ] || fail "$prefix: a folder of its own, please, below another"
[ $dry = yes ] || [ -n "$destdir" ] || [ "$(id -u)" -eq 0 ] || fail "this needs root (or --destdir)"

# Shows what is done, and does it.
act() {
    printf '  %s\n' "$*"
    [ $dry = yes ] || "$@"
}
on_system() { [ -z "$destdir" ]; }
has_systemd() { on_system && [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }
user_exists() { getent passwd "$user" >/dev/null; }
running() { systemctl list-units --plain --no-legend --state=active,activating 'redis-image@*' | awk '{ print $1 }'; }

# put FILE TARGET MODE: replaced as a whole, never written over: a running server has the old one mapped.
put() { act install -D -m "$3" "$1" "$destdir$2"; }

# The files that belong below the prefix.
shipped() { (cd "$here" && find . -type f ! -name install.sh ! -path './systemd/*' -printf '%P\n' | sort); }

remove() {
    if has_systemd; then
        local active
        active=$(running)
        [ -z "$active" ] || fail "still running, stop them first: ${active//$'\n'/ }"
        if compgen -G '/etc/systemd/system/*.wants/redis-image@*.service' >/dev/null; then
            for wanted in /etc/systemd/system/*.wants/redis-image@*.service; do
                act systemctl disable --quiet "$(basename "$wanted")"
            done
        fi
    fi
    echo "Removing redis-image from $destdir$prefix:"
    local list=$destdir$prefix/.installed file
    if [ -f "$list" ]; then
        while read -r file; do
            [ ! -e "$destdir$prefix/$file" ] || act rm -f -- "$destdir$prefix/$file"
        done <"$list"
        act rm -f -- "$list"
    fi
    [ ! -e "$destdir$unit" ] || act rm -f -- "$destdir$unit"
    if [ "$(readlink "$destdir$link" || true)" = "$prefix/bin/redis-image" ]; then
        act rm -f -- "$destdir$link"
    fi
    if [ $purge = yes ]; then
        for folder in "$prefix" "$config" "$data"; do
            [ ! -e "$destdir$folder" ] || act rm -rf -- "$destdir$folder"
        done
        if on_system && user_exists; then act userdel "$user"; fi
    elif [ -d "$destdir$prefix" ] && [ $dry = no ]; then
        find "$destdir$prefix" -depth -type d -empty -delete
    fi
    ! has_systemd || act systemctl daemon-reload
    for folder in "$prefix" "$config" "$data"; do
        [ $dry = yes ] || [ ! -e "$destdir$folder" ] || echo "Left: $destdir$folder (--uninstall --purge removes it)"
    done
}

check_host() {
    [ "$(uname -sm)" = "Linux x86_64" ] || fail "this archive is for Linux on x86_64"
    [ -e "$here/libredis_image.so" ] || fail "run it where the archive was unpacked"
    # ldd tells of a library, or a version of libc, that this host does not have.
    local missing
    missing=$(ldd "$here/libredis_image.so" 2>&1 | grep 'not found' || true)
    [ -z "$missing" ] || fail "the module does not fit this host: $missing"
    [ -n "$server" ] || server=$(command -v redis-server || command -v valkey-server) ||
        fail "no redis-server and no valkey-server in PATH; install one, or name it: --server"
    # Links stay: Debian's redis-server is one, and tells by its name what it is to be.
    server=$(realpath --no-symlinks -e -- "$(command -v "$server" || echo "$server")") || fail "no such program: $server"
    [[ $("$server" --version) =~ v=([0-9]+)\. ]] && [ "${BASH_REMATCH[1]}" -ge 7 ] ||
        fail "$server is no Redis 7.0 or later, and no Valkey"
    [[ -z $instance || $instance =~ ^[1-9][0-9]{0,4}$ && $instance -le 65535 ]] || fail "--instance takes a port"
}

write_unit() {
    # Only a server that was built with libsystemd tells systemd that it is ready.
    local type=exec supervised=no file
    if ldd "$server" 2>/dev/null | grep -q libsystemd; then
        type=notify supervised=systemd
    fi
    file=$(mktemp)
    sed -e "s#@PREFIX@#$prefix#g; s#@CONFIG@#$config#g; s#@SERVER@#$server#g" \
        -e "s#@TYPE@#$type#g; s#@SUPERVISED@#$supervised#g" "$here/systemd/redis-image@.service" >"$file"
    put "$file" "$unit" 644
    rm -f "$file"
}

write_instance() {
    local target=$config/$instance.conf file
    if [ -e "$destdir$target" ]; then
        echo "  ($destdir$target is there, and stays as it is)"
        return
    fi
    file=$(mktemp)
    {
        sed "s/^port .*/port $instance/" "$here/redis.conf.example"
        printf '\n# %s\n\n' "---------------------------------------------------------------- by install.sh"
        echo "dir $data/$instance"
        echo "loadmodule $prefix/libredis_image.so models-path $prefix/models"
    } >"$file"
    # It may come to hold passwords.
    put "$file" "$target" 640
    rm -f "$file"
    if on_system; then act chown "$user:$user" "$target"; fi
}

add() {
    check_host
    echo "Installing redis-image for $server:"
    if on_system && ! user_exists; then
        act useradd --system --user-group --no-create-home --home-dir "$data" --shell /usr/sbin/nologin "$user"
    fi
    local file mode
    while read -r file; do
        mode=644
        [ ! -x "$here/$file" ] || mode=755
        put "$here/$file" "$prefix/$file" $mode
    done < <(shipped)
    if [ $dry = no ]; then
        # What an older version had and this one has not.
        if [ -f "$destdir$prefix/.installed" ]; then
            comm -23 <(sort "$destdir$prefix/.installed") <(shipped) | while read -r file; do
                act rm -f -- "$destdir$prefix/$file"
            done
        fi
        shipped >"$destdir$prefix/.installed"
    fi
    if [ ! -e "$destdir$link" ] || [ -L "$destdir$link" ]; then
        act mkdir -p "$destdir$(dirname "$link")"
        act ln -sfn "$prefix/bin/redis-image" "$destdir$link"
    else
        echo "  ($destdir$link is somebody else's, and stays)"
    fi
    write_unit
    act mkdir -p "$destdir$config"
    if on_system; then
        # CONFIG REWRITE, and a cluster's or Sentinel's node, write a new file beside the old one.
        act chown "root:$user" "$config"
        act chmod 770 "$config"
    fi
    [ -z "$instance" ] || write_instance
    ! has_systemd || act systemctl daemon-reload
    next_steps
}

next_steps() {
    local shown=${instance:-6379}
    printf '\nNothing was started. Next:\n'
    {
        echo "$destdir$prefix/fetch-weights|the models' weights, and onnxruntime, the faster engine"
        [ -n "$instance" ] || echo "$here/install.sh --instance $shown|the configuration of a server on that port"
        echo "editor $destdir$config/$shown.conf|maxmemory, passwords, bind"
        echo "systemctl enable --now redis-image@$shown|"
        echo "redis-cli -p $shown IMAGE.MODELS|"
    } | while IFS='|' read -r command purpose; do
        printf '    %-52s%s\n' "$command" "${purpose:+# $purpose}"
    done
}

if [ $uninstall = yes ]; then remove; else add; fi
