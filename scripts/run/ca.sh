# scripts/run/ca.sh: the root and the P-256 issuing CA, made by the hierarchy job through the signer
# and approved on this host, as any CA must be (00 decision 52).
# shellcheck shell=sh disable=SC2034,SC2154

root_file=$run_dir/root.pem
ca_log=$run_dir/log/ca.log

ca_admin()
{
    with_settings certctl-ca "$run_dir/bin/certctl-admin" ca "$@" 2>>"$ca_log" 9>&-
}

# The row in force of the view that the responders ask, or nothing.
ca_issuing()
{
    pg_psql -d certctl -c "SELECT id FROM issuing_cas WHERE issuer_id = 'iss-local'" 2>>"$ca_log"
}

# The certificate at the top of the issuing CA's chain: self-signed, in the table of the hierarchy.
ca_root_pem()
{
    pg_psql -d certctl -c "SELECT cert_pem FROM intermediate_cas
        WHERE owning_issuer_id = 'iss-local' AND parent_ca_id IS NULL AND state = 'active'" 2>>"$ca_log"
}

ca_open_requests()
{
    pg_psql -d certctl -c "SELECT id FROM ca_requests WHERE state = 'pending' ORDER BY created_at" 2>>"$ca_log"
}

# A root that exists is a condition for its child, so requests may come one after the other.
ca_settle()
{
    for ca_request in $(ca_open_requests); do
        ca_admin approve "$ca_request" --yes >>"$ca_log" 2>&1 ||
            die "certctl-admin ca approve $ca_request failed" "$ca_log" ''
    done
    with_settings certctl-ca "$run_dir/bin/certctl-job-ca-hierarchy" --force >>"$ca_log" 2>&1 9>&- || true
    [ -n "$(ca_issuing)" ] && [ -z "$(ca_open_requests)" ]
}

ca_make()
{
    ca_admin bootstrap >>"$ca_log" 2>&1 || die 'certctl-admin ca bootstrap failed' "$ca_log" ''
    wait_until 20 ca_settle || die 'the CAs were not made' "$ca_log" \
        "$run_dir/log/signer-admin.log has the signer's side"
}

ca_publish_root()
{
    ca_pem=$(ca_root_pem)
    [ -n "$ca_pem" ] || die 'no root certificate is recorded' "$ca_log" ''
    ! write_file "$root_file" 0644 root root "$ca_pem" || ca_new=yes
    root_sha256=$(openssl x509 -in "$root_file" -noout -fingerprint -sha256 | cut -d= -f2)
}

ca_up()
{
    step_begin 'root, issuing CA'
    ca_new=no
    if [ -z "$(ca_issuing)" ]; then
        ca_make
        ca_new=yes
    fi
    ca_publish_root
    if [ "$ca_new" = yes ]; then
        step_did "$(ca_issuing) for iss-local, root in $root_file"
    else
        step_kept "$(ca_issuing) for iss-local, root in $root_file"
    fi
}
