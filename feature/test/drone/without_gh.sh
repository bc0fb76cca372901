#!/bin/sh
# The feature without its gh wrapper.
set -eu

if command -v gh | grep drone-agent; then
    echo "FAILED: there is a wrapper" >&2
    exit 1
fi
drone-agent version
