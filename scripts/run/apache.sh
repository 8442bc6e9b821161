# scripts/run/apache.sh: the other web server's files from apache/*.in, its start and reload. It reads
# no file of the system's Apache, and loads the modules that the site needs and no more.
# shellcheck shell=sh disable=SC2034,SC2154

apache_conf=$run_dir/apache/apache2.conf
apache_pid_file=$run_dir/apache/run/apache.pid
apache_log=$run_dir/log/apache.log
apache_start_log=$run_dir/log/apache-start.log

apache_aliases()
{
    printf '127.0.0.1 [::1]'
    apache_host=$(hostname 2>/dev/null || true)
    case $apache_host in
    '' | localhost | *[!A-Za-z0-9.-]*) ;;
    *) printf ' %s' "$apache_host" ;;
    esac
}

# @NAMES@ of a template filled in. The run directory's path has no character that sed minds.
apache_fill()
{
    sed -e "s|@USER_LINE@|$(is_root && echo 'User www-data')|" \
        -e "s|@GROUP_LINE@|$(is_root && echo 'Group www-data')|" \
        -e "s|@MODULES_DIR@|/usr/lib/apache2/modules|" \
        -e "s|@RUN_DIR@|$run_dir|g" \
        -e "s|@CONF_DIR@|$run_dir/apache|g" \
        -e "s|@LOG_DIR@|$run_dir/log|g" \
        -e "s|@RUNTIME_DIR@|$run_dir/run|g" \
        -e "s|@SESSION_CACHE@|$run_dir/apache/run/tls|g" \
        -e "s|@EDGE_KEY_FILE@|$edge_apache|g" \
        -e "s|@CERTIFICATE@|$site_certificate|g" \
        -e "s|@CERTIFICATE_KEY@|$site_key|g" \
        -e "s|@SERVER_NAME@|localhost:$port|g" \
        -e "s|@SERVER_ALIASES@|$(apache_aliases)|g" \
        -e "s|@LISTEN4@|127.0.0.1:$port|g" \
        -e "s|@PUBLISH_DIR@|$run_dir/pki|g" \
        -e "s|@CRL_MAX_AGE@|$(nginx_crl_max_age)|g" \
        -e "s|@HTTP_LISTEN4@|127.0.0.1:$http_port|g" \
        -e "$apache_listen6" \
        "$top/apache/$1.in"
}

apache_configure()
{
    apache_listen6='/^Listen @[A-Z]*_*LISTEN6@/d; s| @[A-Z]*_*LISTEN6@||g'
    if grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 2>/dev/null; then
        apache_listen6="s|@LISTEN6@|[::1]:$port|g; s|@HTTP_LISTEN6@|[::1]:$http_port|g"
    fi
    apache_changed=no
    for apache_part in apache2.conf certctl.conf certctl-fastcgi.conf certctl-pki.conf; do
        if write_file "$run_dir/apache/$apache_part" 0644 root root "$(apache_fill "$apache_part")"; then
            apache_changed=yes
        fi
    done
}

apache_test()
{
    env -i "PATH=$clean_path" LC_ALL=C.UTF-8 apache2 -f "$apache_conf" -t \
        </dev/null >"$apache_start_log" 2>&1 9>&- ||
        die 'Apache refuses its configuration' "$apache_start_log" "the templates are in $top/apache"
}

apache_reload()
{
    apache_test
    process_alive apache && kill -s USR1 "$rec_pid"
}

apache_started()
{
    [ -s "$apache_pid_file" ] || ! process_alive apache
}

apache_start()
{
    apache_test
    rm -f "$apache_pid_file"
    process_start apache apache env -i "PATH=$clean_path" LC_ALL=C.UTF-8 apache2 -f "$apache_conf" -D FOREGROUND
    wait_until 10 apache_started || die 'Apache wrote no pid' "$apache_log" ''
    process_alive apache || die "Apache does not start on port $port" "$apache_log" \
        "if the port is taken: CERTCTL_RUN_PORT=9443 ./run"
}

apache_up()
{
    step_begin apache
    apache_configure
    if ! process_alive apache; then
        process_stop apache
        apache_start
        step_did "started, https://localhost:$port, pid $rec_pid"
    elif [ "$apache_changed" = yes ]; then
        apache_reload
        step_did "reloaded after a change, https://localhost:$port"
    else
        step_kept "running, https://localhost:$port, pid $rec_pid"
    fi
}
