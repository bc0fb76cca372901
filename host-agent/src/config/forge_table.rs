//! `[[forge]]`: where repositories live, and the App that opens them.

use std::path::{Path, PathBuf};

use hatchery_protocol::ForgeHost;
use toml::de::DeValue;

use super::raw::Section;
use super::secret_file;
use super::tables::{address, filled, number, text};
use super::valid::{AppConfig, ForgeConfig};
use super::values::parse_base_url;

const GITHUB: &str = "github.com";
const BASE_URL: &str = "an https URL (plain http to loopback only)";
const APP: &str = "app = { client_id = \"Iv23...\", private_key_file = \"/etc/hatchery/app.pem\" }";

/// All forges; `None` where one is wrong or there is none.
pub(super) fn forges(root: &mut Section<'_>, file: &Path) -> Option<Vec<ForgeConfig>> {
    if !root.has("forge") {
        root.missing("forge", &format!("[[forge]] with {APP}"));
        return None;
    }
    let read: Vec<_> = root.sections("forge").into_iter().map(|entry| forge(entry, file)).collect();
    read.into_iter().collect::<Option<Vec<_>>>().filter(|forges| !forges.is_empty())
}

fn forge(mut section: Section<'_>, file: &Path) -> Option<ForgeConfig> {
    let host: Option<ForgeHost> = if section.has("host") {
        section.read("host", "a host name such as \"github.com\"", |value| {
            value.as_str()?.parse().ok()
        })
    } else {
        GITHUB.parse().ok()
    };
    let urls = ["api_url", "git_url", "keys_url"]
        .map(|key| section.read(key, BASE_URL, |value| parse_base_url(value.as_str()?)));
    let ca_file = section.read("ca_file", "a file's path or \"\"", text);
    let address = section.read("address", "an IP address", address);
    let app = if section.has("app") {
        app(section.section("app"), file)
    } else {
        section.missing("app", APP);
        None
    };
    section.finish();
    let (host, app) = (host?, app?);
    let [api_url, git_url, keys_url] = urls;
    Some(ForgeConfig {
        api_url: api_url.unwrap_or_else(|| default_api_url(&host)),
        git_url: git_url.unwrap_or_else(|| format!("https://{host}")),
        keys_url: keys_url.unwrap_or_else(|| format!("https://{host}")),
        ca_file: ca_file.filter(|path| !path.is_empty()).map(|path| beside(file, &path)),
        address,
        host,
        app,
    })
}

/// GitHub.com has a host of its own for REST; GitHub Enterprise Server serves it below `/api/v3`.
fn default_api_url(host: &ForgeHost) -> String {
    if host.as_str() == GITHUB {
        format!("https://api.{host}")
    } else {
        format!("https://{host}/api/v3")
    }
}

fn app(mut section: Section<'_>, file: &Path) -> Option<AppConfig> {
    let client_id = section.read("client_id", "the App's client id", filled);
    let app_id = section.read("app_id", "the App's id, a number", |value: &DeValue<'_>| {
        number::<u64>(value).map(|id| id.to_string())
    });
    let key_file = section.require("private_key_file", "the path of the App's private key", filled);
    let issuer = match (section.has("client_id"), section.has("app_id")) {
        (true, true) => {
            section.clash("app_id", "give client_id or app_id, not both");
            None
        }
        (false, false) => {
            section.missing("client_id", "the App's client id (or app_id)");
            None
        }
        (true, false) | (false, true) => client_id.or(app_id),
    };
    let key_file = key_file.map(|path| beside(file, &path));
    if let Some(problem) = key_file.as_deref().and_then(secret_file::exposed) {
        section.clash("private_key_file", &problem);
    }
    section.finish();
    Some(AppConfig { issuer: issuer?, private_key_file: key_file? })
}

/// A relative path counts from the configuration's directory, wherever the program was started.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("/")).join(path)
}
