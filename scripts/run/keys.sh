# scripts/run/keys.sh: the first admin key of the REST API, made once by certctl-admin as whoever
# migrates (06 section 4.8), and kept where root alone reads it.
# shellcheck shell=sh disable=SC2034,SC2154

key_file=$run_dir/secrets/admin-key

key_up()
{
    step_begin 'admin key'
    if [ -s "$key_file" ]; then
        step_kept "$key_file"
        return
    fi
    key_log=$run_dir/log/keys.log
    key_text=$(with_settings root "$run_dir/bin/certctl-admin" key new --admin 2>>"$key_log" 9>&-) ||
        die 'certctl-admin key new --admin failed' "$key_log" ''
    write_file "$key_file" 0600 root root "$key_text" || true
    key_text=''
    step_did "made, in $key_file, $(tail -n 1 "$key_log" | cut -d, -f1)"
}

# Asked through nginx; the key goes by a file, never by the list of processes.
key_works()
{
    [ -s "$key_file" ] || return 1
    key_answer=$(printf 'header = "Authorization: Bearer %s"\n' "$(cat "$key_file")" |
        curl -K - -s -o /dev/null -w '%{http_code}' --max-time 5 --noproxy '*' --cacert "$site_trust" \
            "https://localhost:$port/api/v1/issuers" 2>/dev/null)
    [ "$key_answer" = 200 ]
}
