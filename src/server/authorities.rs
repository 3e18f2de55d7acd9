//! Whom to believe that a server is the one of its address.

use std::path::Path;

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use super::Endpoint;
use crate::error::{Error, Result};
use crate::files;

/// The variable that names a file of authorities, as other programs read it.
const VARIABLE: &str = "SSL_CERT_FILE";

/// Bytes of such a file, at most.
const MOST_BYTES: u64 = 16 << 20;

/// Authorities that are believed in the place of the public ones.
#[derive(Debug, Clone)]
pub struct Authorities(RootCerts);

impl Authorities {
    /// Those of the file that the variable names; none where it names none, or the endpoint's address is not
    /// encrypted.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be read or holds no certificate.
    pub fn find(endpoint: &Endpoint, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        if !endpoint.address().starts_with("https:") {
            return Ok(None);
        }
        let file = variable(VARIABLE).filter(|file| !file.is_empty());
        file.map(|file| Self::of_file(Path::new(&file))).transpose()
    }

    fn of_file(path: &Path) -> Result<Self> {
        let remedy = format!("{VARIABLE} must name a file with certificates as PEM, or be unset");
        let text = files::read(path, MOST_BYTES)
            .map_err(|error| Error::file(path, format!("{}; {remedy}", files::problem(&error))))?;
        let certificate = |item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        };
        let all: Vec<Certificate<'static>> = parse_pem(&text).filter_map(certificate).collect();
        match all.is_empty() {
            true => Err(Error::file(path, format!("holds no certificate; {remedy}"))),
            false => Ok(Self(RootCerts::new_with_certs(&all))),
        }
    }

    /// Them as the client takes them.
    pub(super) fn roots(&self) -> RootCerts {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_authorities_is_read_for_encrypted_addresses_and_must_hold_one() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = place.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let pem = file("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let bare = file("bare.pem", "no certificate\n");
        let gone = place.path().join("gone.pem").display().to_string();
        let find = |address: &str, set: &str| {
            let endpoint = Endpoint::new(address).unwrap();
            Authorities::find(&endpoint, |name| (name == VARIABLE).then(|| set.to_string()))
        };
        assert!(find("https://host/v1", &pem).unwrap().is_some());
        assert!(find("https://host/v1", "").unwrap().is_none());
        assert!(find("http://host/v1", &gone).unwrap().is_none());
        for (set, words) in [(&gone, "gone.pem"), (&bare, "holds no certificate")] {
            let error = find("https://host/v1", set).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("SSL_CERT_FILE must name"), "{error}");
        }
    }
}
