#!/bin/sh
# proc-receive of githooks(5): refuses each ref of a push one of whose new commits touches
# `.github/workflows/`, in GitHub's words, and lets git update the others.
set -eu
export LC_ALL=C # lengths are bytes

# Reads a pkt-line into $packet; fails at a flush packet and at the end.
receive() {
	length=$(dd bs=1 count=4 2>/dev/null)
	[ -n "$length" ] && [ "$length" != 0000 ] || return 1
	packet=$(dd bs=1 count=$((0x$length - 4)) 2>/dev/null | tr '\000' '\n')
}

send() { printf '%04x%s' $((${#1} + 4)) "$1"; }

flush() { printf 0000; }

# Prints the first workflow file that the new commits of $1 touch.
touched() {
	case $1 in *[!0]*) ;; *) return 0 ;; esac # a deletion brings no commits
	git rev-list "$1" --not --all |
		git diff-tree --stdin --no-commit-id --name-only -r -m --root -- .github/workflows |
		head -n 1
}

while receive; do :; done # version and features
send version=1
flush

if [ -n "$FORGE_MOVED_TO" ]; then
	echo "This repository moved. Please use the new location: $FORGE_MOVED_TO" >&2
fi

commands=
while receive; do
	commands="$commands$packet
"
done

printf %s "$commands" | while read -r _ new ref; do
	file=
	[ "$FORGE_MAY_CHANGE_WORKFLOWS" = yes ] || file=$(touched "$new")
	if [ -n "$file" ]; then
		send "ng $ref refusing to allow a GitHub App to create or update workflow \`$file\` without \`workflows\` permission"
	else
		send "ok $ref"
		send "option fall-through"
	fi
done
flush
