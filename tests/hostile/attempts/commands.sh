# The first line of standard input is a token of a drone that is no more. Runs each `number TAB
# command` of the others, and prints `number TAB exit code TAB output in hex`.
ask() { printf '%b' "$1" | git-credential-hatchery "${2:-get}"; }
api() { curl -sf -m 10 --cacert /etc/drone-agent/forge-ca.pem -H "Authorization: Bearer ${AS:-$TOKEN}" "${@:1:$#-1}" "https://$FORGE/api/v3${*: -1}"; }
with() { git -c "http.extraHeader=Authorization: basic $(printf 'x-access-token:%s' "${AS:-$TOKEN}" | base64 -w0)" "$@"; }
# What a listener of the attacker's gets to see of a call.
caught() { : >/tmp/caught; "$@"; cat /tmp/caught; false; }
forged() { printf '{"alg":"%s"}' "$1" | base64url; printf .; printf '{"iss":"%s","iat":%d,"exp":%d}' "$CLIENT" $(($(date +%s) - 60)) $(($(date +%s) + 300)) | base64url; printf '.%s' "$2"; }
base64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
export -f ask api with caught forged base64url
export HOME=/tmp/home GIT_TERMINAL_PROMPT=0
mkdir -p "$HOME"
cd "$CLONE" || exit 1
read -r GONES_TOKEN
export GONES_TOKEN
TOKEN=$(drone-agent token)
export TOKEN
grep -q evil.test /etc/hosts || echo '127.0.0.1 evil.test' >>/etc/hosts
perl -e "$LISTENER" >/dev/null 2>&1 &
listener=$!
until (exec 3<>/dev/tcp/127.0.0.1/8104) 2>/dev/null; do sleep 0.05; done
while IFS=$'\t' read -r number command; do
  output=$(timeout 20 bash -c "$command" 2>&1 </dev/null)
  printf '%s\t%s\t' "$number" $?
  printf '%s' "$output" | od -An -v -tx1 | tr -d ' \n'
  echo
done
kill "$listener"
echo end
