# scripts/run/postgres.sh: the private PostgreSQL cluster: a unix socket, peer authentication, one
# role per OS user, durable as PostgreSQL comes.
# shellcheck shell=sh disable=SC2034,SC2154

pg_data=$run_dir/pg/data
pg_socket=$run_dir/run/pg
pg_log=$run_dir/log/postgres.log

pg_run()
{
    as_user "$pg_user" env -i "PATH=$pg_bin:$clean_path" LC_ALL=C.UTF-8 TZ=UTC "$@" 9>&-
}

# As superuser over the socket; more options or SQL follow.
pg_psql()
{
    pg_run psql -h "$pg_socket" -U postgres -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

# Under another name until it is whole: initdb writes PG_VERSION first.
pg_initdb()
{
    rm -rf "$pg_data.new"
    if is_root; then
        install -d -m 0700 -o "$pg_user" -g "$pg_user" "$pg_data.new"
    fi
    pg_run initdb -D "$pg_data.new" --username=postgres --encoding=UTF8 --locale=C.UTF-8 \
        --auth=peer --data-checksums >>"$pg_log" 2>&1 || die 'initdb failed' "$pg_log" ''
    mv -T "$pg_data.new" "$pg_data" || die "$pg_data is there and no cluster" '' 'look what it is, and remove it'
}

# Connections: each worker one, each of eight jobs two (one holds the job's lock), and room for
# certctl-admin, psql and the superuser.
pg_settings()
{
    cat <<END
# Written by ./run; your own settings go into $pg_data/local.conf, which wins.
data_directory = '$pg_data'
hba_file = '$pg_data/pg_hba.conf'
ident_file = '$pg_data/pg_ident.conf'
listen_addresses = ''
unix_socket_directories = '$pg_socket'
max_connections = $((workers + 2 + 2 + 18 + 20))
shared_buffers = 128MB
max_wal_size = 512MB
timezone = UTC
log_timezone = UTC
log_line_prefix = '%m [%p] %u %a '
log_checkpoints = off
lc_messages = 'C'
datestyle = 'iso, ymd'
include_if_exists = 'local.conf'
END
}

pg_ident()
{
    if ! is_root; then
        for pg_name in postgres certctl_owner certctl_sealer $(echo "$users_all" | tr - _); do
            echo "certctl $me $pg_name"
        done
        return
    fi
    echo 'certctl postgres postgres'
    echo 'certctl postgres certctl_owner'
    # the signer has no database
    for pg_name in $users_all; do
        role_of "$pg_name"
        [ "$pg_name" = certctl-signer ] || echo "certctl $pg_name $role"
    done
}

pg_file()
{
    if write_file "$pg_data/$1" 0600 "$pg_user" "$pg_user" "$2"; then
        pg_changed=yes
    fi
}

# True when one of the files is new.
pg_configure()
{
    pg_changed=no
    pg_file postgresql.conf "$(pg_settings)"
    [ -e "$pg_data/local.conf" ] || pg_run touch "$pg_data/local.conf"
    pg_file pg_hba.conf 'local all all peer map=certctl'
    pg_file pg_ident.conf "$(pg_ident)"
    [ "$pg_changed" = yes ]
}

pg_answers()
{
    pg_run pg_isready -q -h "$pg_socket"
}

# Nobody works in the data directory any more.
pg_deserted()
{
    for pg_path in /proc/[0-9]*; do
        [ "$(readlink "$pg_path/cwd" 2>/dev/null)" != "$pg_data" ] || return 1
    done
}

# After a kill -9 the server's own lock file names a process that ended. Where nobody reaps it (a
# container without an init) the number still answers, and PostgreSQL would refuse to start.
pg_unlock()
{
    [ -e "$pg_data/postmaster.pid" ] || return 0
    read -r pg_pid <"$pg_data/postmaster.pid"
    if process_look "$pg_pid" && [ "$state" = Z ] && wait_until 10 pg_deserted; then
        rm -f "$pg_data/postmaster.pid" "$pg_socket"/.s.PGSQL.*
    fi
}

pg_start()
{
    pg_unlock
    # the server keeps pg_ctl's output: opened by us, in a directory that it cannot write to
    pg_run pg_ctl start -D "$pg_data" -w -t 60 -s </dev/null >>"$pg_log" 2>&1 ||
        die 'PostgreSQL does not start' "$pg_log" 'the last lines of the log say why'
    read -r pg_pid <"$pg_data/postmaster.pid"
    process_record postgres "$pg_pid" "$pg_bin"
}

pg_up()
{
    step_begin PostgreSQL
    if [ -r "$pg_data/PG_VERSION" ]; then
        read -r pg_major <"$pg_data/PG_VERSION"
        pg_bin=/usr/lib/postgresql/$pg_major/bin
        [ -x "$pg_bin/postgres" ] || die "the cluster is of PostgreSQL $pg_major, which is not installed" '' \
            "apt-get install postgresql-$pg_major"
        pg_what=started
    else
        pg_initdb
        pg_what='new cluster, started'
    fi
    if pg_configure && process_alive postgres; then
        process_stop postgres INT 60
        pg_what='restarted: its settings changed'
    fi
    if process_alive postgres && pg_answers; then
        step_kept "running, socket in $pg_socket"
        return
    fi
    pg_start
    step_did "$pg_what ($("$pg_bin/postgres" --version | cut -d' ' -f3)), socket in $pg_socket"
}

# Database, roles, schema, demo profiles. certctl-migrate makes the roles and becomes their owner.
schema_up()
{
    step_begin schema
    schema_log=$run_dir/log/migrate.log
    schema_made=''
    if [ "$(pg_psql -d postgres -c "SELECT 1 FROM pg_database WHERE datname = 'certctl'")" != 1 ]; then
        pg_psql -d postgres -c 'CREATE DATABASE certctl' 2>>"$schema_log" ||
            die 'the database cannot be made' "$schema_log" ''
        schema_made='database certctl, '
    fi
    schema_before=$(schema_version)
    with_settings postgres "$run_dir/bin/certctl-migrate" --up >>"$schema_log" 2>&1 9>&- ||
        die 'certctl-migrate --up failed' "$schema_log" 'the last line says why; a migration that was changed after it was applied needs ./run destroy'
    schema_profiles=$(schema_demo)
    schema_after=$(schema_version)
    if [ "$schema_before" = "$schema_after" ] && [ "$schema_profiles" = 0 ]; then
        step_kept "version $schema_after, demo profiles there"
    else
        step_did "${schema_made}version $schema_after, $schema_profiles new demo profiles"
    fi
}

schema_version()
{
    pg_psql -d certctl -c "SELECT max(version) FROM schema_migrations WHERE version ~ '^[0-9]'" 2>/dev/null || true
}

# Prints how many profiles the demo file added.
schema_demo()
{
    pg_psql -d certctl -c 'SET ROLE certctl_owner' -f "$run_dir/sql/demo.sql" 2>>"$schema_log" ||
        die 'the demo profiles cannot be entered' "$schema_log" "read $run_dir/sql/demo.sql"
}
