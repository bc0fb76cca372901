# shellcheck shell=bash
# Network namespaces for tests. None has a way out of the machine: what a test probes as "the
# outside" is a second namespace that answers for it.

# The outside's address for its neighbour, and addresses of the world that it answers for: cloud
# metadata and the tailnet's range. (203.0.113.0/24 is reserved for documentation, RFC 5737.)
OUTSIDE_ADDRESS=203.0.113.1
OUTSIDE_METADATA=169.254.169.254
OUTSIDE_TAILNET=100.64.0.1

netns_exists() { [ -e "/run/netns/$1" ]; }

# netns_make NAME: a namespace with nothing but loopback.
netns_make() {
  if netns_exists "$1"; then return; fi
  ip netns add "$1"
  ip -n "$1" link set lo up
}

# netns_make_outside NAME OUTSIDE: joins NAME to a namespace that stands for the world. Only the
# addresses above are routed; everything else stays unreachable at once, so that no test waits.
netns_make_outside() {
  local name=$1 outside=$2
  if netns_exists "$outside"; then return; fi
  netns_make "$outside"
  ip -n "$name" link add outside type veth peer name inside netns "$outside"
  ip -n "$name" addr add 203.0.113.2/24 dev outside
  ip -n "$name" link set outside up
  ip -n "$outside" addr add "$OUTSIDE_ADDRESS/24" dev inside
  ip -n "$outside" addr add "$OUTSIDE_METADATA/32" dev inside
  ip -n "$outside" addr add "$OUTSIDE_TAILNET/32" dev inside
  ip -n "$outside" link set inside up
  ip -n "$name" route add "$OUTSIDE_METADATA/32" via "$OUTSIDE_ADDRESS"
  ip -n "$name" route add 100.64.0.0/10 via "$OUTSIDE_ADDRESS"
}

# netns_remove NAME: ends what still runs in it, then deletes it.
netns_remove() {
  local pid
  if ! netns_exists "$1"; then return; fi
  for pid in $(ip netns pids "$1"); do kill -KILL "$pid" 2>/dev/null || true; done
  ip netns delete "$1"
}
