#!/bin/sh
# update <ref> <old> <new>: GitHub refuses workflow files from an App without `workflows: write`.
set -eu
[ "$FORGE_MAY_CHANGE_WORKFLOWS" = yes ] && exit 0
new=$3
case $new in *[!0]*) ;; *) exit 0 ;; esac # a deletion brings no commits
for commit in $(git rev-list "$new" --not --all); do
	touched=$(git diff-tree --no-commit-id --name-only -r -m --root "$commit" -- .github/workflows | head -n 1)
	[ -z "$touched" ] && continue
	echo "refusing to allow a GitHub App to create or update workflow \`$touched\` without \`workflows\` permission" >&2
	exit 1
done
