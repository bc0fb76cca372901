//! Whether a host agent runs.

use super::Check;
use crate::config::Locations;
use crate::control::client::Client;
use crate::lifecycle::FailureKind;

pub(super) async fn examine(at: &Locations<'_>) -> Check {
    const NAME: &str = "host agent";
    let socket = at.control_socket();
    match Client::new(socket.clone()).version().await {
        Ok(answer) => {
            Check::ok(NAME, format!("version {} answers on {}", answer.version, socket.display()))
        }
        Err(failure) if failure.kind == FailureKind::NoHostAgent => Check::warn(
            NAME,
            format!("none answers on {}", socket.display()),
            "`hatchery serve`, or `systemctl start hatchery` where it is a service",
        ),
        Err(failure) => Check::fail(NAME, failure.message, "its log says more"),
    }
}
