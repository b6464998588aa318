//! Phone numbers as login names. People type them with spaces and hyphens; what is stored is clean, and what tells two
//! accounts apart are the digits alone: `+591 700-00000` and `59170000000` are one login.

use kit::error::{Error, Result, invalid_because};

/// A cleaned number: 7 to 15 digits, with `+` if it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phone(String);

impl Phone {
    /// Cleans what somebody typed; `PHONE_INVALID` on `phone` when no number is left.
    pub(crate) fn parse(typed: &str) -> Result<Self> {
        let clean: String = typed.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
        let digits = clean.strip_prefix('+').unwrap_or(&clean);
        let valid = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if valid { Ok(Self(clean)) } else { Err(phone_invalid()) }
    }

    /// As stored and shown.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is known by.
    pub(crate) fn digits(&self) -> &str {
        self.0.strip_prefix('+').unwrap_or(&self.0)
    }
}

fn phone_invalid() -> Error {
    invalid_because("phone", "PHONE_INVALID", "must be 7 to 15 digits with an optional +")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_type_is_cleaned_and_keeps_its_plus() {
        for (typed, stored) in [
            ("50588887777", "50588887777"),
            ("+591 70000000", "+59170000000"),
            (" (591) 700-00.000 ", "59170000000"),
            ("1234567", "1234567"),
        ] {
            assert_eq!(Phone::parse(typed).unwrap().as_str(), stored, "{typed}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for typed in ["", "+", "123456", "1234567890123456", "++5917000000", "591+7000000", "59170000a0", "٥٩١٧٠٠٠٠٠٠٠"]
        {
            assert_eq!(Phone::parse(typed).unwrap_err().reason(), "PHONE_INVALID", "{typed}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_becomes_a_clean_number(typed in any::<String>()) {
            if let Ok(phone) = Phone::parse(&typed) {
                prop_assert!((7..=15).contains(&phone.digits().len()));
                prop_assert!(phone.digits().bytes().all(|b| b.is_ascii_digit()));
                prop_assert_eq!(Phone::parse(phone.as_str()).unwrap(), phone);
            }
        }

        #[test]
        fn separators_and_the_plus_never_make_another_login(
            digits in "[0-9]{7,15}",
            separators in proptest::collection::vec("[ .()-]{0,2}", 16),
            plus in any::<bool>(),
        ) {
            let mut typed = String::from(if plus { "+" } else { "" });
            for (digit, separator) in digits.chars().zip(&separators) {
                typed.push(digit);
                typed.push_str(separator);
            }
            let phone = Phone::parse(&typed).unwrap();
            prop_assert_eq!(phone.digits(), digits);
        }
    }
}
