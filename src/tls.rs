//! TLS for whatever listens: certificates and keys in PEM files flow in, a configuration flows out.
//!
//! TLS 1.2 and 1.3, by rustls with ring. Clients show a certificate of their own where an authority is
//! named that must have signed it, and are asked for none otherwise.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// A server that shows the first certificate of a file, with the others that vouch for it.
///
/// # Errors
/// If a file cannot be read or holds something else, or the key does not fit the certificate.
pub fn server_config(
    certificate: &Path,
    key: &Path,
    client_authority: Option<&Path>,
) -> io::Result<ServerConfig> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match client_authority {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(file)? {
                roots.add(authority).map_err(io::Error::other)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(io::Error::other)?)
        }
    };
    builder
        .with_single_cert(chain, key)
        .map_err(io::Error::other)
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(file)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>());
    found.map_err(io::Error::other)
}
