# Prints a line for each thing below the workspaces ($1) that is on no remote. POSIX sh.
cd "$1" || exit 1
command -v git >/dev/null 2>&1 || { echo "git is not installed here"; exit 1; }
find . -maxdepth 4 -name .git -prune 2>/dev/null | sort | while IFS= read -r dir; do
  tree=${dir%/.git}
  name=${tree#./}
  git -C "$tree" rev-parse --git-dir >/dev/null 2>&1 || { echo "$name: not readable by git"; continue; }
  git -C "$tree" status --porcelain 2>/dev/null | head -n 20 | while IFS= read -r line; do
    echo "$name: not committed: $line"
  done
  # Stashes and branches belong to the clone; its worktrees share them.
  test -d "$dir" || continue
  git -C "$tree" stash list 2>/dev/null | head -n 20 | while IFS= read -r line; do
    echo "$name: $line"
  done
  git -C "$tree" log --oneline --branches --tags HEAD --not --remotes -n 20 2>/dev/null |
    while IFS= read -r line; do
      echo "$name: commit on no remote: $line"
    done
  git -C "$tree" worktree list --porcelain 2>/dev/null | sed -n 's/^worktree //p' |
    while IFS= read -r path; do
      git -C "$path" symbolic-ref -q HEAD >/dev/null 2>&1 && continue
      git -C "$path" log --oneline HEAD --not --remotes --branches -n 20 2>/dev/null |
        while IFS= read -r line; do
          echo "$name: commit on no branch: $line"
        done
    done
done
echo checked
