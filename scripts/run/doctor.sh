# scripts/run/doctor.sh: looks at every part and says one line each: what is right, or why it is not
# and the cure. Changes nothing.
# shellcheck shell=sh disable=SC2034,SC2154

doctor_bad=0

doctor_ok()
{
    printf '  %sok%s    %-17s %s\n' "$green" "$plain" "$1" "$2"
}

# What, why, cure.
doctor_fail()
{
    doctor_bad=$((doctor_bad + 1))
    printf '  %sFAIL%s  %-17s %s; cure: %s\n' "$red" "$plain" "$1" "$2" "$3"
}

doctor_warn()
{
    printf '  %swarn%s  %-17s %s; cure: %s\n' "$yellow" "$plain" "$1" "$2" "$3"
}

doctor_packages()
{
    doctor_list=$(packages_missing)
    packages_postgres
    if [ -z "$doctor_list" ]; then
        doctor_ok packages 'all installed'
    else
        doctor_fail packages "missing:$doctor_list" './run installs them'
    fi
}

doctor_users()
{
    if ! is_root; then
        doctor_warn users "one uid, $me: a lost responder is not kept from CA keys and database" 'run as root for a user per process'
        return
    fi
    doctor_list=''
    for doctor_user in $users_all; do
        case " $(id -nG "$doctor_user" 2>/dev/null) " in
        *" certctl "*) ;;
        *) doctor_list="$doctor_list $doctor_user" ;;
        esac
    done
    if [ -n "$doctor_list" ]; then
        doctor_fail users "missing, or not in group certctl:$doctor_list" ./run
    elif [ "$(getent group certctl-edge | cut -d: -f4)" != www-data ]; then
        doctor_fail users "members of certctl-edge are '$(getent group certctl-edge | cut -d: -f4)', not www-data alone" \
            'gpasswd -M www-data certctl-edge'
    else
        doctor_ok users "$(echo "$users_all" | wc -w) of ours in certctl; certctl-edge is www-data alone"
    fi
}

doctor_disk()
{
    doctor_free=$(df -Pk "$run_dir" | awk 'NR == 2 { print int($4 / 1024) }')
    doctor_inodes=$(df -Pi "$run_dir" | awk 'NR == 2 { print $4 }')
    if [ "$doctor_free" -lt 200 ]; then
        doctor_fail disk "$doctor_free MiB free below $run_dir: PostgreSQL stops when it is full" 'make room'
    elif [ "$doctor_free" -lt 1024 ]; then
        doctor_warn disk "$doctor_free MiB free below $run_dir" 'make room'
    elif [ "$doctor_inodes" != - ] && [ "$doctor_inodes" -lt 1000 ]; then
        doctor_fail disk "$doctor_inodes inodes free below $run_dir" 'remove small files'
    else
        doctor_ok disk "$doctor_free MiB free"
    fi
}

# Certificates are dated by this clock; a signature from before its CA is worth nothing.
doctor_clock()
{
    doctor_now=$(date +%s)
    doctor_born=$(date -d "$(openssl x509 -in "$root_file" -noout -startdate 2>/dev/null | cut -d= -f2)" +%s 2>/dev/null || echo 0)
    doctor_sync=$(timedatectl show -p NTPSynchronized --value 2>/dev/null || true)
    if [ "$doctor_now" -lt "$doctor_born" ]; then
        doctor_fail clock "it is $(date -u), before the root's own start" 'set the clock: timedatectl set-ntp true'
    elif [ "$doctor_sync" = no ]; then
        doctor_warn clock "$(date -u), not synchronised" 'timedatectl set-ntp true'
    else
        doctor_ok clock "$(date -u)"
    fi
}

doctor_processes()
{
    for doctor_name in postgres $(pool_names) "$web"; do
        if process_alive "$doctor_name"; then
            continue
        fi
        doctor_fail "$doctor_name" 'is not running' "./run starts it; $run_dir/log/$doctor_name.log says why it ended"
    done
    [ "$doctor_bad" -gt 0 ] || doctor_ok processes "postgres $(pool_names)$web"
}

# A socket that the wrong user owns is either useless or open to the wrong one.
doctor_sockets()
{
    pool_table | while read -r pool_name pool_user _ pool_group _; do
        [ "$pool_group" != - ] || continue
        doctor_want="socket 660 $pool_user:$pool_group"
        is_root || doctor_want="socket 660 $me:$(id -gn)"
        doctor_have=$(stat -c '%F %a %U:%G' "$run_dir/run/$pool_name.sock" 2>/dev/null || echo missing)
        [ "$doctor_have" = "$doctor_want" ] || echo "$pool_name.sock is '$doctor_have', should be '$doctor_want'. "
    done >"$doctor_scratch"
    if [ -s "$doctor_scratch" ]; then
        doctor_fail sockets "$(tr -d '\n' <"$doctor_scratch")" './run stop && ./run makes them anew'
    else
        doctor_ok sockets "owner, group and mode are right below $run_dir/run"
    fi
}

# What the kernel says of each process of ours: no new privileges, and a filter of system calls.
# Builds with sanitizers have none (lib/core/confine.h), and say so by their size.
doctor_confinement()
{
    doctor_list='' doctor_count=0
    for doctor_name in $(pool_names); do
        [ "$doctor_name" != site-reload ] && process_recorded "$doctor_name" || continue
        for doctor_pid in $(process_left); do
            case $(tr '\0' ' ' 2>/dev/null <"/proc/$doctor_pid/cmdline") in
            "$run_dir/bin/"*) ;;
            *) continue ;;
            esac
            doctor_status=$(awk '/^(NoNewPrivs|Seccomp):/ { printf "%s%s ", $1, $2 }' "/proc/$doctor_pid/status" 2>/dev/null)
            doctor_count=$((doctor_count + 1))
            [ "$doctor_status" = 'NoNewPrivs:1 Seccomp:2 ' ] || doctor_list="$doctor_list $doctor_name ($doctor_pid: $doctor_status)"
        done
    done
    if [ -z "$doctor_list" ] && [ "$doctor_count" -gt 0 ]; then
        doctor_ok confinement "$doctor_count processes have no new privileges and a filter of system calls"
    elif grep -q __asan_init "$run_dir/bin/certctl-signer"; then
        doctor_warn confinement 'these binaries are built with sanitizers, which cannot work confined' 'build without --with-sanitizer'
    else
        doctor_warn confinement "not confined:$doctor_list" "grep confinement $run_dir/log/*.log, which says why"
    fi
}

doctor_edge()
{
    if [ ! -s "$edge_file" ]; then
        doctor_fail 'edge key' "$edge_file is missing" './run stop && ./run makes one'
        return
    fi
    edge_sha256
    if ! grep -q "^CERTCTL_EDGE_KEY_SHA256=$edge_digest\$" "$env_file"; then
        doctor_fail 'edge key' "$env_file has the digest of another key: every request gets 403" './run writes it anew'
    elif [ "$(stat -c '%a %u' "$edge_file")" != "600 $uid" ]; then
        doctor_fail 'edge key' "$edge_file is $(stat -c '%a %U' "$edge_file"): others may read it" \
            "rm $edge_file && ./run, which makes a new key"
    else
        doctor_ok 'edge key' "600, digest in certctl.env is right"
    fi
}

doctor_seal()
{
    if [ "$(stat -c %a "$seal_key" 2>/dev/null)" != 640 ] || { is_root && [ "$(stat -c %U:%G "$seal_key")" != root:certctl-seal ]; }; then
        doctor_fail passphrase "$seal_key is missing, or not 640 root:certctl-seal" "chown root:certctl-seal, chmod 640 $seal_key"
    elif doctor_said=$(with_settings root "$run_dir/bin/certctl-admin" reseal --check 2>&1); then
        doctor_ok passphrase "$doctor_said"
    else
        doctor_fail passphrase "$(printf '%s\n' "$doctor_said" | tail -n 1)" "$seal_env names its file; put the right one there"
    fi
}

doctor_settings()
{
    if with_settings root "$run_dir/bin/certctl-config" check >"$doctor_scratch" 2>&1; then
        doctor_ok settings 'certctl-config check finds nothing'
    else
        doctor_fail settings "$(tail -n 1 "$doctor_scratch")" "$env_file, or the file of CERTCTL_RUN_ENV"
    fi
}

# Each OS user reaches its own role, and not another's.
doctor_roles()
{
    doctor_list=''
    for doctor_user in $users_all; do
        [ "$doctor_user" != certctl-signer ] || continue
        role_of "$doctor_user"
        doctor_role_works "$doctor_user" "$role" || doctor_list="$doctor_list $role"
    done
    if [ -n "$doctor_list" ]; then
        doctor_fail roles "cannot log in:$doctor_list" "./run (certctl-migrate makes roles); $pg_log"
    elif is_root && doctor_role_works certctl-acme certctl_ca; then
        doctor_fail roles 'certctl-acme may become certctl_ca' "./run writes $pg_data/pg_ident.conf anew"
    elif is_root && doctor_role_works certctl-signer certctl_acme; then
        doctor_fail roles 'the signer reaches the database' "./run writes $pg_data/pg_ident.conf anew"
    else
        doctor_ok roles "each user has its own$(is_root && echo ' and no other' || echo ' (one uid has them all)')"
    fi
}

doctor_role_works()
{
    as_user "$1" env -i "PATH=$clean_path" psql -h "$pg_socket" -U "$2" -X -q -A -t -d certctl -c 'SELECT 1' >/dev/null 2>&1
}

doctor_schema()
{
    if statements_check >"$doctor_scratch"; then
        doctor_ok schema "version $(schema_version), every statement of every binary fits"
    else
        doctor_fail schema "$(grep -m 1 'does not fit' "$doctor_scratch")" "./run applies what is missing; $run_dir/log/migrate.log"
    fi
}

# Asked over the socket by a user that may: that it listens proves no signer behind it.
signer_ask()
{
    as_user certctl-acme perl - "$run_dir/run/signer.sock" "$@" <"$top/scripts/run/signer-ask.pl" 2>&1
}

doctor_signer()
{
    doctor_signer_answers=no
    if doctor_said=$(signer_ask); then
        doctor_signer_answers=yes
        doctor_ok signer "answers certctl-acme: $(printf '%s' "$doctor_said" | tr '\n' ' ' | head -c 100)"
    else
        doctor_fail signer "certctl-acme gets no answer: $doctor_said" "./run; $run_dir/log/signer.log"
    fi
}

# The database has the certificate, the signer must have its key: their public keys are compared.
doctor_ca_keys()
{
    if [ "$doctor_signer_answers" = no ]; then
        doctor_warn 'CA keys' 'not looked at: only the signer can tell' './run doctor once the signer answers'
        return
    fi
    pg_psql -d certctl -F ' ' -c "SELECT id, key_ref, key_algorithm, state, not_after > now(), encode(cert_der, 'hex')
        FROM ca_instances WHERE state <> 'retired' ORDER BY created_at" >"$doctor_scratch" 2>/dev/null || true
    if [ ! -s "$doctor_scratch" ]; then
        doctor_fail 'CA keys' 'no CA is recorded' './run makes root and issuing CA'
        return
    fi
    while read -r doctor_ca doctor_key doctor_algorithm doctor_state doctor_valid doctor_der <&3; do
        doctor_ca_key
    done 3<"$doctor_scratch"
}

doctor_ca_key()
{
    doctor_want=$(printf '%s' "$doctor_der" | perl -ne 'print pack "H*", $_' |
        openssl x509 -inform DER -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum)
    doctor_have=$(signer_ask "$doctor_key" | sha256sum)
    if [ "$doctor_have" != "$doctor_want" ]; then
        doctor_fail 'CA key' "$doctor_ca: the signer has no key of this certificate ($(signer_ask "$doctor_key" | tr -cd '[:print:]' | head -c 100))" \
            "restore $run_dir/state/ca from the backup; nothing can make it again"
    elif [ "$doctor_valid" != t ]; then
        doctor_fail 'CA key' "$doctor_ca has expired" 'certctl-admin ca bootstrap, for a new one'
    else
        doctor_ok 'CA key' "$doctor_ca, $doctor_algorithm, $doctor_state, the signer has it"
    fi
}

doctor_own_certificate()
{
    if [ ! -s "$site_certificate" ]; then
        doctor_fail 'own certificate' 'there is none' './run obtains one'
    elif ! certificate_good "$site_certificate" localhost 0; then
        doctor_fail 'own certificate' "for localhost, not from our root or expired ($(certificate_end "$site_certificate"))" './run obtains a new one'
    elif ! certificate_good "$site_certificate" localhost 1209600; then
        doctor_warn 'own certificate' "ends at $(certificate_end "$site_certificate")" './run renews it'
    elif ! site_served; then
        doctor_fail 'own certificate' "$web does not serve it, or does not run" './run'
    else
        doctor_ok 'own certificate' "served, chains to our root, until $(certificate_end "$site_certificate")"
    fi
}

# Without a key the API says 401, so it lives; with the first key it must say 200.
doctor_api()
{
    if ! web_answers /api/v1/issuers 401; then
        doctor_fail 'API' '/api/v1/issuers without a key does not answer 401' "$run_dir/log/api.log, nginx.log"
    elif ! key_works; then
        doctor_fail 'admin key' "$key_file is missing or not accepted" "rm -f $key_file && ./run makes a new one"
    elif [ "$(stat -c '%a %u' "$key_file")" != "600 $uid" ]; then
        doctor_fail 'admin key' "$key_file is $(stat -c '%a %U' "$key_file"): others may read it" \
            "certctl-admin key revoke, then rm $key_file && ./run"
    else
        doctor_ok 'API' 'answers 401 without a key, 200 with the first admin key (600)'
    fi
}

doctor_answers()
{
    for doctor_path in /health /ready /api/v1/version /acme/directory; do
        if web_answers "$doctor_path" 200; then
            doctor_ok "$doctor_path" 200
        else
            doctor_fail "$doctor_path" "$(curl -s --max-time 5 --noproxy '*' --cacert "$site_trust" \
                "https://localhost:$port$doctor_path" 2>&1 | head -c 200)" "$web_log, acme.log, probe.log"
        fi
    done
}

# What must hold of each active CA's OCSP: a responder's certificate that lives, its key, and an answer.
doctor_ocsp()
{
    pg_psql -d certctl -F ' ' -c "SELECT c.id, c.issuer_id, coalesce(p.not_after > now(), false), coalesce(p.key_path, '-'), encode(c.cert_der, 'hex')
        FROM ca_instances c LEFT JOIN LATERAL (SELECT not_after, key_path FROM ocsp_responders WHERE ca_id = c.id AND cert_pem IS NOT NULL
        ORDER BY updated_at DESC LIMIT 1) p ON true WHERE c.state = 'active' ORDER BY c.created_at" >"$doctor_scratch" 2>/dev/null || true
    while read -r doctor_ca doctor_issuer doctor_lives doctor_key doctor_der <&3; do
        if [ "$doctor_lives" != t ]; then
            doctor_fail OCSP "$doctor_ca has no responder whose certificate lives: it answers tryLater" \
                "$run_dir/log/tick-pki.log (key) and tick.log (certificate): the jobs ocsp-presign and crl-generation make both"
        elif ! as_user certctl-pki test -r "$doctor_key"; then
            doctor_fail OCSP "certctl-pki cannot read $doctor_key" "rm -f $doctor_key: ocsp-presign makes a new one"
        else
            doctor_ocsp_asks
        fi
    done 3<"$doctor_scratch"
}

# Serial 1 is nobody's: "unknown", signed, is as good an answer as any.
doctor_ocsp_asks()
{
    printf '%s' "$doctor_der" | perl -ne 'print pack "H*", $_' | openssl x509 -inform DER -out "$doctor_scratch.ca"
    doctor_said=$(timeout 10 openssl ocsp -issuer "$doctor_scratch.ca" -serial 1 -CAfile "$root_file" \
        -url "http://localhost:$http_port/.well-known/pki/ocsp/$doctor_issuer" 2>&1 || true)
    case $doctor_said in
    *'Response verify OK'*'1: '*) doctor_ok OCSP "$doctor_ca: signed by its responder, asked through $web" ;;
    *) doctor_fail OCSP "$doctor_ca: no valid answer through $web ($(printf '%s' "$doctor_said" | tr '\n' ' ' | head -c 150))" \
        "$run_dir/log/pki.log, $web_log" ;;
    esac
    rm -f "$doctor_scratch.ca"
}

# How a revocation replaces what the web server keeps.
doctor_ocsp_refresh()
{
    doctor_path=/.well-known/pki/ocsp/iss-local/1
    doctor_place=$(sed -n 's/^CERTCTL_OCSP_REFRESH_SOCKET=//p' "$env_file" | tail -n 1)
    case $doctor_place in
    none) return ;;
    /*) set -- --unix-socket "$doctor_place" "http://localhost$doctor_path" ;;
    *) set -- "http://$doctor_place$doctor_path" ;;
    esac
    doctor_said=$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 --noproxy '*' -H 'Cache-Control: max-age=0' "$@") || true
    if [ "$doctor_said" = 200 ]; then
        doctor_ok 'OCSP refresh' "$doctor_place answers"
    else
        doctor_fail 'OCSP refresh' "$doctor_place does not answer ($doctor_said): what is kept says good for a minute after a revocation" "./run; $web_log"
    fi
}

doctor_all()
{
    step=doctor
    need_run_dir
    doctor_scratch=$(mktemp)
    trap 'rm -f "$doctor_scratch"' EXIT
    doctor_packages
    doctor_users
    doctor_disk
    doctor_clock
    doctor_processes
    doctor_sockets
    doctor_confinement
    doctor_edge
    doctor_seal
    doctor_settings
    doctor_roles
    doctor_schema
    doctor_signer
    doctor_ca_keys
    doctor_own_certificate
    doctor_answers
    doctor_ocsp
    doctor_ocsp_refresh
    doctor_api
    if [ "$doctor_bad" -gt 0 ]; then
        printf '%s%s to cure%s\n' "$red" "$doctor_bad" "$plain"
        return 1
    fi
    echo 'all is well'
}
