# scripts/run/statements.sh: every statement of every binary, prepared under the role of the user that
# runs it: tables, columns, types and grants at once.
# shellcheck shell=sh disable=SC2034,SC2154

statements_table()
{
    cat <<'END'
certctl-probe certctl-probe
certctl-acme certctl-acme
certctl-api certctl-api
certctl-jobs certctl-tick --all
certctl-jobs certctl-job-housekeeping
certctl-jobs certctl-job-certificate-lint
certctl-jobs certctl-job-job-processor
certctl-jobs certctl-job-job-timeout
certctl-jobs certctl-job-rate-limit-gc
certctl-jobs certctl-job-acme-finalize
certctl-jobs certctl-job-acme-gc
certctl-jobs certctl-job-crl-generation
certctl-jobs certctl-job-site-certificate
certctl-jobs certctl-job-ocsp-refresh
certctl-ca certctl-job-ca-hierarchy
certctl-reconcile certctl-job-signer-reconcile
certctl-pki certctl-pki
certctl-pki certctl-job-ocsp-presign
certctl-ca certctl-admin
postgres certctl-admin eab
postgres certctl-admin key
postgres certctl-admin reseal
postgres certctl-admin backup
END
}

# What lines of JSON have to say to a person: the first with a cause, else the last.
statements_words()
{
    printf '%s\n' "$1" | { grep -m 1 '"cause":' || printf '%s\n' "$1" | tail -n 1; } |
        sed -E 's/^\{.*"detail":"([^"]*)"(.*"cause":"([^"]*)")?.*$/\1; \3/; s/; $//' | head -c 240
}

# How many a binary declares: each takes 16 octets of the section (lib/db/db.h). Those that are made at
# start are checked, but not counted.
statements_count()
{
    statements_size=$(readelf -SW "$run_dir/bin/$1" 2>/dev/null | sed -n 's/.* certctl_sql  *PROGBITS  *[0-9a-f]* [0-9a-f]* \([0-9a-f]*\) .*/\1/p')
    echo $((0x${statements_size:-0} / 16))
}

# A line a binary; false when one of them does not fit.
statements_check()
{
    statements_table | {
        statements_bad=0
        while read -r statements_user statements_binary statements_option; do
            role_of "$statements_user"
            # shellcheck disable=SC2086 # an option or none
            if statements_said=$(with_settings "$statements_user" "$run_dir/bin/$statements_binary" $statements_option \
                --check-statements 2>&1 </dev/null); then
                echo "$statements_binary: $(statements_count "$statements_binary") statements fit as $role"
            else
                echo "$statements_binary does not fit as $role: $(statements_words "$statements_said")"
                statements_bad=1
            fi
        done
        [ "$statements_bad" -eq 0 ]
    }
}
