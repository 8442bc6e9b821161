# scripts/run/secrets.sh: the edge key, the passphrase of sealed secrets, and certctl.env, which holds no
# secret (10 section 7).
# shellcheck shell=sh disable=SC2034,SC2154

env_file=$run_dir/certctl.env
edge_source=$run_dir/secrets/edge.nginx
edge_apache=$run_dir/secrets/edge.apache
# what the web server of this installation reads
edge_file=$run_dir/secrets/edge.$web

# The passphrase, and the lines that only those processes get that may read it.
seal_key=$run_dir/seal/config-encryption-key
seal_env=$run_dir/seal/seal.env

# env_lines USER: what its processes have as environment.
env_lines()
{
    cat "$env_file"
    case " root $users_seal " in
    *" $1 "*) [ ! -e "$seal_env" ] || cat "$seal_env" ;;
    esac
}

# Once; the lines are left alone, since an operator writes the previous passphrase's there (04 section 15.4).
seal_make()
{
    if [ ! -s "$seal_key" ]; then
        seal_text=$(openssl rand -base64 32) || die 'openssl rand failed' '' ''
        write_file "$seal_key" 0640 root certctl-seal "$seal_text"
        seal_text=''
        secrets_what="${secrets_what}new passphrase in $seal_key, "
    fi
    [ -s "$seal_env" ] || write_file "$seal_env" 0640 root certctl-seal "CERTCTL_CONFIG_ENCRYPTION_KEY_FILE=$seal_key"
}

# 32 random bytes as hex in a param that root's web server reads before it drops its rights.
edge_make()
{
    edge_key=$(openssl rand -hex 32) || die 'openssl rand failed' '' ''
    write_file "$edge_source" 0600 root root "fastcgi_param CERTCTL_EDGE_KEY $edge_key;"
}

# The passphrase of back-ups, which stands in none of them: keep it elsewhere too.
passphrase_make()
{
    backup_passphrase=$(openssl rand -base64 32) || die 'openssl rand failed' '' ''
    write_file "$run_dir/secrets/backup.passphrase" 0600 root root "$backup_passphrase"
}

# The SHA-256 of the key as the responders compare it: of the text that the param carries.
edge_sha256()
{
    read -r _ _ edge_key <"$edge_source"
    edge_key=${edge_key%;}
    edge_digest=$(printf '%s' "$edge_key" | sha256sum | cut -c 1-64)
}

secrets_settings()
{
    cat <<END
# Written by ./run at each start. More lines: CERTCTL_RUN_ENV=FILE ./run
CERTCTL_DATABASE_URL=host=$pg_socket dbname=certctl
CERTCTL_DATABASE_MIGRATIONS_PATH=$run_dir/sql
CERTCTL_RUNTIME_DIR=$run_dir/run
CERTCTL_STATE_DIR=$run_dir/state
CERTCTL_CA_KEY_DIR=$run_dir/state/ca
CERTCTL_OCSP_RESPONDER_KEY_DIR=$run_dir/state/ocsp
CERTCTL_OCSP_REFRESH_SOCKET=$([ "$web" = apache ] && echo "127.0.0.1:$http_port" || echo "$run_dir/run/ocsp-refresh.sock")
CERTCTL_SIGNER_SOCKET=$run_dir/run/signer.sock
CERTCTL_SIGNER_ADMIN_SOCKET=$run_dir/run/signer-admin.sock
CERTCTL_SIGNER_LOG_PATH=$run_dir/state/signer-log/signer.log
CERTCTL_EDGE_KEY_SHA256=$edge_digest
CERTCTL_PKI_BASE_URL=http://localhost:$http_port
CERTCTL_PKI_PUBLISH_DIR=$run_dir/pki
CERTCTL_SITE_CERT_NAMES=localhost,127.0.0.1,::1
CERTCTL_SITE_CERT_PROFILE_ID=prof-test
CERTCTL_SITE_CERT_DIR=$run_dir/site
CERTCTL_SITE_CERT_PROBE=127.0.0.1:$port
CERTCTL_SITE_CERTIFICATE_INTERVAL=1m
CERTCTL_BACKUP_PATHS=$run_dir/secrets,$run_dir/seal
CERTCTL_BACKUP_PASSPHRASE_PATH=$run_dir/secrets/backup.passphrase
CERTCTL_ACME_SERVER_ENABLED=true
CERTCTL_ACME_SERVER_DEFAULT_PROFILE_ID=prof-test
CERTCTL_ACME_SERVER_BASE_URL=https://localhost:$port
END
}

# The caller's own lines win: an earlier line of the same name goes.
secrets_merge()
{
    secrets_settings
    [ -n "$extra_env" ] || return 0
    cat "$extra_env"
}

secrets_check_extra()
{
    [ -n "$extra_env" ] || return 0
    [ -r "$extra_env" ] || die "CERTCTL_RUN_ENV=$extra_env cannot be read" '' 'name a readable file'
    secrets_bad=$(grep -nvE '^([A-Z_][A-Z0-9_]*=.*|#.*|[[:space:]]*)$' "$extra_env" || true)
    [ -z "$secrets_bad" ] || die "$extra_env: not NAME=value: $secrets_bad" '' 'one NAME=value per line, no quotes'
}

secrets_up()
{
    step_begin 'edge key, settings'
    secrets_check_extra
    secrets_what=''
    if [ ! -s "$edge_source" ]; then
        edge_make
        secrets_what="new edge key in $edge_source, "
    fi
    if [ ! -s "$run_dir/secrets/backup.passphrase" ]; then
        passphrase_make
        secrets_what="${secrets_what}new passphrase for back-ups, "
    fi
    edge_sha256
    seal_make
    # the same key in Apache's words, so that the web server can be changed at any time
    write_file "$edge_apache" 0600 root root "ProxyFCGISetEnvIf \"true\" CERTCTL_EDGE_KEY \"$edge_key\"" || true
    # the last line of a name stays
    secrets_text=$(secrets_merge | awk -F= '
        /^[A-Z_]/ { if (!($1 in at)) at[$1] = ++n; line[at[$1]] = $0; next }
        /./ { line[++n] = $0 }
        END { for (i = 1; i <= n; i++) print line[i] }')
    if write_file "$env_file" 0644 root root "$secrets_text"; then
        secrets_what="${secrets_what}wrote $env_file"
    fi
    if [ -n "$secrets_what" ]; then
        step_did "${secrets_what%, }"
    else
        step_kept "$env_file"
    fi
}

# A passphrase that is not this database's stops here, not with the first secret.
seal_up()
{
    step_begin passphrase
    seal_log=$run_dir/log/seal.log
    seal_said=$(with_settings root "$run_dir/bin/certctl-admin" reseal --check 2>"$seal_log" 9>&-) ||
        die "$(tail -n 1 "$seal_log")" "$seal_log" "$seal_env names its file; put the right one there"
    step_kept "$seal_said"
}

# Names and values are checked by the program that owns the rules, before anything starts.
secrets_check()
{
    step_begin 'settings check'
    secrets_log=$run_dir/log/config.log
    with_settings root "$run_dir/bin/certctl-config" check >"$secrets_log" 2>&1 9>&- ||
        die 'certctl-config check refuses the settings' "$secrets_log" "$env_file, or the file of CERTCTL_RUN_ENV"
    step_kept 'certctl-config check'
}
