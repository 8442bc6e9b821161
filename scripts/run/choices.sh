# scripts/run/choices.sh: what the caller chose by variables, remembered in the run directory, so that
# ./run stop or a second ./run needs no variables but the place.
# shellcheck shell=sh disable=SC2034,SC2154

choices_file=$run_dir/choices

choices_workers()
{
    choices_cpus=$(nproc)
    [ "$choices_cpus" -lt 8 ] || choices_cpus=8
    echo $((2 * choices_cpus))
}

choices_check()
{
    case $port-$http_port-$workers-$rate in
    -* | *--* | *- | *[!0-9-]*) die "ports '$port' and '$http_port', workers '$workers', rate '$rate': a number is wanted" '' 'see ./run help' ;;
    esac
    case $web in
    nginx | apache) ;;
    *) die "there is no web server '$web' here" '' 'nginx or apache' ;;
    esac
    if [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then
        die "port $port is none" '' 'see ./run help'
    elif [ "$http_port" -lt 1 ] || [ "$http_port" -gt 65535 ] || [ "$http_port" -eq "$port" ]; then
        die "port $http_port is none for plain http" '' 'see ./run help'
    elif [ "$workers" -lt 1 ] || [ "$workers" -gt 200 ]; then
        die "$workers workers are too few or too many" '' '1 to 200'
    elif [ "$rate" -lt 1 ]; then
        die "rate $rate is too low" '' 'see ./run help'
    elif ! is_root && { [ "$port" -lt 1024 ] || [ "$http_port" -lt 1024 ]; }; then
        die "port $port or $http_port needs root" '' 'choose one above 1023'
    fi
}

# Remembered paths must mean the same from any directory.
choices_absolute()
{
    case $build_from in '' | /*) ;; *) build_from=$PWD/$build_from ;; esac
    case $extra_env in '' | /*) ;; *) extra_env=$PWD/$extra_env ;; esac
}

choices_read()
{
    port=8443 http_port=8080 web=nginx workers=$(choices_workers) rate=200 demo=yes build_from='' extra_env=''
    if [ -r "$choices_file" ]; then
        while IFS='=' read -r choices_name choices_value; do
            case $choices_name in
            port) port=$choices_value ;;
            http_port) http_port=$choices_value ;;
            web) web=$choices_value ;;
            workers) workers=$choices_value ;;
            rate) rate=$choices_value ;;
            demo) demo=$choices_value ;;
            build) build_from=$choices_value ;;
            env) extra_env=$choices_value ;;
            esac
        done <"$choices_file"
    fi
    port=${CERTCTL_RUN_PORT:-$port}
    http_port=${CERTCTL_RUN_HTTP_PORT:-$http_port}
    web=${CERTCTL_RUN_WEB:-$web}
    workers=${CERTCTL_RUN_WORKERS:-$workers}
    rate=${CERTCTL_RUN_RATE:-$rate}
    demo=${CERTCTL_RUN_DEMO:-$demo}
    build_from=${CERTCTL_RUN_BUILD-$build_from}
    extra_env=${CERTCTL_RUN_ENV-$extra_env}
    choices_absolute
    choices_check
}

choices_keep()
{
    write_file "$choices_file" 0644 root root "port=$port
http_port=$http_port
web=$web
workers=$workers
rate=$rate
demo=$demo
build=$build_from
env=$extra_env" || true
}

choices_read
