//! The forge's private certificate authority, trusted by git (for the forge alone) and by gh.

use std::fs;
use std::path::Path;

use hatchery_protocol::paths;

use super::file::{self, FileError};

/// Where distributions keep the certificates they trust, as one file.
/// Source: Go's `crypto/x509/root_linux.go`, whose reader gh is.
const SYSTEM_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Installs `authority`, or removes what an earlier boot installed.
pub(super) fn install(authority: Option<&str>) -> Result<(), FileError> {
    let (forge_ca, bundle) = (Path::new(paths::FORGE_CA), Path::new(paths::CA_BUNDLE));
    let Some(authority) = authority else {
        return file::remove(forge_ca).and_then(|()| file::remove(bundle));
    };
    file::put(forge_ca, authority)?;
    let system = SYSTEM_BUNDLES.iter().find_map(|path| fs::read_to_string(path).ok());
    file::put(bundle, &joined(&system.unwrap_or_default(), authority))
}

/// Both, on lines of their own.
fn joined(system: &str, authority: &str) -> String {
    let end = if system.is_empty() || system.ends_with('\n') { "" } else { "\n" };
    format!("{system}{end}{authority}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_a_last_line_end_takes_no_certificate_with_it() {
        assert_eq!(joined("-A-", "-B-\n"), "-A-\n-B-\n");
        assert_eq!(joined("-A-\n", "-B-\n"), "-A-\n-B-\n");
        assert_eq!(joined("", "-B-\n"), "-B-\n");
    }
}
