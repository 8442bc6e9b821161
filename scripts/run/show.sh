# scripts/run/show.sh: what a person wants to know afterwards: places, trust, lines to paste.
# shellcheck shell=sh disable=SC2034,SC2154

show_places()
{
    cat <<END

${bold}Where things are$plain
  directory        https://localhost:$port/acme/directory
  per profile      https://localhost:$port/acme/profile/{prof-test,prof-internal,prof-short,prof-chal}/directory
  API              https://localhost:$port/api/v1/certificates
  admin key        $key_file
  health           https://localhost:$port/health
  CRL              http://localhost:$http_port/.well-known/pki/crl/iss-local
  CA certificate   http://localhost:$http_port/.well-known/pki/ca/iss-local
  run directory    $run_dir
  logs             $run_dir/log
  settings         $run_dir/certctl.env
  database         $(! is_root || echo 'runuser -u postgres -- ')psql -h $pg_socket -U postgres certctl
END
}

show_trust()
{
    cat <<END

${bold}The root of this installation$plain, $root_file
  SHA-256  $root_sha256
  curl     curl --cacert $root_file https://localhost:$port/health
  Debian   sudo cp $root_file /usr/local/share/ca-certificates/certctl.crt && sudo update-ca-certificates
  Java     sudo keytool -importcert -cacerts -storepass changeit -noprompt -alias certctl -file $root_file
  certbot  REQUESTS_CA_BUNDLE=$root_file certbot …
END
}

# Where lego may keep its files: root's run directory is not for the person behind sudo.
show_lines()
{
    show_lego=$run_dir/demo/lego
    [ -z "${SUDO_USER:-}" ] || show_lego=\~/certctl-lego
    show_run=$top/run
    case $show_run in *[!A-Za-z0-9/._+@-]*) show_run="'$show_run'" ;; esac
    [ -z "${CERTCTL_RUN_DIR:-}" ] || show_run="CERTCTL_RUN_DIR=$run_dir $show_run"
    cat <<END

${bold}To paste$plain
  curl --cacert $root_file https://localhost:$port/acme/directory
  curl --cacert $root_file -H "Authorization: Bearer \$(${SUDO_USER:+sudo }cat $key_file)" https://localhost:$port/api/v1/certificates
  LEGO_CA_CERTIFICATES=$root_file lego --server https://localhost:$port/acme/directory --email you@example.org --accept-tos --path $show_lego --domains lego.certctl.test --http --http.port 127.0.0.1:5002 run
  $show_run status | logs | doctor | stop | destroy
END
}
