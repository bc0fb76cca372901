//! Finds the real gh behind the wrapper, and becomes it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use hatchery_protocol::wire::TokenReply;
use hatchery_protocol::{ForgeHost, paths};
use rustix::fs::{Access, access};

use crate::report::{Failure, code};

/// Tokens that gh looks for: for github.com, then for other hosts.
/// Source: `gh help environment`.
const TOKEN_VARIABLES: [&str; 4] =
    ["GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"];
/// How many wrappers a call has come through already. gh's extensions and aliases may call gh
/// again; a "real gh" that only calls the next gh in PATH would do it for ever.
const DEPTH_VARIABLE: &str = "DRONE_AGENT_GH_DEPTH";
/// Deepest such nesting taken for honest.
const DEPTH_MAX: u32 = 8;

/// Runs the real gh in place of this process, with `token` if there is one. Comes back only with
/// the reason why it could not.
pub(super) fn become_gh(args: &[OsString], token: Option<&TokenReply>) -> Failure {
    let depth = env::var(DEPTH_VARIABLE).ok().and_then(|depth| depth.parse().ok()).unwrap_or(0);
    if depth >= DEPTH_MAX {
        return Failure::new("gh calls itself: the gh behind the wrapper leads back to it")
            .hint(format!("look at each gh that `which -a gh` lists ({DEPTH_VARIABLE}={depth})"));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let Some(gh) = find(&path, own_file()) else {
        return Failure::new("there is no gh in PATH behind drone-agent's wrapper")
            .hint("add the GitHub CLI to the image, for example with the feature github-cli")
            .code(code::NO_PROGRAM);
    };
    let mut command = Command::new(&gh);
    command.arg0("gh").args(args).env(DEPTH_VARIABLE, (depth + 1).to_string());
    if let Some(reply) = token {
        for variable in TOKEN_VARIABLES {
            command.env_remove(variable);
        }
        command.env(token_variable(&reply.host), &reply.token);
        command.env("GH_HOST", reply.host.as_str());
        // gh has no setting for a private authority, Go's own variable is the way.
        if env::var_os("SSL_CERT_FILE").is_none() && Path::new(paths::CA_BUNDLE).exists() {
            command.env("SSL_CERT_FILE", paths::CA_BUNDLE);
        }
    }
    let error = command.exec();
    Failure::new(format!("{} cannot be run: {error}", gh.display())).code(code::NO_PROGRAM)
}

/// The variable that gh reads for `host`. Source: gh's `auth.TokenForHost` and `IsEnterprise`.
fn token_variable(host: &ForgeHost) -> &'static str {
    let host = host.as_str();
    match host == "github.com" || host == "github.localhost" || host.ends_with(".ghe.com") {
        true => "GH_TOKEN",
        false => "GH_ENTERPRISE_TOKEN",
    }
}

/// Device and inode of the running binary. By its path where that still leads to it: in a container
/// of another architecture the kernel's own link is followed to the emulator.
pub(crate) fn own_file() -> Option<(u64, u64)> {
    let by_path = env::current_exe().ok().and_then(|path| file_id(&path));
    by_path.or_else(|| file_id(Path::new("/proc/self/exe")))
}

pub(crate) fn file_id(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

/// The first gh in `path` that can be run and is not `own`, by whatever name or link. Relative
/// directories are left out: a repository must not bring its own gh.
pub(crate) fn find(path: &OsStr, own: Option<(u64, u64)>) -> Option<PathBuf> {
    env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("gh")).find(|gh| {
        gh.is_file() && file_id(gh) != own && access(gh.as_path(), Access::EXEC_OK).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_real_gh_is_the_first_that_is_not_this_binary() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = |name: &str| {
            let place = dir.path().join(name);
            fs::create_dir(&place).expect("made");
            place
        };
        let (wrapper, folder, data, real) = (place("a"), place("b"), place("c"), place("d"));
        let agent = dir.path().join("drone-agent");
        fs::write(&agent, "").expect("written");
        fs::set_permissions(&agent, Permissions::from_mode(0o755)).expect("set");
        symlink(&agent, wrapper.join("gh")).expect("linked");
        fs::create_dir(folder.join("gh")).expect("made");
        fs::write(data.join("gh"), "").expect("written");
        fs::write(real.join("gh"), "").expect("written");
        fs::set_permissions(real.join("gh"), Permissions::from_mode(0o755)).expect("set");
        let relative = PathBuf::from(".");
        let all = [&wrapper, &relative, &folder, &data, &real, &wrapper];
        let path = env::join_paths(all).expect("a path");
        assert_eq!(find(&path, file_id(&agent)), Some(real.join("gh")));
        let path = env::join_paths([&wrapper, &data]).expect("a path");
        assert_eq!(find(&path, file_id(&agent)), None);
    }

    #[test]
    fn each_host_has_its_variable() {
        for (host, variable) in [
            ("github.com", "GH_TOKEN"),
            ("acme.ghe.com", "GH_TOKEN"),
            ("ghe.com", "GH_ENTERPRISE_TOKEN"),
            ("forge.test", "GH_ENTERPRISE_TOKEN"),
        ] {
            assert_eq!(token_variable(&host.parse().expect("a host")), variable, "{host}");
        }
    }
}
