//! Typed words as patterns for `people.search`; migrations/0001_people.sql says what that text holds.

use kit::search::escape;

/// The word in name, phone or email: before the tab behind which the roles stand.
pub(crate) fn before_roles(word: &str) -> String {
    format!("%{}%\t%", escape(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likes_own_signs_stand_for_themselves() {
        assert_eq!(before_roles("ana"), "%ana%\t%");
        assert_eq!(before_roles("50%"), "%50\\%%\t%");
    }
}
