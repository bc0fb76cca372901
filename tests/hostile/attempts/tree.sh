# Fills the workspace with whatever makes git and other programs run something of its own. Each trap
# leaves a mark of its name in the host's directory $MARKS where it runs there, and in /tmp/marks.
set -eu
cd "$CLONE"
mkdir -p /workspaces/traps /tmp/marks
trap_of() {
  printf '#!/bin/sh\ntouch %s/%s /tmp/marks/%s 2>/dev/null\nexit 1\n' "$MARKS" "$1" "$1" >"/workspaces/traps/$1"
  chmod 755 "/workspaces/traps/$1"
  echo "/workspaces/traps/$1"
}
git config core.fsmonitor "$(trap_of fsmonitor)"
git config core.sshCommand "$(trap_of ssh-command)"
git config core.pager "$(trap_of pager)"
git config core.editor "$(trap_of editor)"
git config core.askPass "$(trap_of ask-pass)"
git config core.gitProxy "$(trap_of git-proxy)"
git config credential.helper "$(trap_of credential-helper)"
git config gpg.program "$(trap_of gpg)"
git config diff.external "$(trap_of diff-external)"
git config alias.lost "!$(trap_of alias)"
git config filter.x.clean "$(trap_of filter-clean)"
git config filter.x.smudge "$(trap_of filter-smudge)"
git config filter.y.process "$(trap_of filter-process)"
git config diff.x.textconv "$(trap_of textconv)"
git config diff.y.command "$(trap_of diff-command)"
git config merge.x.driver "$(trap_of merge-driver)"
git config interactive.diffFilter "$(trap_of diff-filter)"
git config sequence.editor "$(trap_of sequence-editor)"
git config trailer.x.command "$(trap_of trailer)"
git config uploadpack.packObjectsHook "$(trap_of pack-objects-hook)"
git config remote.evil.url "ext::$(trap_of remote-ext)"
git config remote.evil.uploadpack "$(trap_of upload-pack)"
git config protocol.ext.allow always
printf '[gc]\n\trecentObjectsHook = %s\n[core]\n\talternateRefsCommand = %s\n' "$(trap_of gc-hook)" "$(trap_of alternate-refs)" >/workspaces/included
git config include.path /workspaces/included
git config "includeIf.gitdir:/.path" /workspaces/included
mkdir -p .git/info .git/hooks /workspaces/hooks
printf '*.md filter=x diff=x merge=x\n*.json filter=y diff=y\n' >.git/info/attributes
git config core.hooksPath /workspaces/hooks
for hook in pre-commit post-checkout post-index-change reference-transaction pre-push post-rewrite pre-auto-gc fsmonitor-watchman; do
  cp "$(trap_of "hook-$hook")" ".git/hooks/$hook"
  cp ".git/hooks/$hook" "/workspaces/hooks/$hook"
done
# A commit that is missing, and where to fetch it from.
promisor() {
  printf '[core]\n\trepositoryformatversion = 1\n\tbare = false\n\tworktree = %s\n[extensions]\n\tpartialClone = origin\n[remote "origin"]\n\tpromisor = true\n\turl = ext::%s\n[protocol "ext"]\n\tallow = always\n' "$2" "$(trap_of "$3")" >"$1/config"
  mkdir -p "$1/refs/heads" "$1/objects"
  echo 'ref: refs/heads/main' >"$1/HEAD"
  echo 1111111111111111111111111111111111111111 >"$1/refs/heads/main"
}
mkdir -p .devcontainer/.git bare
promisor .devcontainer/.git .. nested-repository
promisor bare . bare-repository
# Files that programs of the host read where they run or build.
for program in git docker devcontainer sh node buildctl docker-credential-evil; do cp "$(trap_of "program-$program")" "$program"; cp "$program" ".devcontainer/$program"; done
for folder in . .devcontainer; do
  printf 'DOCKER_HOST=unix:///tmp/evil.sock\nCOMPOSE_FILE=evil.yml\n' >"$folder/.env"
  printf 'node-options=--require=%s\n' "$(trap_of npmrc)" >"$folder/.npmrc"
  printf 'services: {evil: {image: x, privileged: true}}\n' >"$folder/compose.yaml"
  printf 'target "default" { dockerfile = "/etc/passwd" }\n' >"$folder/docker-bake.hcl"
  mkdir -p "$folder/.docker"
  printf '{"credsStore":"evil","cliPluginsExtraDirs":["%s"]}' "$PWD" >"$folder/.docker/config.json"
done
ln -sfn /proc/1/root escape-root
ln -sfn "$MARKS/../secret" escape-secret
printf 'a\033]0;title\007\033[2J\nb' >"$(printf 'name\033[31m\twith\001controls')"
ls /workspaces/traps
