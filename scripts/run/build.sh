# scripts/run/build.sh: the binaries, built out of tree by whoever calls ./run, and their copies in
# bin/. The copies run: a build that is half done, or a tree that other users cannot enter, does
# not disturb what runs.
# shellcheck shell=sh disable=SC2034,SC2154

build_binaries='fcgi/probe/certctl-probe fcgi/acme/certctl-acme fcgi/api/certctl-api fcgi/pki/certctl-pki signer/certctl-signer
jobs/certctl-tick jobs/certctl-job-rate-limit-gc jobs/certctl-job-housekeeping jobs/certctl-job-certificate-lint
jobs/certctl-job-ca-hierarchy jobs/certctl-job-crl-generation jobs/certctl-job-acme-finalize jobs/certctl-job-acme-validate jobs/certctl-job-site-certificate
jobs/certctl-job-signer-reconcile jobs/certctl-job-acme-gc jobs/certctl-job-ocsp-presign jobs/certctl-job-ocsp-refresh
jobs/certctl-job-job-processor jobs/certctl-job-job-timeout
admin/certctl-admin admin/certctl-migrate admin/certctl-config'

# The tree as links: autoconf writes into the directory where the sources lie, and ./run writes
# nowhere but into its own. New files get their links, lost ones lose them.
build_links()
{
    mkdir -p "$build_source" &&
        find "$build_source" -type l ! -exec test -e {} \; -delete || return 1
    for build_entry in "$top"/*; do
        case ${build_entry##*/} in
        aclocal.m4 | autom4te.cache | build | build-aux | config.log | config.status | configure | configure~ | Makefile | Makefile.in) ;;
        *) cp -rsn "$build_entry" "$build_source/" || return 1 ;;
        esac
    done
}

# aclocal wants the directory that -I names.
build_configure()
{
    mkdir -p "$build_source/build-aux" "$build_dir" &&
        { [ -x "$build_source/configure" ] || (cd "$build_source" && autoreconf -fi); } &&
        { [ -e "$build_dir/Makefile" ] || (cd "$build_dir" && "$build_source/configure" --disable-werror); }
}

build_make()
{
    build_log=$run_dir/log/build.log
    build_source=$run_dir/source
    { build_links && build_configure && make -C "$build_dir" -j"$(nproc)" all; } >"$build_log" 2>&1 9>&- ||
        die 'the build failed' "$build_log" "read the log; to begin anew: rm -r $build_dir $build_source"
}

# sql/ as certctl-migrate reads it; under another name than $top for the same reason as bin/.
build_copy_sql()
{
    diff -rq "$top/sql" "$run_dir/sql" >/dev/null 2>&1 && return
    rm -rf "$run_dir/sql.new"
    cp -r "$top/sql" "$run_dir/sql.new"
    chmod -R u=rwX,go=rX "$run_dir/sql.new"
    rm -rf "$run_dir/sql"
    mv "$run_dir/sql.new" "$run_dir/sql"
    build_copied="$build_copied sql"
}

# By rename: a running binary keeps its own file until its pool is started anew.
build_copy()
{
    [ -x "$build_dir/$1" ] || die "the build has no $1" "${build_log:-}" \
        "${build_from:+build it: make -C $build_dir $1}"
    cmp -s "$build_dir/$1" "$run_dir/bin/${1##*/}" && return
    cp "$build_dir/$1" "$run_dir/bin/.${1##*/}.new"
    chmod 0755 "$run_dir/bin/.${1##*/}.new"
    mv "$run_dir/bin/.${1##*/}.new" "$run_dir/bin/${1##*/}"
    build_copied="$build_copied ${1##*/}"
}

build_copy_script()
{
    cmp -s "$top/scripts/$1" "$run_dir/bin/$1" && return
    cp "$top/scripts/$1" "$run_dir/bin/.$1.new"
    chmod 0755 "$run_dir/bin/.$1.new"
    mv "$run_dir/bin/.$1.new" "$run_dir/bin/$1"
    build_copied="$build_copied $1"
}

build_up()
{
    step_begin build
    build_copied=''
    build_dir=${build_from:-$run_dir/build}
    [ -n "$build_from" ] || build_make
    for build_binary in $build_binaries; do
        build_copy "$build_binary"
    done
    build_copy_script certctl-site-reload
    build_copy_sql
    if [ -n "$build_copied" ]; then
        step_did "$(echo "$build_copied" | wc -w) new in $run_dir/bin, from $build_dir"
    else
        step_kept "up to date, from $build_dir"
    fi
}
