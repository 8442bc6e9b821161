# scripts/run/certificates.sh: the web server's own certificate, which certctl-job-site-certificate
# renews, and the demo's, obtained by certbot from our own ACME server.
# shellcheck shell=sh disable=SC2034,SC2154

site_certificate=$run_dir/site/current/certificate.pem
site_key=$run_dir/site/current/key.pem
site_trust=$run_dir/nginx/trust.pem
demo_name=demo.certctl.test
certbot_log=$run_dir/log/certbot.log

# Before there is a CA there is no certificate of it: a self-signed one for the first minutes, in the
# form that the job writes.
site_begin()
{
    [ ! -s "$site_certificate" ] || return 0
    site_first=$run_dir/site/first
    rm -rf "$site_first"
    (umask 077 && mkdir "$site_first" && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1 \
        -keyout "$site_first/key.pem" -out "$site_first/certificate.pem") 2>>"$run_dir/log/site.log" ||
        die 'openssl req failed' "$run_dir/log/site.log" ''
    ! is_root || chown -R certctl-jobs:certctl-jobs "$site_first"
    ln -sfn first "$run_dir/site/current"
}

# What our own clients trust: the root, and what is served now.
site_write_trust()
{
    site_text=$(cat "$site_certificate")
    [ ! -s "$root_file" ] || site_text=$(cat "$root_file" "$site_certificate")
    write_file "$site_trust" 0600 root root "$site_text" || true
}

# True when $1 chains to our root, names $2 and lives for another $3 seconds.
certificate_good()
{
    [ -s "$1" ] && [ -s "$root_file" ] &&
        openssl verify -x509_strict -CAfile "$root_file" -untrusted "$1" -verify_hostname "$2" "$1" >/dev/null 2>&1 &&
        openssl x509 -in "$1" -noout -checkend "$3" >/dev/null
}

# A port of the loopback that nobody listens on, into free_port.
port_find()
{
    free_port=$((20000 + $$ % 10000))
    while grep -qi ":$(printf '%04X' "$free_port") [0-9A-F:]* 0A " /proc/net/tcp; do
        free_port=$((free_port + 1))
    done
}

# certbot_run DIRECTORY NAME MORE…: a certificate for NAME in DIRECTORY. In trust mode no challenge is
# asked; the standalone server would be the answer to one.
certbot_run()
{
    certbot_dir=$1
    certbot_name=$2
    shift 2
    port_find
    env -i "PATH=$clean_path" LC_ALL=C.UTF-8 "HOME=$certbot_dir" "REQUESTS_CA_BUNDLE=$site_trust" NO_PROXY='*' \
        certbot certonly --non-interactive --config-dir "$certbot_dir" --work-dir "$certbot_dir/work" \
        --logs-dir "$certbot_dir/log" --server "https://localhost:$port/acme/directory" --agree-tos \
        --register-unsafely-without-email --standalone --http-01-address 127.0.0.1 \
        --http-01-port "$free_port" --cert-name "$certbot_name" -d "$certbot_name" "$@" \
        </dev/null >"$certbot_log" 2>&1 9>&- ||
        die "certbot got no certificate for $certbot_name" "$certbot_log" \
            "what the responder said: $run_dir/log/acme.log; what certbot did: $certbot_dir/log/letsencrypt.log"
}

site_up()
{
    step_begin 'own certificate'
    site_write_trust
    if certificate_good "$site_certificate" localhost 0 && site_served; then
        wait_until 15 site_settled || true
        step_kept "valid until $(certificate_end "$site_certificate")"
        return
    fi
    # now, if certctl-tick has not started it already; it returns when the port serves what it wrote
    with_settings certctl-jobs "$run_dir/bin/certctl-job-site-certificate" --force >>"$run_dir/log/tick.log" 2>&1 9>&- || true
    wait_until 30 site_served || die "$web does not serve a certificate of our own CA" "$run_dir/log/tick.log" \
        "$run_dir/log/site-reload.log has the reload"
    wait_until 15 site_settled || true
    site_write_trust
    step_did "issued by our own CA, valid until $(certificate_end "$site_certificate")"
}

certificate_end()
{
    date -u -d "$(openssl x509 -in "$1" -noout -enddate | cut -d= -f2)" +'%Y-%m-%d %H:%M UTC'
}

# Reached with the root alone as trust.
site_served()
{
    curl -s -o /dev/null --max-time 5 --noproxy '*' --cacert "$root_file" "https://localhost:$port/health"
}

# One answer is not all: while a web server reloads, workers of before and after accept side by side. A
# worker that began before the link was turned serves what was there before.
site_settled()
{
    process_alive "$web" || return 0
    site_turned=$(stat -c %.9Y "$run_dir/site/current")
    read -r site_uptime _ </proc/uptime
    site_began=$(awk -v turned="$site_turned" -v now="$(date +%s.%N)" -v up="$site_uptime" -v hertz="$(getconf CLK_TCK)" \
        'BEGIN { printf "%d", (up - (now - turned)) * hertz }')
    for site_worker in /proc/[0-9]*; do
        process_look "${site_worker#/proc/}" || continue
        case $process_line in "$state $rec_pid "*) ;; *) continue ;; esac
        if [ "$began" -le "$site_began" ] && ! grep -qz 'shutting down' "$site_worker/cmdline" 2>/dev/null; then
            return 1
        fi
    done
}

demo_up()
{
    [ "$demo" = yes ] || return 0
    step_begin 'demo: certbot'
    demo_certificate=$run_dir/certbot/demo/live/$demo_name/fullchain.pem
    if certificate_good "$demo_certificate" "$demo_name" 86400; then
        step_kept "$demo_name, valid until $(certificate_end "$demo_certificate")"
        return
    fi
    certbot_run "$run_dir/certbot/demo" "$demo_name" --force-renewal
    step_did "certificate for $demo_name, valid until $(certificate_end "$demo_certificate")"
    step_begin 'demo: openssl'
    openssl verify -x509_strict -CAfile "$root_file" -untrusted "$demo_certificate" "$demo_certificate" >"$run_dir/log/demo.log" 2>&1 ||
        die 'openssl does not verify it' "$run_dir/log/demo.log" ''
    step_did "openssl verify says $(sed 's/.*: //' "$run_dir/log/demo.log")"
}
