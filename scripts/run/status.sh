# scripts/run/status.sh: status, logs, stop, destroy.
# shellcheck shell=sh disable=SC2034,SC2154

process_names="$web site-reload acme api pki probe tick tick-ca tick-pki tick-reconcile signer-admin signer postgres"

need_run_dir()
{
    [ -e "$run_dir/.certctl-run" ] || die "nothing was started in $run_dir" '' './run starts it; CERTCTL_RUN_DIR names another place'
    place_is_owned
}

status_line()
{
    if process_alive "$1"; then
        read -r status_up _ </proc/uptime
        status_age=$((${status_up%.*} - rec_began / $(getconf CLK_TCK)))
        printf '  %srunning%s  %-13s pid %-8s for %s s\n' "$green" "$plain" "$1" "$rec_pid" "$status_age"
        return
    fi
    printf '  %sstopped%s  %-13s log: %s\n' "$red" "$plain" "$1" "$run_dir/log/$1.log"
    return 1
}

status_show()
{
    step=status
    need_run_dir
    status_bad=0
    for status_name in $process_names; do
        case $status_name in
        tick-*) is_root || continue ;;
        esac
        status_line "$status_name" || status_bad=3
    done
    printf '  %s, %s\n' "https://localhost:$port" "$run_dir"
    return "$status_bad"
}

# logs [-f] [NAME…]: the last lines of each, or what comes.
logs_show()
{
    step=logs
    need_run_dir
    logs_follow=''
    if [ "${1:-}" = -f ]; then
        logs_follow=-F
        shift
    fi
    # shellcheck disable=SC2086 # a list
    [ $# -gt 0 ] || set -- $process_names migrate ca certbot build access
    for logs_name; do
        shift
        if [ -f "$run_dir/log/$logs_name.log" ]; then
            set -- "$@" "$run_dir/log/$logs_name.log"
        fi
    done
    [ $# -gt 0 ] || die 'no such log' '' "ls $run_dir/log"
    # shellcheck disable=SC2086 # an option or none
    exec tail -n 20 $logs_follow "$@"
}

# From the door inwards: no new requests, then the workers, then what they lean on. Or those that
# are named; ./run starts what is missing.
stop_named()
{
    stop_count=0
    for stop_name; do
        case " nginx apache $process_names " in
        *" $stop_name "*) ;;
        *) die "there is no process $stop_name" '' "one of: $process_names" ;;
        esac
        step_begin "$stop_name"
        if ! process_alive "$stop_name"; then
            process_stop "$stop_name"
            continue
        fi
        case $stop_name in
        nginx) process_stop nginx QUIT 10 ;;
        apache) process_stop apache WINCH 10 ;;
        postgres) process_stop postgres INT 60 ;;
        *) process_stop "$stop_name" TERM 35 ;;
        esac
        stop_count=$((stop_count + 1))
        step_did stopped
    done
    if [ "$stop_count" -eq 0 ]; then
        echo '  nothing was running'
    fi
}

# Either web server: the choice may have changed since one was started.
stop_all()
{
    # shellcheck disable=SC2086 # a list
    stop_named nginx apache ${process_names#* }
}

destroy_all()
{
    step=destroy
    need_run_dir
    place_lock
    if [ "${1:-}" != --yes ] && [ -t 0 ]; then
        printf '%s and all in it will be gone: CA keys, database, certificates. Type yes: ' "$run_dir"
        read -r destroy_word
        [ "$destroy_word" = yes ] || die 'left as it is' '' ''
    fi
    stop_all
    step_begin destroy
    # what was mounted below it is not ours
    rm -rf --one-file-system "$run_dir"
    step_did "removed $run_dir"
    is_root || return 0
    echo '  the users certctl-*, the groups certctl and certctl-edge, and the packages stay; to remove the users:'
    # shellcheck disable=SC2016 # to be pasted as it is
    echo '  for u in $(getent passwd | grep -o "^certctl-[a-z]*"); do userdel $u; done; groupdel certctl-edge; groupdel certctl'
}
