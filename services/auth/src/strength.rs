//! Which passwords are good enough. Each community announces its own rule in its forms; both refuse the login name
//! itself and the passwords that everybody tries first.

use kit::error::{Error, Result, invalid_because};
use proto::auth::v1::PasswordRule;

/// In the letters people use. Compared exactly, so a password that meets the mixed rule is never one of them.
const COMMON: &[&str] = &[
    "00000000",
    "0123456789",
    "11111111",
    "1111111111",
    "11223344",
    "12121212",
    "123123123",
    "12341234",
    "12344321",
    "12345678",
    "123456789",
    "1234567890",
    "1234qwer",
    "123qwe123",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "22222222",
    "55555555",
    "66666666",
    "77777777",
    "87654321",
    "88888888",
    "987654321",
    "99999999",
    "a1234567",
    "aa123456",
    "aaaaaaaa",
    "abc12345",
    "abcd1234",
    "abcdefgh",
    "admin123",
    "administrator",
    "alejandra",
    "alejandro",
    "argentina",
    "asdf1234",
    "asdfasdf",
    "asdfghjk",
    "asdfghjkl",
    "barcelona",
    "baseball",
    "changeme",
    "colombia",
    "computer",
    "contrasena",
    "contraseña",
    "cristina",
    "estrella",
    "football",
    "fernanda",
    "guatemala",
    "hola1234",
    "iloveyou",
    "internet",
    "letmein1",
    "mariposa",
    "nicaragua",
    "p@ssw0rd",
    "pa55word",
    "passw0rd",
    "password",
    "password1",
    "password12",
    "password123",
    "princesa",
    "princess",
    "q1w2e3r4",
    "qazwsxedc",
    "qwer1234",
    "qwerty12",
    "qwerty123",
    "qwertyui",
    "qwertyuiop",
    "starwars",
    "sunshine",
    "superman",
    "teamo123",
    "tequiero",
    "trustno1",
    "welcome1",
    "whatever",
    "zxcvbnm1",
];

/// Refuses a weak password with `PASSWORD_TOO_WEAK` on `field`. `names` are the account's login names as stored.
pub(crate) fn check(field: &'static str, password: &str, rule: PasswordRule, names: &[&str]) -> Result<()> {
    let weak = |why: &'static str| -> Result<()> { Err(too_weak(field, why)) };
    match password.chars().count() {
        0..8 => return weak("must have at least 8 characters"),
        8..=128 => {}
        _ => return weak("must have at most 128 characters"),
    }
    if rule == PasswordRule::Mixed {
        let has = |kind: fn(char) -> bool| password.chars().any(kind);
        if !has(char::is_uppercase) || !has(char::is_lowercase) || !has(|c| c.is_ascii_digit()) {
            return weak("must have an upper-case letter, a lower-case letter and a digit");
        }
    }
    if names.iter().any(|name| is_name(password, name)) {
        return weak("may not be the login name");
    }
    if COMMON.contains(&password) {
        return weak("is one of the most common passwords");
    }
    Ok(())
}

fn is_name(password: &str, name: &str) -> bool {
    let (password, name) = (password.trim().to_lowercase(), name.to_lowercase());
    password == name || password.trim_start_matches('+') == name.trim_start_matches('+')
}

fn too_weak(field: &'static str, why: &'static str) -> Error {
    invalid_because(field, "PASSWORD_TOO_WEAK", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strong(password: &str, rule: PasswordRule) -> bool {
        check("password", password, rule, &["+59170000000", "Ana.Paz1@example.com"]).is_ok()
    }

    #[test]
    fn the_length_rule_asks_for_8_to_128_characters_of_any_kind() {
        assert!(strong("ñandúes!", PasswordRule::Length));
        assert!(strong("        x", PasswordRule::Unspecified));
        assert!(!strong("short77", PasswordRule::Length));
        assert!(strong(&"x".repeat(128), PasswordRule::Length));
        assert!(!strong(&"x".repeat(129), PasswordRule::Length));
    }

    #[test]
    fn the_mixed_rule_asks_for_both_cases_and_a_digit_besides() {
        assert!(strong("Secreta123", PasswordRule::Mixed));
        for weak in ["secreta123", "SECRETA123", "SecretaAbc", "Secr3ta"] {
            assert!(!strong(weak, PasswordRule::Mixed), "{weak}");
        }
    }

    #[test]
    fn the_login_name_is_no_password_in_any_spelling() {
        for name in ["+59170000000", "59170000000", "ANA.PAZ1@example.com", " ana.paz1@example.com"] {
            assert!(!strong(name, PasswordRule::Length), "{name}");
        }
        assert!(strong("ana.paz1@example.com, I mean", PasswordRule::Length));
    }

    #[test]
    fn what_everybody_tries_first_is_refused() {
        assert!(COMMON.iter().all(|common| !strong(common, PasswordRule::Length)));
        assert!(COMMON.iter().all(|common| common.chars().count() >= 8), "shorter ones are refused anyway");
    }
}
