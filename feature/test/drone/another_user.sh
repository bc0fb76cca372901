#!/bin/sh
# A remote user without rights finds the same as root.
set -eu

[ "$(id -u)" != 0 ]
[ "$(command -v gh)" = /usr/local/share/drone-agent/bin/gh ]
[ -z "$(printf 'protocol=https\nhost=github.com\n\n' | git-credential-hatchery get)" ]
drone-agent boot
