#!/bin/sh
# A first commit and push from inside the drone, to a branch of its own.
set -eu
branch=first-light
if git fetch -q origin "$branch:refs/remotes/origin/$branch" 2>/dev/null; then
    echo "$branch is there already"
    exit 0
fi
start=$(git branch --show-current)
git switch -q -c "$branch"
date -u '+A drone was here on %F at %T UTC.' >first-light.txt
git add first-light.txt
git commit -q -m 'See the light of day'
git push -q -u origin "$branch"
git switch -q "$start"
echo "pushed $branch"
