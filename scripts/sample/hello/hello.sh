#!/bin/sh
# Who and where am I, and what may I push?
printf 'Hello from %s, as %s.\n' "$(hostname)" "$(id -un)"
printf 'This is %s.\n' "$(git remote get-url origin)"
printf 'Commits are made by %s.\n' "$(git config user.name) <$(git config user.email)>"
printf 'Pushed while it was spawned: %s.\n' "$(git log --format='"%s", %cr' origin/first-light -1)"
