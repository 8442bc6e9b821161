# scripts/run/common.sh: what every part of ./run needs: words for the person, durations, other
# users, small facts about processes. Sourced by ./run; sets no trap and starts nothing.
# shellcheck shell=sh disable=SC2034,SC2154

if [ -t 1 ]; then
    bold=$(printf '\033[1m') green=$(printf '\033[32m') red=$(printf '\033[31m')
    yellow=$(printf '\033[33m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else
    bold='' green='' red='' yellow='' dim='' plain=''
fi

changes=0 # steps of this call that did something
step=start
step_began=0

# Centiseconds since boot into now_cs. No process is started for it; a clock that is set meanwhile
# does not disturb it.
clock_read()
{
    read -r now_cs _ </proc/uptime
    now_cs=${now_cs%.*}${now_cs#*.}
}

# $1 centiseconds, as "1.23 s", into took.
duration_text()
{
    took_rest=$(($1 % 100))
    [ "$took_rest" -ge 10 ] || took_rest=0$took_rest
    took="$(($1 / 100)).$took_rest s"
}

step_begin()
{
    step=$1
    clock_read
    step_began=$now_cs
}

step_line()
{
    clock_read
    duration_text $((now_cs - step_began))
    printf '  %s%s%s %-18s %8s  %s\n' "$1" "$2" "$plain" "$step" "$took" "$3"
}

# The step did something: $1 says what.
step_did()
{
    changes=$((changes + 1))
    step_line "$green" + "$1"
}

# All of the step was there already.
step_kept()
{
    step_line "$dim" = "$1"
}

note()
{
    printf '  %s!%s %s\n' "$yellow" "$plain" "$1"
}

# What failed, where to read more (or ''), what to do (or '').
die()
{
    printf '\n%srun: %s: %s%s\n' "$red" "$step" "$1" "$plain" >&2
    if [ -n "${2:-}" ]; then
        printf '  log:  %s\n' "$2" >&2
        [ ! -r "$2" ] || tail -n 8 "$2" | sed 's/^/        | /' >&2
    fi
    [ -z "${3:-}" ] || printf '  cure: %s\n' "$3" >&2
    exit 1
}

# Everything that this call needs is found in Debian's places, whatever the caller's PATH is.
clean_path=/usr/sbin:/usr/bin:/sbin:/bin

is_root()
{
    [ "$uid" -eq 0 ]
}

# The database role of an OS user: the same name with underscores (design: decision 46).
role_of()
{
    case $1 in
    certctl-audit) role=certctl_sealer ;;
    *) role=$(printf '%s' "$1" | tr - _) ;;
    esac
}

# As root: the command as that user, with the user's groups and no more rights. Else: as it is.
as_user()
{
    as_name=$1
    shift
    if is_root && [ "$as_name" != root ]; then
        setpriv --reuid="$as_name" --regid="$as_name" --init-groups --inh-caps=-all \
            --bounding-set=-all --no-new-privs -- "$@"
    else
        "$@"
    fi
}

# The command as that user, in the role of that user, with certctl.env as its whole environment, and
# the way to the passphrase where that user may read it.
with_settings()
{
    with_user=$1
    shift
    role_of "$with_user"
    while IFS= read -r with_line; do
        case $with_line in
        '' | '#'*) ;;
        *) set -- "$with_line" "$@" ;;
        esac
    done <<END
$(env_lines "$with_user")
END
    as_user "$with_user" env -i "PATH=$clean_path" LC_ALL=C.UTF-8 "PGUSER=$role" "$@"
}

# write_file FILE MODE OWNER GROUP TEXT: by rename, owner and group as root only; true when the file
# is another than before.
write_file()
{
    write_new=$1.new.$$
    (umask 077 && printf '%s\n' "$5" >"$write_new") || die "cannot write $write_new" '' "look at the disk: df $run_dir"
    chmod "$2" "$write_new"
    ! is_root || chown "$3:$4" "$write_new"
    if cmp -s "$write_new" "$1"; then
        rm -f "$write_new"
        return 1
    fi
    mv -f "$write_new" "$1"
}

# Waits until the command succeeds, $1 seconds at most.
wait_until()
{
    clock_read
    wait_end=$((now_cs + $1 * 100))
    shift
    until "$@"; do
        clock_read
        [ "$now_cs" -lt "$wait_end" ] || return 1
        sleep 0.05
    done
}
