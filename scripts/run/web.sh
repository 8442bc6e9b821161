# scripts/run/web.sh: the web server that was chosen, nginx or Apache: what is the same for both.
# shellcheck shell=sh disable=SC2034,SC2154

web_log=$run_dir/log/$web.log

# The port is one: the other server goes first, with the requests in its hand.
web_up()
{
    case $web in
    apache)
        process_stop nginx QUIT 10
        apache_up
        ;;
    *)
        process_stop apache WINCH 10
        nginx_up
        ;;
    esac
}

# For certctl-site-reload.
web_server()
{
    case $web in
    apache) echo "--server=apache2 --conf=$run_dir/apache/apache2.conf" ;;
    *) echo "--server=nginx --conf=$run_dir/nginx/nginx.conf" ;;
    esac
}

web_reload()
{
    case $web in
    apache) apache_reload ;;
    *) nginx_reload ;;
    esac
}

# $1 path, $2 expected status; trust in the root and in the certificate of the first start.
web_answers()
{
    [ "$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 --noproxy '*' --cacert "$site_trust" \
        "https://localhost:$port$1" 2>/dev/null)" = "$2" ]
}

# Answered by the web server and a responder, before anything is asked of them.
health_up()
{
    step_begin health
    wait_until 15 web_answers /health 200 ||
        die "/health does not answer 200" "$run_dir/log/probe.log" './run doctor looks at each part'
    wait_until 15 web_answers /acme/directory 200 ||
        die "/acme/directory does not answer 200" "$run_dir/log/acme.log" './run doctor looks at each part'
    for health_name in $(pool_names); do
        process_alive "$health_name" || die "$health_name has ended" "$run_dir/log/$health_name.log" './run doctor looks at each part'
    done
    wait_until 15 web_answers /api/v1/issuers 401 ||
        die "/api/v1/issuers without a key does not answer 401" "$run_dir/log/api.log" './run doctor looks at each part'
    step_kept '/health, /acme/directory and /api/v1 answer'
}
