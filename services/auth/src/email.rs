//! Email addresses as login names. Whether an address exists only a letter can tell, so this refuses no more than what
//! cannot be one.

use kit::error::{Error, Result, invalid_because};

/// A trimmed address, in the letters it was typed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Email(String);

impl Email {
    /// Trims what somebody typed; `EMAIL_INVALID` on `email` when it cannot be an address.
    pub(crate) fn parse(typed: &str) -> Result<Self> {
        let email = typed.trim();
        let (local, domain) = email.rsplit_once('@').ok_or_else(email_invalid)?;
        let local_valid = (1..=64).contains(&local.len())
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && local.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"@\"(),:;<>[]\\".contains(c));
        let domain_valid = domain.contains('.') && domain.split('.').all(label_valid);
        if email.len() <= 254 && local_valid && domain_valid {
            Ok(Self(email.to_owned()))
        } else {
            Err(email_invalid())
        }
    }

    /// As stored and shown.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is known by.
    pub(crate) fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

fn label_valid(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_alphanumeric() || c == '-')
}

fn email_invalid() -> Error {
    invalid_because("email", "EMAIL_INVALID", "must be an email address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_trimmed_and_keep_their_letters() {
        for (typed, stored) in [
            (" Ana.Paz+x@Example.com ", "Ana.Paz+x@Example.com"),
            ("o'neil@sub.example.co", "o'neil@sub.example.co"),
            ("josé@correo.es", "josé@correo.es"),
        ] {
            assert_eq!(Email::parse(typed).unwrap().as_str(), stored, "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        for typed in
            ["", "ana", "@example.com", "ana@", "ana@localhost", "a b@example.com", "ana@ex ample.com", "a@b@c.com"]
        {
            assert_eq!(Email::parse(typed).unwrap_err().reason(), "EMAIL_INVALID", "{typed}");
        }
        for typed in ["ana@-a.com", "ana@a..com", ".ana@a.com", "ana@a.com\r\nBcc: x@y.z", "<ana@a.com>"] {
            assert_eq!(Email::parse(typed).unwrap_err().reason(), "EMAIL_INVALID", "{typed}");
        }
    }
}
