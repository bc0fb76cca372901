//! From method and path to what is asked for: pure, so that it is tested alone.

use hatchery_protocol::{ForgeHost, RepoId};
use http::{Method, Uri};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::api::{DroneRef, Failure, FailureKind};
use super::operations::OperationId;
use super::segment::decode;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Version,
    List,
    Spawn,
    Events,
    Audit(AuditQuery),
    Cancel(OperationId),
    Drone(DroneRef, DroneAction),
}

/// Which lines of the audit log are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AuditQuery {
    /// Of this drone alone.
    pub(super) drone: Option<DroneRef>,
    /// Not older than this.
    pub(super) since: Option<OffsetDateTime>,
    /// And on as they come.
    pub(super) follow: bool,
}

/// What is asked of one drone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DroneAction {
    Status,
    Burrow,
    Unburrow,
    Adopt,
    Rebuild,
    Slay,
    Exec,
    Repositories,
    Connect,
    Disconnect {
        /// As the user spells it.
        repo: String,
    },
    Logs {
        /// The container's own output instead of the spawn's.
        container: bool,
    },
}

/// Why a request means nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RouteError {
    #[error("the host agent does not know {0} {1}")]
    Unknown(Method, String),
    #[error("{0:?} is neither a drone's name nor a repository")]
    NoDroneRef(String),
    #[error("logs come from source=spawn or source=container")]
    LogSource,
    #[error("the audit log takes drone, since (RFC 3339) and follow=true")]
    Audit,
}

impl RouteError {
    /// As the caller gets it.
    pub(super) fn into_failure(self) -> Failure {
        let failure = Failure::new(FailureKind::Usage, self.to_string());
        match self {
            Self::Unknown(..) => failure.hint(
                "command and host agent may differ in version: compare them with `hatchery version`",
            ),
            Self::NoDroneRef(_) => failure.hint("`hatchery list` shows the drones"),
            Self::LogSource | Self::Audit => failure,
        }
    }
}

/// Understands a request; a bare `owner/repo` is on `default_forge`.
pub(super) fn parse(
    method: &Method,
    uri: &Uri,
    default_forge: &ForgeHost,
) -> Result<Route, RouteError> {
    let segments: Vec<&str> = uri.path().split('/').skip(1).collect();
    let unknown = || RouteError::Unknown(method.clone(), uri.path().to_owned());
    let route = match (method, segments.as_slice()) {
        (&Method::GET, ["v1", "version"]) => Route::Version,
        (&Method::GET, ["v1", "drones"]) => Route::List,
        (&Method::POST, ["v1", "drones"]) => Route::Spawn,
        (&Method::GET, ["v1", "events"]) => Route::Events,
        (&Method::GET, ["v1", "audit"]) => Route::Audit(audit_query(uri.query(), default_forge)?),
        (&Method::POST, ["v1", "operations", id, "cancel"]) => {
            Route::Cancel(OperationId(id.parse().map_err(|_| unknown())?))
        }
        (_, ["v1", "drones", drone, action @ ..]) => {
            let action = drone_action(method, action, uri.query())?.ok_or_else(unknown)?;
            Route::Drone(drone_ref(drone, default_forge)?, action)
        }
        _ => return Err(unknown()),
    };
    Ok(route)
}

fn audit_query(query: Option<&str>, default_forge: &ForgeHost) -> Result<AuditQuery, RouteError> {
    let mut asked = AuditQuery::default();
    for pair in query.into_iter().flat_map(|query| query.split('&')) {
        let (key, value) = pair.split_once('=').ok_or(RouteError::Audit)?;
        match key {
            "drone" => asked.drone = Some(drone_ref(value, default_forge)?),
            "since" => {
                let text = decode(value).ok_or(RouteError::Audit)?;
                let since = OffsetDateTime::parse(&text, &Rfc3339);
                asked.since = Some(since.map_err(|_| RouteError::Audit)?);
            }
            "follow" if value == "true" => asked.follow = true,
            _ => return Err(RouteError::Audit),
        }
    }
    Ok(asked)
}

fn drone_action(
    method: &Method,
    action: &[&str],
    query: Option<&str>,
) -> Result<Option<DroneAction>, RouteError> {
    Ok(Some(match (method, action) {
        (&Method::GET, []) => DroneAction::Status,
        (&Method::GET, ["exec"]) => DroneAction::Exec,
        (&Method::GET, ["logs"]) => match query {
            None | Some("source=spawn") => DroneAction::Logs { container: false },
            Some("source=container") => DroneAction::Logs { container: true },
            Some(_) => return Err(RouteError::LogSource),
        },
        (&Method::GET, ["repositories"]) => DroneAction::Repositories,
        (&Method::POST, ["repositories"]) => DroneAction::Connect,
        (&Method::DELETE, ["repositories", repo]) => match decode(repo) {
            Some(repo) => DroneAction::Disconnect { repo },
            None => return Ok(None),
        },
        (&Method::POST, ["burrow"]) => DroneAction::Burrow,
        (&Method::POST, ["unburrow"]) => DroneAction::Unburrow,
        (&Method::POST, ["adopt"]) => DroneAction::Adopt,
        (&Method::POST, ["rebuild"]) => DroneAction::Rebuild,
        (&Method::POST, ["slay"]) => DroneAction::Slay,
        _ => return Ok(None),
    }))
}

/// A drone as people name it: only a repository has a `/` or an `@`.
fn drone_ref(segment: &str, default_forge: &ForgeHost) -> Result<DroneRef, RouteError> {
    let refused = || RouteError::NoDroneRef(segment.to_owned());
    let text = decode(segment).ok_or_else(refused)?;
    if let Ok(name) = text.parse() {
        return Ok(DroneRef::Name(name));
    }
    RepoId::parse(&text, default_forge)
        .map(DroneRef::Repo)
        .map_err(|_| RouteError::NoDroneRef(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(method: Method, path: &str) -> Result<Route, RouteError> {
        let forge = "github.com".parse().expect("a host");
        parse(&method, &path.parse().expect("a path"), &forge)
    }

    fn repo(text: &str) -> DroneRef {
        let forge = "github.com".parse().expect("a host");
        DroneRef::Repo(RepoId::parse(text, &forge).expect("a repository"))
    }

    #[test]
    fn a_drone_goes_by_name_and_by_repository() {
        let name = DroneRef::Name("acme-web".parse().expect("a name"));
        let status = |drone| Ok(Route::Drone(drone, DroneAction::Status));
        assert_eq!(route(Method::GET, "/v1/drones/acme-web"), status(name));
        assert_eq!(route(Method::GET, "/v1/drones/acme%2Fweb"), status(repo("acme/web")));
        assert_eq!(
            route(Method::GET, "/v1/drones/git.acme.test%2Facme%2Fweb"),
            status(repo("git.acme.test/acme/web"))
        );
    }

    #[test]
    fn every_request_has_its_route() {
        use DroneAction as A;
        for (method, path, action) in [
            (Method::POST, "/v1/drones/a/burrow", A::Burrow),
            (Method::POST, "/v1/drones/a/unburrow", A::Unburrow),
            (Method::POST, "/v1/drones/a/adopt", A::Adopt),
            (Method::POST, "/v1/drones/a/rebuild", A::Rebuild),
            (Method::POST, "/v1/drones/a/slay", A::Slay),
            (Method::GET, "/v1/drones/a/exec", A::Exec),
            (Method::GET, "/v1/drones/a/repositories", A::Repositories),
            (Method::POST, "/v1/drones/a/repositories", A::Connect),
            (
                Method::DELETE,
                "/v1/drones/a/repositories/acme%2Fapi",
                A::Disconnect { repo: "acme/api".to_owned() },
            ),
            (Method::GET, "/v1/drones/a/logs", A::Logs { container: false }),
            (Method::GET, "/v1/drones/a/logs?source=container", A::Logs { container: true }),
        ] {
            let drone = DroneRef::Name("a".parse().expect("a name"));
            assert_eq!(route(method, path), Ok(Route::Drone(drone, action)), "{path}");
        }
        assert_eq!(
            route(Method::POST, "/v1/operations/7/cancel"),
            Ok(Route::Cancel(OperationId(7)))
        );
    }

    #[test]
    fn the_audit_log_is_asked_for_in_part_and_on() {
        assert_eq!(route(Method::GET, "/v1/audit"), Ok(Route::Audit(AuditQuery::default())));
        let asked = AuditQuery {
            drone: Some(repo("acme/web")),
            since: Some(OffsetDateTime::UNIX_EPOCH),
            follow: true,
        };
        let path = "/v1/audit?drone=acme%2Fweb&since=1970-01-01T01%3A00%3A00%2B01%3A00&follow=true";
        assert_eq!(route(Method::GET, path), Ok(Route::Audit(asked)));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/v2/drones"),
            (Method::DELETE, "/v1/drones/a"),
            (Method::GET, "/v1/drones/a/slay"),
            (Method::POST, "/v1/drones/a/slay/now"),
            (Method::GET, "/v1/drones/"),
            (Method::GET, "/v1/drones/a/b/c"),
            (Method::DELETE, "/v1/drones/a/repositories"),
            (Method::DELETE, "/v1/drones/a/repositories/a/b"),
            (Method::GET, "/v1/drones/..%2F..%2Fetc"),
            (Method::GET, "/v1/drones/a%00b"),
            (Method::GET, "/v1/audit?since=yesterday"),
            (Method::GET, "/v1/audit?follow"),
            (Method::GET, "/v1/audit?drone=..%2F.."),
            (Method::POST, "/v1/audit"),
            (Method::GET, "/v1/drones/a/logs?source=/etc/shadow"),
            (Method::POST, "/v1/operations/x/cancel"),
        ] {
            assert!(route(method, path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_breaks_the_parser(path in "/[a-z0-9%/.?=]{0,40}") {
            if let Ok(uri) = path.parse() {
                let forge = "github.com".parse().expect("a host");
                let _ = parse(&Method::GET, &uri, &forge);
                let _ = parse(&Method::POST, &uri, &forge);
            }
        }
    }
}
