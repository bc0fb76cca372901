# Prints a line for each thing below the workspaces ($1) that is on no remote, and for each that git
# cannot tell. Settings of the tree that would hide something are overruled. POSIX sh.
cd "$1" || exit 1
command -v git >/dev/null 2>&1 || { echo "git is not installed here"; exit 1; }

# say WHAT GIT-ARGUMENT...: the first lines of what git prints in $tree; that it fails is one too.
say() {
  what=$1
  shift
  { git -C "$tree" -c log.showSignature=false --work-tree=. "$@" 2>/dev/null || echo "git cannot tell"; } | head -n 20 |
    while IFS= read -r line; do printf '%s: %s%s\n' "$name" "$what" "$line"; done
}

find . -maxdepth 4 -name .git -prune >/dev/null 2>&1 || echo "some of the workspace cannot be read"
find . -maxdepth 4 -name .git -prune 2>/dev/null | sort | while IFS= read -r dir; do
  tree=${dir%/.git}
  name=${tree#./}
  git -C "$tree" rev-parse --git-dir >/dev/null 2>&1 || { printf '%s: not readable by git\n' "$name"; continue; }
  say "not committed: " status --porcelain --untracked-files=normal --ignore-submodules=none
  # Stashes and branches belong to the clone; its worktrees share them.
  test -d "$dir" || continue
  say "" stash list
  # Before the first commit there is no HEAD to look at.
  head=$(git -C "$tree" rev-parse -q --verify HEAD >/dev/null 2>&1 && echo HEAD)
  say "commit on no remote: " log --oneline --branches --tags ${head:+"$head"} --not --remotes -n 20
  git -C "$tree" worktree list >/dev/null 2>&1 || printf '%s: git cannot list its worktrees\n' "$name"
  git -C "$tree" worktree list --porcelain 2>/dev/null | sed -n 's/^worktree //p' |
    while IFS= read -r tree; do
      git -C "$tree" symbolic-ref -q HEAD >/dev/null 2>&1 && continue
      say "commit on no branch: " log --oneline HEAD --not --remotes --branches -n 20
    done
done
echo checked
