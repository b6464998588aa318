//! The certificates of an installation: one authority, and one certificate per service that names it. Made once,
//! renewed at a start shortly before they end.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Datelike, Days, Utc};
use kit::tls::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use x509_parser::pem::parse_x509_pem;

use crate::installation::write;

/// Days that a certificate lives, and how many before its end it is renewed.
const AUTHORITY: (u64, u64) = (3650, 365);
const SERVICE: (u64, u64) = (365, 60);

/// The name under which our own commands call services.
pub(crate) const CLI: &str = "plaza";

/// The folder with the certificates.
#[derive(Clone, Debug)]
pub(crate) struct Pki(PathBuf);

impl Pki {
    /// Makes or renews what is missing or about to end; says how many.
    pub(crate) fn renew(dir: &Path, names: &[&str], now: DateTime<Utc>) -> anyhow::Result<(Self, usize)> {
        let pki = Self(dir.join("pki"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&pki.0)?;
        let mut made = 0;
        if !fresh(&pki.ca(), AUTHORITY.1, now) || !pki.ca_key().exists() {
            let key = KeyPair::generate()?;
            let certificate = authority(now).self_signed(&key)?;
            // Without it the services' certificates are worth nothing; so they are made anew.
            for name in names {
                let _ = fs::remove_file(pki.certificate(name));
            }
            write(&pki.ca_key(), key.serialize_pem().as_bytes())?;
            write(&pki.ca(), certificate.pem().as_bytes())?;
            made += 1;
        }
        let missing: Vec<_> = names.iter().filter(|name| !fresh(&pki.certificate(name), SERVICE.1, now)).collect();
        if missing.is_empty() {
            return Ok((pki, made));
        }
        let key = fs::read_to_string(pki.ca_key()).context("reading the authority's key")?;
        // Name and usages are always the same, so they need not be read from the authority's certificate.
        let issuer = Issuer::new(authority(now), KeyPair::from_pem(&key).context("the authority's key")?);
        for name in missing {
            let key = KeyPair::generate()?;
            let certificate = service(name, now)?.signed_by(&key, &issuer)?;
            write(&pki.key(name), key.serialize_pem().as_bytes())?;
            write(&pki.certificate(name), certificate.pem().as_bytes())?;
            made += 1;
        }
        Ok((pki, made))
    }

    /// The folder as it is.
    pub(crate) fn at(dir: &Path) -> Self {
        Self(dir.join("pki"))
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    fn ca_key(&self) -> PathBuf {
        self.0.join("ca.key")
    }

    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.key"))
    }

    /// What `name` needs to call and to be called.
    pub(crate) fn tls(&self, name: &str) -> anyhow::Result<Tls> {
        Tls::load(&self.ca(), &self.certificate(name), &self.key(name))
    }
}

/// When the certificate in a file ends.
pub(crate) fn ends(path: &Path) -> anyhow::Result<DateTime<Utc>> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let (_, pem) = parse_x509_pem(&text).with_context(|| format!("{} is not a certificate", path.display()))?;
    let certificate = pem.parse_x509().with_context(|| format!("{} is not a certificate", path.display()))?;
    DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0).context("an impossible date")
}

fn fresh(path: &Path, days: u64, now: DateTime<Utc>) -> bool {
    ends(path).is_ok_and(|end| end > now + Days::new(days))
}

fn authority(now: DateTime<Utc>) -> CertificateParams {
    let mut params = named("Plaza local authority", now, AUTHORITY.0);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn service(name: &str, now: DateTime<Utc>) -> anyhow::Result<CertificateParams> {
    let mut params = named(name, now, SERVICE.0);
    params.subject_alt_names =
        vec![SanType::URI(kit::tls::spiffe(name).as_str().try_into()?), SanType::DnsName(name.try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn named(name: &str, now: DateTime<Utc>, days: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let day = |at: DateTime<Utc>| date_time_ymd(at.year(), at.month() as u8, at.day() as u8);
    // From yesterday, for machines whose clocks go back a little.
    params.not_before = day(now - Days::new(1));
    params.not_after = day(now + Days::new(days));
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_made_once_and_renewed_before_they_end() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = std::env::temp_dir().join(format!("plaza-certificates-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let now = Utc::now();
        let (pki, made) = Pki::renew(&dir, &["auth", "users"], now).unwrap();
        assert_eq!(made, 3);
        pki.tls("auth").unwrap();
        let first = fs::read(pki.certificate("auth")).unwrap();
        let ca = fs::read(pki.ca()).unwrap();

        assert_eq!(Pki::renew(&dir, &["auth", "users"], now).unwrap().1, 0);
        assert_eq!(Pki::renew(&dir, &["auth", "users", "media"], now).unwrap().1, 1);
        // The authority outlives the services' certificates, so old and new ones trust each other.
        assert_eq!(Pki::renew(&dir, &["auth", "users"], now + Days::new(310)).unwrap().1, 2);
        assert_ne!(fs::read(pki.certificate("auth")).unwrap(), first);
        assert_eq!(fs::read(pki.ca()).unwrap(), ca);
        assert_eq!(Pki::renew(&dir, &["auth", "users"], now + Days::new(3300)).unwrap().1, 3);
        fs::remove_dir_all(dir).unwrap();
    }
}
