#!/bin/sh
# An image with busybox and nothing else.
set -eu

[ "$(command -v gh)" = /usr/local/share/drone-agent/bin/gh ]
drone-agent version
drone-agent boot
