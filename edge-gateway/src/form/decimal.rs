//! Exact decimal numbers, counted as Django counts them.

use serde_json::Value;
use utoipa::openapi::schema::{Schema, Type};

use super::kinds::typed;
use super::{Habits, Kind, Wrong};

/// An exact decimal number: `units` divided by ten to the power of `places`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decimal {
    pub units: i64,
    pub places: u32,
}

impl Decimal {
    pub fn to_f64(self) -> f64 {
        self.units as f64 / 10f64.powi(self.places as i32)
    }
}

pub struct DecimalOf {
    pub(super) digits: u32,
    pub(super) places: u32,
}

impl Kind for DecimalOf {
    type Value = Decimal;
    const EMPTY_IS_NULL: bool = true;

    fn json(&self, value: Value, _: Habits) -> Result<Decimal, Wrong> {
        match value {
            Value::String(text) => self.text(text),
            Value::Number(number) => self.text(number.to_string()),
            _ => Err(Wrong::NotNumber),
        }
    }

    fn text(&self, text: String) -> Result<Decimal, Wrong> {
        let (negative, digits, exponent) = scientific(text.trim()).ok_or(Wrong::NotNumber)?;
        // Like Python's Decimal: digits as written, the exponent moves the point.
        let written = i32::try_from(digits.len()).unwrap_or(i32::MAX);
        let places = (-exponent).max(0);
        let whole = (written + exponent).max(0);
        if written.max(places).max(whole) > self.digits as i32 {
            return Err(Wrong::TotalDigits(self.digits));
        }
        if places > self.places as i32 {
            return Err(Wrong::DecimalPlaces(self.places));
        }
        if whole > (self.digits - self.places) as i32 {
            return Err(Wrong::WholeDigits(self.digits - self.places));
        }
        let written: i64 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| Wrong::NotNumber)? };
        let units = written * 10i64.pow((self.places as i32 + exponent).max(0) as u32);
        Ok(Decimal { units: if negative { -units } else { units }, places: self.places })
    }

    fn wrong_type(&self) -> Wrong {
        Wrong::NotNumber
    }

    fn schema(&self) -> Schema {
        let pattern = format!(r"^-?\d{{0,{}}}(?:\.\d{{0,{}}})?$", self.digits - self.places, self.places);
        typed(Type::String).pattern(Some(pattern)).into()
    }
}

/// Sign, significant digits without leading zeros, and the exponent of the last one.
fn scientific(text: &str) -> Option<(bool, String, i32)> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?.into()),
        None => (text, 0i32),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 100 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0').to_owned();
    // Zero has no place worth moving.
    let exponent = if digits.is_empty() { 0 } else { exponent - fraction.len() as i32 };
    Some((negative, digits, exponent))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_count_digits_as_django_does() {
        let of = |text: &str| DecimalOf { digits: 10, places: 7 }.text(text.to_owned());
        assert_eq!(of("12.136389").map(|d| d.units), Ok(121_363_890));
        assert_eq!(of("-86.25").map(Decimal::to_f64), Ok(-86.25));
        assert_eq!(of("1e2").map(|d| d.units), Ok(1_000_000_000));
        assert_eq!(of("0").map(|d| d.units), Ok(0));
        assert_eq!(of("1234"), Err(Wrong::WholeDigits(3)));
        assert_eq!(of("0.00000001"), Err(Wrong::DecimalPlaces(7)));
        assert_eq!(of("123456.12345"), Err(Wrong::TotalDigits(10)));
        for text in ["nan", "inf", "", "1,5", "--1", "1e99999", "0x1"] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn decimals_of_any_shape_are_exact_or_refused(units in -9_999_999_999i64..=9_999_999_999) {
            let text = format!("{}{}.{:02}", if units < 0 { "-" } else { "" }, units.abs() / 100, units.abs() % 100);
            prop_assert_eq!(DecimalOf { digits: 10, places: 2 }.text(text).map(|d| d.units), Ok(units));
        }
    }
}
