# scripts/run/packages.sh: the Debian packages that are missing, and nothing that they start.
# shellcheck shell=sh disable=SC2034,SC2154

# Package, and the file that shows that it (or something as good) is there.
packages_table()
{
    case $web in
    apache) echo 'apache2-bin /usr/sbin/apache2' ;;
    *) echo 'nginx /usr/sbin/nginx' ;;
    esac
    cat <<'END'
spawn-fcgi      /usr/bin/spawn-fcgi
multiwatch      /usr/bin/multiwatch
openssl         /usr/bin/openssl
curl            /usr/bin/curl
certbot         /usr/bin/certbot
END
    if [ "$demo" = yes ]; then
        echo 'lego /usr/bin/lego'
    fi
    [ -z "$build_from" ] || return 0
    cat <<'END'
gcc             /usr/bin/gcc
libc6-dev       /usr/include/stdio.h
make            /usr/bin/make
autoconf        /usr/bin/autoreconf
automake        /usr/bin/automake
pkg-config      /usr/bin/pkg-config
libtalloc-dev   /usr/include/talloc.h
libjansson-dev  /usr/include/jansson.h
libpq-dev       /usr/include/postgresql/libpq-fe.h
libssl-dev      /usr/include/openssl/ssl.h
libfcgi-dev     /usr/include/fcgiapp.h
libidn2-dev     /usr/include/idn2.h
libpcre2-dev    /usr/include/pcre2.h
libcurl4-openssl-dev /usr/bin/curl-config
libunbound-dev  /usr/include/unbound.h
libseccomp-dev  /usr/include/seccomp.h
libp11-kit-dev  /usr/include/p11-kit-1/p11-kit/p11-kit.h
END
}

# The newest PostgreSQL here that is recent enough, into pg_bin; '' when there is none.
packages_postgres()
{
    pg_bin=''
    for packages_major in 15 16 17 18; do
        if [ -x "/usr/lib/postgresql/$packages_major/bin/initdb" ]; then
            pg_bin=/usr/lib/postgresql/$packages_major/bin
        fi
    done
}

packages_missing()
{
    packages_table | while read -r packages_name packages_file; do
        [ -e "$packages_file" ] || printf ' %s' "$packages_name"
    done
    packages_postgres
    [ -n "$pg_bin" ] || printf ' postgresql'
}

# What runs now of the services that our packages bring, one line each.
packages_services()
{
    if [ -d /run/systemd/system ]; then
        systemctl list-units --type=service,timer --state=active --no-legend --plain 2>/dev/null |
            awk '$1 ~ /^(nginx|postgresql@.*|certbot)\.(service|timer)$/ { print $1 }'
        return
    fi
    if [ -r /run/nginx.pid ] && kill -0 "$(cat /run/nginx.pid)" 2>/dev/null; then
        echo nginx
    fi
    [ ! -x /usr/bin/pg_lsclusters ] || pg_lsclusters -h 2>/dev/null |
        awk '$4 ~ /^online/ { print "postgresql@" $1 "-" $2 }'
}

packages_stop_service()
{
    case $1 in
    *.service | *.timer) as_admin systemctl stop "$1" ;;
    postgresql@*)
        packages_cluster=${1#postgresql@}
        as_admin pg_ctlcluster "${packages_cluster%%-*}" "${packages_cluster#*-}" stop
        ;;
    *) as_admin service "$1" stop ;;
    esac
}

# Root's rights, for packages only.
as_admin()
{
    if is_root; then
        "$@"
    else
        sudo "$@"
    fi
}

packages_install()
{
    packages_log=$run_dir/log/packages.log
    packages_hint="apt-get update && apt-get install$1"
    if ! is_root; then
        [ -x /usr/bin/sudo ] || die "missing packages:$1" '' "as root: $packages_hint"
        note "asking sudo to install:$1"
    fi
    # shellcheck disable=SC2086 # a list of names
    {
        as_admin apt-get update &&
            as_admin env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $1
    } >>"$packages_log" 2>&1 || die "apt-get could not install:$1" "$packages_log" "as root: $packages_hint"
}

# Services that the installation started are stopped again: who wants ./run did not ask for a web
# server on port 80 or a database cluster of the system.
packages_quieten()
{
    packages_started=$(printf '%s\n' "$2" | grep -vxF -e "$1" -e '' || true)
    for packages_unit in $packages_started; do
        packages_stop_service "$packages_unit" >>"$packages_log" 2>&1 || true
        note "the installation had started $packages_unit; stopped again (at the next boot it starts, unless disabled)"
    done
}

packages_up()
{
    step_begin packages
    [ -x /usr/bin/dpkg ] || die 'this is no Debian system' '' 'doc/ says what certctl needs; ./run is made for Debian 12'
    packages_list=$(packages_missing)
    if [ -z "$packages_list" ]; then
        packages_postgres
        step_kept 'all installed'
        return
    fi
    packages_before=$(packages_services)
    packages_install "$packages_list"
    packages_quieten "$packages_before" "$(packages_services)"
    [ -z "$(packages_missing)" ] || die "still missing after the installation:$(packages_missing)" "$packages_log" ''
    packages_postgres
    step_did "installed$packages_list"
}
