# scripts/run/nginx.sh: the web server's files from nginx/*.in, its start and reload.
# shellcheck shell=sh disable=SC2034,SC2154

nginx_conf=$run_dir/nginx/nginx.conf
nginx_log=$run_dir/log/nginx.log

nginx_names()
{
    printf 'localhost 127.0.0.1 "[::1]"'
    nginx_host=$(hostname 2>/dev/null || true)
    case $nginx_host in
    '' | localhost | *[!A-Za-z0-9.-]*) ;;
    *) printf ' %s' "$nginx_host" ;;
    esac
}

# The settings of the processes that the web server keeps, too.
nginx_ocsp_rate()
{
    nginx_rate=$(sed -n 's/^CERTCTL_OCSP_RATE_LIMIT_PER_IP_MIN=\([0-9]*\)$/\1/p' "$env_file")
    nginx_rate=${nginx_rate:-1000}
    [ "$nginx_rate" -gt 0 ] || nginx_rate=60000000 # no limit
    printf '%s' "$nginx_rate"
}

nginx_crl_max_age()
{
    nginx_age=$(sed -n 's/^CERTCTL_CRL_MAX_AGE=\([0-9]*\)$/\1/p' "$env_file")
    printf '%s' "${nginx_age:-3600}"
}

# @NAMES@ of a template filled in. The run directory's path has no character that sed minds.
nginx_fill()
{
    sed -e "s|@USER_LINE@|$(is_root && echo 'user www-data;')|" \
        -e "s|@RUN_DIR@|$run_dir|g" \
        -e "s|@CONF_DIR@|$run_dir/nginx|g" \
        -e "s|@LOG_DIR@|$run_dir/log|g" \
        -e "s|@RUNTIME_DIR@|$run_dir/run|g" \
        -e "s|@EDGE_KEY_FILE@|$edge_file|g" \
        -e "s|@CERTIFICATE@|$site_certificate|g" \
        -e "s|@CERTIFICATE_KEY@|$site_key|g" \
        -e "s|@SERVER_NAMES@|$(nginx_names)|g" \
        -e "s|@OPEN_RATE@|$rate|g" \
        -e "s|@OPEN_BURST@|$((rate * 2))|g" \
        -e "s|@PUBLISH_DIR@|$run_dir/pki|g" \
        -e "s|@CACHE_DIR@|$run_dir/nginx/cache|g" \
        -e "s|@OCSP_RATE@|$(nginx_ocsp_rate)|g" \
        -e "s|@OCSP_BURST@|$(nginx_ocsp_rate)|g" \
        -e "s|@CRL_MAX_AGE@|$(nginx_crl_max_age)|g" \
        -e "s|@LISTEN4@|127.0.0.1:$port|g" \
        -e "s|@HTTP_LISTEN4@|127.0.0.1:$http_port|g" \
        -e "$nginx_listen6" \
        -e "$nginx_http_listen6" \
        "$top/nginx/$1.in"
}

nginx_configure()
{
    nginx_listen6='/@LISTEN6@/d' nginx_http_listen6='/@HTTP_LISTEN6@/d'
    if grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 2>/dev/null; then
        nginx_listen6="s|@LISTEN6@|[::1]:$port|g" nginx_http_listen6="s|@HTTP_LISTEN6@|[::1]:$http_port|g"
    fi
    nginx_changed=no
    for nginx_part in nginx.conf certctl.conf certctl-fastcgi.conf certctl-pki.conf certctl-ocsp.conf; do
        if write_file "$run_dir/nginx/$nginx_part" 0644 root root "$(nginx_fill "$nginx_part")"; then
            nginx_changed=yes
        fi
    done
    # OCSPResponse { unauthorized } for who asks too often
    [ -s "$run_dir/nginx/ocsp-limited.der" ] || printf '0\003\n\001\006' >"$run_dir/nginx/ocsp-limited.der"
}

nginx_run_once()
{
    env -i "PATH=$clean_path" LC_ALL=C.UTF-8 nginx -p "$run_dir/nginx/" -c "$nginx_conf" -e "$nginx_log" "$@" \
        </dev/null >>"$run_dir/log/nginx-start.log" 2>&1 9>&-
}

# The link to the site's certificate may be turned between the reads of chain and key: then once more.
nginx_run()
{
    nginx_run_once "$@" || { grep -q 'key values mismatch' "$run_dir/log/nginx-start.log" && nginx_run_once "$@"; }
}

nginx_test()
{
    : >"$run_dir/log/nginx-start.log"
    nginx_run -t || die 'nginx refuses its configuration' "$run_dir/log/nginx-start.log" "the templates are in $top/nginx"
}

nginx_reload()
{
    nginx_test
    process_alive nginx && kill -s HUP "$rec_pid"
}

nginx_start()
{
    # one that a killed nginx left would be taken for somebody's
    rm -f "$run_dir/run/ocsp-refresh.sock"
    nginx_test
    : >"$run_dir/log/nginx-start.log"
    nginx_run || die "nginx does not start on port $port" "$run_dir/log/nginx-start.log" \
        "if a port is taken: CERTCTL_RUN_PORT=9443 CERTCTL_RUN_HTTP_PORT=9080 ./run"
    wait_until 5 test -s "$run_dir/nginx/nginx.pid" || die 'nginx wrote no pid' "$nginx_log" ''
    read -r nginx_pid <"$run_dir/nginx/nginx.pid"
    process_record nginx "$nginx_pid" nginx
}

nginx_up()
{
    step_begin nginx
    nginx_configure
    if ! process_alive nginx; then
        process_stop nginx
        nginx_start
        step_did "started, https://localhost:$port, pid $nginx_pid"
    elif [ "$nginx_changed" = yes ]; then
        nginx_reload
        step_did "reloaded after a change, https://localhost:$port"
    else
        step_kept "running, https://localhost:$port, pid $rec_pid"
    fi
}
