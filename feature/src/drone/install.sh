#!/bin/sh
# Installs drone-agent into any image: needs a POSIX shell and the applets of a minimal busybox,
# no network and no package manager. Runs as root while the image is built, possibly again on
# an image that has it already.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
agent=/usr/local/bin/drone-agent
share=/usr/local/share/drone-agent
settings=/etc/drone-agent/gitconfig # as drone-agent/protocol/src/paths.rs has it

fail() {
    printf 'error: %s\n\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

# Writes stdin to file $1 with mode $2: whole or not at all, whatever stood there.
put() {
    cat >"$1.new"
    chmod "$2" "$1.new"
    mv -f "$1.new" "$1"
}

# Points $2 at $1. Removed first: `ln -f` over a link to a directory would go into it.
link() {
    rm -f "$2"
    ln -s "$1" "$2"
}

case $(uname -m) in
    x86_64 | amd64) machine=x86_64 ;;
    aarch64 | arm64) machine=aarch64 ;;
    *) fail "there is no drone-agent for $(uname -m)" "it exists for x86_64 and aarch64" ;;
esac
binary=$here/bin/drone-agent-$machine
[ -f "$binary" ] || fail "$binary is missing" "build it first: scripts/build"

umask 022
mkdir -p /usr/local/bin "$share/bin"
put "$agent" 0755 <"$binary"
"$agent" version >/dev/null || fail "$agent does not run here" "is this image for $machine?"
link drone-agent /usr/local/bin/git-credential-hatchery

# Ahead of the real gh wherever a shell sets PATH anew; everywhere else the feature's
# containerEnv does it.
if [ "${GH:-true}" = true ]; then
    link ../../../bin/drone-agent "$share/bin/gh"
    mkdir -p /etc/profile.d
    # Named to come last: a later file that prepends its own directory would win.
    put /etc/profile.d/zz-drone-agent.sh 0644 <<EOF
case \$PATH in
    $share/bin | $share/bin:*) ;;
    *) PATH=$share/bin:\$PATH ;;
esac
EOF
    # PAM gives this file to sessions over ssh and to cron.
    if ! grep -qs "^PATH=.*$share/bin" /etc/environment; then
        if grep -qs '^PATH=' /etc/environment; then
            sed "s|^PATH=\(\"\{0,1\}\)|PATH=\1$share/bin:|" /etc/environment | put /etc/environment 0644
        else
            usual=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
            printf 'PATH="%s/bin:%s"\n' "$share" "$usual" >>/etc/environment
        fi
    fi
fi

# Git reads the drone's settings from a file that only `drone-agent boot` writes: elsewhere the
# include names nothing, git ignores it, and helpers and ssh URLs are as they were.
if ! grep -qs "$settings" /etc/gitconfig; then
    printf '[include]\n\tpath = "%s"\n' "$settings" >>/etc/gitconfig
fi

# Runs at every start of the container, as the image's user. Whatever happens, it starts.
put "$share/entrypoint" 0755 <<EOF
#!/bin/sh
$agent boot || true
EOF
