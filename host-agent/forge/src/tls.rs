//! The forge's certificate authority and server certificate, made once and kept.

use std::{fs, io, net::IpAddr, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use time::{Duration, OffsetDateTime};

use crate::state::write_whole;

/// File of the CA's certificate in the data directory: what clients trust.
pub const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca.key";

/// Life of the authority; the server's certificate is made anew at each start.
const CA_LIFE: Duration = Duration::days(3650);
const SERVER_LIFE: Duration = Duration::days(397);

/// The authority's certificate as PEM, and a server configuration for these names.
///
/// # Errors
/// When the kept authority cannot be read, or nothing can be written or signed.
pub fn load_or_make(data_dir: &Path, hosts: &[String]) -> io::Result<(String, Arc<ServerConfig>)> {
    let issuer = authority(data_dir)?;
    let ca_pem = fs::read_to_string(data_dir.join(CA_FILE))?;
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = server_params(hosts)?.signed_by(&key, &issuer).map_err(io::Error::other)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone(), ca], private)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((ca_pem, Arc::new(config)))
}

type Authority = rcgen::Issuer<'static, KeyPair>;

fn authority(data_dir: &Path) -> io::Result<Authority> {
    let (certificate, key) = (data_dir.join(CA_FILE), data_dir.join(CA_KEY_FILE));
    if !certificate.exists() {
        let pair = KeyPair::generate().map_err(io::Error::other)?;
        write_whole(&key, pair.serialize_pem().as_bytes())?;
        let made = CertifiedIssuer::self_signed(ca_params(), pair).map_err(io::Error::other)?;
        write_whole(&certificate, made.pem().as_bytes())?;
        crate::state::make_readable(&certificate)?;
    }
    let pair = KeyPair::from_pem(&fs::read_to_string(key)?).map_err(io::Error::other)?;
    // Only name and key of the issuer go into what it signs, and those are the kept ones.
    Ok(rcgen::Issuer::new(ca_params(), pair))
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Local forge CA");
    valid_for(&mut params, CA_LIFE);
    params
}

fn server_params(hosts: &[String]) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(io::Error::other)?;
    let name = hosts.first().map_or("local-forge", String::as_str);
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, SERVER_LIFE);
    Ok(params)
}

/// From a day ago, for clocks that are behind.
fn valid_for(params: &mut CertificateParams, life: Duration) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::DAY;
    params.not_after = now + life;
}

/// The names and addresses a certificate needs for a listener at `ip`.
pub fn names_for(hosts: &[String], ip: Option<IpAddr>) -> Vec<String> {
    let mut names = hosts.to_vec();
    let api = hosts.iter().map(|host| format!("api.{host}"));
    names.extend(api.filter(|name| name.parse::<IpAddr>().is_err()));
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    names.extend(ip.map(|ip| ip.to_string()));
    names.retain(|name| !(name.starts_with("api.") && name[4..].parse::<IpAddr>().is_ok()));
    names.sort();
    names.dedup();
    names
}
