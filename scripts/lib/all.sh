# shellcheck shell=bash
# Every library, in the order in which they need each other. Sourcing runs nothing.
lib=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=paths.sh
. "$lib/paths.sh"
# shellcheck source=say.sh
. "$lib/say.sh"
# shellcheck source=ledger.sh
. "$lib/ledger.sh"
# shellcheck source=packages.sh
. "$lib/packages.sh"
# shellcheck source=rust.sh
. "$lib/rust.sh"
# shellcheck source=musl.sh
. "$lib/musl.sh"
# shellcheck source=engine.sh
. "$lib/engine.sh"
# shellcheck source=netns.sh
. "$lib/netns.sh"
# shellcheck source=tools.sh
. "$lib/tools.sh"
# shellcheck source=images.sh
. "$lib/images.sh"
# shellcheck source=testbed.sh
. "$lib/testbed.sh"
# shellcheck source=lint.sh
. "$lib/lint.sh"
# shellcheck source=stages.sh
. "$lib/stages.sh"
# shellcheck source=fuzz.sh
. "$lib/fuzz.sh"
# shellcheck source=build.sh
. "$lib/build.sh"
# shellcheck source=services.sh
. "$lib/services.sh"
# shellcheck source=units.sh
. "$lib/units.sh"
# shellcheck source=docker.sh
. "$lib/docker.sh"
# shellcheck source=install.sh
. "$lib/install.sh"
# shellcheck source=forge.sh
. "$lib/forge.sh"
# shellcheck source=machine.sh
. "$lib/machine.sh"
# shellcheck source=uninstall.sh
. "$lib/uninstall.sh"
unset lib
