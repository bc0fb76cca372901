#!/bin/sh
# Runs in a container with the feature, by `devcontainer features test`. That is no drone, so
# everything has to step aside.
set -eu

check() {
    if eval "$2"; then echo "ok: $1"; else echo "FAILED: $1" >&2 && exit 1; fi
}

check 'drone-agent runs' 'drone-agent version | grep -q "^drone-agent "'
check 'git finds the helper by its name' \
    '[ "$(command -v git-credential-hatchery)" = /usr/local/bin/git-credential-hatchery ]'
check 'the gh wrapper is first' '[ "$(command -v gh)" = /usr/local/share/drone-agent/bin/gh ]'
check 'the gh wrapper is first in a login shell' \
    '[ "$(env -i HOME=/ /bin/sh -lc "command -v gh")" = /usr/local/share/drone-agent/bin/gh ]'
check 'the helper answers nothing where there is no drone' \
    '[ -z "$(printf "protocol=https\nhost=github.com\n\n" | git-credential-hatchery get)" ]'
check 'booting where there is no drone is no error' 'drone-agent boot'
check 'nothing was set up' '[ ! -e /etc/drone-agent ]'
if command -v git >/dev/null; then
    check 'git has no settings of a drone' \
        '[ -z "$(git config --get-regexp "^(credential|url)\." || true)" ]'
fi
