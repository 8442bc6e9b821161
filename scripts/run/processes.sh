# scripts/run/processes.sh: starting, knowing again and stopping what ./run started. A process is
# known by pid and start time, so that a pid that came again is never taken for ours.
# shellcheck shell=sh disable=SC2034,SC2154

read -r boot_id </proc/sys/kernel/random/boot_id

# State, session and start time (ticks since boot) of a pid, into state, session and began.
process_look()
{
    state='' session='' began=''
    { read -r process_line <"/proc/$1/stat"; } 2>/dev/null || return 1
    process_line=${process_line##*) }
    # shellcheck disable=SC2086 # the fields are wanted
    set -- $process_line
    state=$1 session=$4 began=${20}
}

# process_record NAME PID SIGNATURE: the signature tells whether it must start anew after a change.
process_record()
{
    process_look "$2" || die "$1 ended at once" "$run_dir/log/$1.log" ''
    printf '%s %s %s %s\n' "$2" "$began" "$boot_id" "$3" >"$run_dir/pid/$1"
}

# The record of NAME into rec_pid, rec_began, rec_signature; false when there is none of this boot.
process_recorded()
{
    rec_pid='' rec_began='' rec_signature=''
    { read -r rec_pid rec_began rec_boot rec_signature <"$run_dir/pid/$1"; } 2>/dev/null || return 1
    [ "$rec_boot" = "$boot_id" ]
}

process_alive()
{
    process_recorded "$1" && process_look "$rec_pid" && [ "$began" = "$rec_began" ] && [ "$state" != Z ]
}

process_gone()
{
    ! process_alive "$1"
}

# Who is left of the session that rec_pid led: workers whose multiwatch was killed.
process_left()
{
    if process_look "$rec_pid" && [ "$began" != "$rec_began" ]; then
        return # the number belongs to somebody else now
    fi
    for process_path in /proc/[0-9]*; do
        process_look "${process_path#/proc/}" || continue
        if [ "$session" = "$rec_pid" ] && [ "$state" != Z ]; then
            printf '%s ' "${process_path#/proc/}"
        fi
    done
}

process_none_left()
{
    [ -z "$(process_left)" ]
}

process_signal_left()
{
    # shellcheck disable=SC2046 # a list of pids
    kill -s "$1" $(process_left) 2>/dev/null || true
}

# process_stop NAME [SIGNAL [SECONDS]]: the leader first, then whoever stays behind, who may finish
# the request in hand.
process_stop()
{
    process_recorded "$1" || return 0
    if process_alive "$1"; then
        kill -s "${2:-TERM}" "$rec_pid" 2>/dev/null || true
        wait_until "${3:-35}" process_gone "$1" || true
    fi
    if ! process_none_left; then
        process_signal_left TERM
        wait_until "${3:-35}" process_none_left || process_signal_left KILL
        wait_until 5 process_none_left || true
    fi
    rm -f "$run_dir/pid/$1"
}

# process_start NAME SIGNATURE COMMAND…: in the background, in a session of its own, its words in
# log/NAME.log; none of our open files goes along.
process_start()
{
    process_name=$1
    process_signature=$2
    shift 2
    setsid "$@" </dev/null >>"$run_dir/log/$process_name.log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
    started_pid=$!
    process_record "$process_name" "$started_pid" "$process_signature"
}

# Name, OS user, processes, group of the socket (- for none), program and arguments. Where there is
# one uid, one certctl-tick starts the jobs of all users.
pool_table()
{
    cat <<END
signer       certctl-signer 2        certctl      certctl-signer
signer-admin certctl-signer 1        certctl-ca   certctl-signer --admin
END
    if is_root; then
        echo "tick-pki certctl-pki 1 - certctl-tick --for=58s --jobs-dir=$run_dir/bin"
        echo "tick-ca certctl-ca 1 - certctl-tick --for=58s --jobs-dir=$run_dir/bin"
        echo "tick-reconcile certctl-reconcile 1 - certctl-tick --for=58s --jobs-dir=$run_dir/bin"
        echo "tick certctl-jobs 1 - certctl-tick --for=58s --jobs-dir=$run_dir/bin"
    else
        echo "tick certctl-jobs 1 - certctl-tick --all --for=58s --jobs-dir=$run_dir/bin"
    fi
    cat <<END
site-reload  $(is_root && echo root || echo "$me") 1 - certctl-site-reload --wait --dir=$run_dir/site --state=$run_dir/pid/site-reload.done $(web_server)
probe        certctl-probe  2        certctl-edge certctl-probe
acme         certctl-acme   $workers certctl-edge certctl-acme
api          certctl-api    2        certctl-edge certctl-api
pki          certctl-pki    2        certctl-edge certctl-pki
END
}

pool_names()
{
    pool_table | while read -r pool_name _; do
        printf '%s ' "$pool_name"
    done
}

# One line of the table into pool_user, pool_count, pool_group, pool_program.
pool_read()
{
    while read -r pool_name pool_user pool_count pool_group pool_program; do
        [ "$pool_name" != "$1" ] || return 0
    done <<END
$(pool_table)
END
    die "there is no process $1" '' "one of: $(pool_names)"
}

# The command of a pool: the user's rights and nothing else, certctl.env as the whole environment,
# multiwatch with -t 1 (with its default, a dozen workers that end within seconds end the pool), -r of
# a million (with its default a place whose worker died four times within a millisecond of its start,
# or after the clock was set back, stays empty for good) and -s TERM (with its default, the first
# SIGTERM is passed on as SIGUSR1, which means nothing here).
pool_start()
{
    role_of "$pool_user"
    # A program that is missing would be started without a pause: the shell makes one.
    # shellcheck disable=SC2086,SC2016 # program and arguments; the inner shell's own
    set -- /usr/bin/multiwatch -s TERM -t 1 -r 1000000 -f "$pool_count" -- \
        /bin/sh -c '[ -x "$0" ] || sleep 1; exec "$0" "$@"' "$run_dir/bin/"$pool_program
    while IFS= read -r pool_line; do
        case $pool_line in
        '' | '#'*) ;;
        *) set -- "$pool_line" "$@" ;;
        esac
    done <<END
$(env_lines "$pool_user")
END
    set -- /usr/bin/env -i "PATH=$clean_path" LC_ALL=C.UTF-8 "PGUSER=$role" "$@"
    # root is who may reload the web server and read its key, and only certctl-site-reload is root
    ! is_root || [ "$pool_user" = root ] || set -- /usr/bin/setpriv --reuid="$pool_user" --regid="$pool_user" --init-groups \
        --inh-caps=-all --bounding-set=-all --no-new-privs -- "$@"
    # as UMask= of the units
    pool_umask=$(umask)
    umask 077
    pool_spawn "$@"
    umask "$pool_umask"
}

# spawn-fcgi makes the socket and hands it on as file descriptor 0.
pool_spawn()
{
    if [ "$pool_group" = - ]; then
        process_start "$pool_name" "$pool_signature" "$@"
        return
    fi
    pool_socket=$run_dir/run/$pool_name.sock
    rm -f "$pool_socket"
    if is_root; then
        set -- /usr/bin/spawn-fcgi -n -s "$pool_socket" -M 0660 -U "$pool_user" -G "$pool_group" -- "$@"
    else
        set -- /usr/bin/spawn-fcgi -n -s "$pool_socket" -M 0660 -- "$@"
    fi
    process_start "$pool_name" "$pool_signature" "$@"
    wait_until 5 test -S "$pool_socket" || die "$pool_name made no socket" "$run_dir/log/$pool_name.log" ''
}

# Starts a pool that is not there, and one whose program, settings or size changed, anew.
pool_up()
{
    pool_read "$1"
    step_begin "$pool_name"
    pool_signature=$({ printf '%s\n' "$pool_user $pool_count $pool_group $pool_program" && env_lines "$pool_user"; } |
        cat - "$run_dir/bin/${pool_program%% *}" | sha256sum | cut -c 1-16)
    if process_alive "$pool_name" && [ "$rec_signature" = "$pool_signature" ]; then
        step_kept "running, pid $rec_pid"
        return
    fi
    pool_what=started
    ! process_alive "$pool_name" || pool_what='started anew after a change'
    process_stop "$pool_name"
    pool_start
    step_did "$pool_what, $pool_count × ${pool_program%% *} as $(is_root && echo "$pool_user" || echo "$me"), pid $started_pid"
}
