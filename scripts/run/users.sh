# scripts/run/users.sh: a user per process (10 section 7, decision 46), or the word that there is one uid.
# shellcheck shell=sh disable=SC2034,SC2154

users_all='certctl-acme certctl-est certctl-scep certctl-pki certctl-api certctl-agentapi
certctl-outbound certctl-auth certctl-probe certctl-jobs certctl-ca certctl-audit
certctl-reconcile certctl-signer'
# who opens sealed secrets, and so reads the passphrase (INDEX section e)
users_seal='certctl-api certctl-agentapi certctl-outbound certctl-auth certctl-acme certctl-est certctl-scep certctl-jobs'

users_make_group()
{
    getent group "$1" >/dev/null || {
        groupadd --system "$1"
        users_made="$users_made group:$1"
    }
}

# Each with a group of its own, and in the common group, which opens nothing but the wake and signer
# sockets.
users_make()
{
    if ! getent passwd "$1" >/dev/null; then
        useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin \
            --user-group "$1"
        users_made="$users_made $1"
    fi
    users_join "$1" certctl
}

users_join()
{
    case ",$(getent group "$2" | cut -d: -f4)," in
    *",$1,"*) ;;
    *)
        usermod --append --groups "$2" "$1"
        users_made="$users_made $1:$2"
        ;;
    esac
}

users_one_uid()
{
    note "one uid: everything runs as $me. Missing: the CA keys, each database role, the edge key and the"
    note "signer are not kept apart from the responders by the kernel; as root, ./run makes a user for each"
}

users_up()
{
    step_begin users
    if ! is_root; then
        users_one_uid
        return
    fi
    users_made=''
    {
        users_make_group certctl
        users_make_group certctl-edge
        users_make_group certctl-seal
        for users_name in $users_all; do
            users_make "$users_name"
        done
        for users_name in $users_seal; do
            users_join "$users_name" certctl-seal
        done
        # the web server's user, and nobody else, may reach the responders' sockets
        users_join www-data certctl-edge
    } 2>>"$run_dir/log/users.log" || die 'cannot make the users' "$run_dir/log/users.log" 'are /etc/passwd and /etc/group writable?'
    if [ -n "$users_made" ]; then
        echo "made:$users_made" >>"$run_dir/log/users.log"
        step_did "$(echo "$users_made" | wc -w) users, groups and memberships made, see log/users.log"
    else
        step_kept "$(echo "$users_all" | wc -w) users, groups certctl, certctl-edge and certctl-seal"
    fi
}
