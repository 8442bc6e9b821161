# scripts/run/place.sh: where the run directory is, whether it can be there, and what is in it.
# shellcheck shell=sh disable=SC2034,SC2154

# A unix socket's path has 107 bytes (unix(7)); the longest below the run directory is
# /run/wake/notification-process.sock.
place_longest=72

# The nearest directory above $1 that exists.
place_existing()
{
    existing=$1
    while [ ! -d "$existing" ]; do
        existing=${existing%/*}
        existing=${existing:-/}
    done
}

# Why $1 cannot be a run directory; nothing when it can.
place_objection()
{
    place_existing "$1"
    case $1 in
    *[!A-Za-z0-9/._+@-]*) echo "its path has characters that a socket or a configuration file cannot bear" ;;
    *)
        if [ ${#1} -gt "$place_longest" ]; then
            echo "its path is ${#1} bytes long, and unix sockets leave room for $place_longest"
        elif [ ! -w "$existing" ]; then
            echo "$existing cannot be written to by $me"
        elif is_root && ! setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$existing"; then
            echo "the separate users of the processes cannot pass through $existing"
        fi
        ;;
    esac
}

# Sets run_dir; place_why says why it is not the usual one.
place_find()
{
    place_why=''
    if [ -n "${CERTCTL_RUN_DIR:-}" ]; then
        case $CERTCTL_RUN_DIR in
        /*) run_dir=${CERTCTL_RUN_DIR%/} ;;
        *) run_dir=$PWD/${CERTCTL_RUN_DIR%/} ;;
        esac
        place_why=$(place_objection "$run_dir")
        [ -z "$place_why" ] || die "CERTCTL_RUN_DIR=$run_dir cannot be used: $place_why" '' \
            "name another place, for example CERTCTL_RUN_DIR=/var/tmp/certctl"
        return
    fi
    run_dir=$top/.run
    place_why=$(place_objection "$run_dir")
    [ -n "$place_why" ] || return 0
    run_dir=/var/tmp/certctl-run-$uid-$(printf '%s' "$top" | sha256sum | cut -c 1-12)
    place_why="$top/.run was not taken: $place_why"
}

# Anybody may write to /var/tmp: a directory that is there already must be ours. What lies in another's
# names processes to stop, programs to start and files to write.
place_is_owned()
{
    if [ -L "$run_dir" ] || [ "$(stat -c %u "$run_dir")" != "$uid" ]; then
        die "$run_dir belongs to somebody else" '' "name another place by CERTCTL_RUN_DIR"
    fi
}

place_is_ours()
{
    place_is_owned
    if [ -e "$run_dir/.certctl-run" ]; then
        read -r place_mode <"$run_dir/.certctl-run"
        [ "$place_mode" = "$mode" ] || die "$run_dir was made for $place_mode, now it is $mode" '' \
            "./run destroy first, or name another place by CERTCTL_RUN_DIR"
    elif [ -n "$(ls -A "$run_dir")" ]; then
        die "$run_dir is not empty and was not made by ./run" '' "name an empty or a new directory by CERTCTL_RUN_DIR"
    fi
}

# Mode, owner, group (as root), directory. 3770: the owner of a file alone may remove it.
place_table()
{
    cat <<END
0755 root root apache
0755 root root apache/run
0755 root root bin
0755 root root certbot
0755 root root demo
0755 root root log
0755 root root nginx
0700 $www_user root nginx/temp
0700 $www_user root nginx/cache
0755 root root pid
0755 root root pg
0755 certctl-jobs certctl-jobs pki
0755 root root run
3770 root certctl run/jobs
2770 root certctl run/wake
0750 postgres certctl run/pg
0750 root certctl-seal seal
0700 root root secrets
0700 certctl-jobs certctl-jobs site
0755 root root state
0700 certctl-signer certctl-signer state/ca
0700 certctl-ca certctl-ca state/ca-approvals
2750 certctl-signer certctl-reconcile state/signer-log
0700 certctl-pki certctl-pki state/ocsp
END
}

# A mode, an owner, a group and a directory: changed only where they differ, since sockets lie there.
place_directory()
{
    place_path=$run_dir/$4
    [ -d "$place_path" ] || mkdir "$place_path"
    if is_root && [ "$(stat -c %U:%G "$place_path")" != "$2:$3" ]; then
        chown "$2:$3" "$place_path"
    fi
    [ "$(stat -c %04a "$place_path")" = "$1" ] || chmod "$1" "$place_path"
}

place_lock()
{
    exec 9>"$run_dir/.lock"
    flock -n 9 || die 'another ./run is at work in this directory' '' "wait for it, or see who it is: fuser $run_dir/.lock"
}

# The run directory itself, before anything can be logged. One uid: nobody else has business there.
place_open()
{
    step_begin 'run directory'
    # shellcheck disable=SC2174 # parents get the usual mode
    [ -d "$run_dir" ] || mkdir -p -m "$(is_root && echo 0755 || echo 0700)" "$run_dir"
    place_is_ours
    [ -e "$run_dir/.certctl-run" ] || echo "$mode" >"$run_dir/.certctl-run"
    [ -d "$run_dir/log" ] || mkdir "$run_dir/log"
    place_lock
    [ -z "$place_why" ] || note "$place_why; using $run_dir"
}

# Everything in it, once the users exist.
place_fill()
{
    place_table | while read -r place_perm place_owner place_group place_name; do
        place_directory "$place_perm" "$place_owner" "$place_group" "$place_name"
    done || die "cannot make the directories in $run_dir" '' "look at the disk: df $run_dir"
}
