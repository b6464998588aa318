//! Paging tokens: where the next page starts, sealed. A client cannot read one, forge one, or use it with another list
//! or other filters.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Result, internal, invalid};
use crate::seal::{Sealer, Secret};

/// Makes and reads paging tokens.
#[derive(Clone, Debug)]
pub struct Pager(Sealer);

impl Pager {
    pub fn new(secret: &Secret) -> Self {
        Self(Sealer::new(secret, "page"))
    }

    /// A token for the place `key` in the list `scope`: the RPC's name and its filters.
    pub fn seal(&self, scope: &str, key: &impl Serialize) -> Result<String> {
        let plain = serde_json::to_vec(key).map_err(internal)?;
        Ok(URL_SAFE_NO_PAD.encode(self.0.seal(scope.as_bytes(), &plain)))
    }

    /// Ends a page after `size` of its rows, of which the caller has asked for one more to see whether there is a next
    /// page. The token of that page stands for the `key` of the last row that is left; it is empty if there is none.
    pub fn cut<R, K: Serialize>(
        &self,
        scope: &str,
        rows: &mut Vec<R>,
        size: i64,
        key: impl FnOnce(&R) -> K,
    ) -> Result<String> {
        let more = rows.len() as i64 > size;
        rows.truncate(size as usize);
        match rows.last() {
            Some(last) if more => self.seal(scope, &key(last)),
            _ => Ok(String::new()),
        }
    }

    /// The place a token stands for, or `None` for the first page.
    pub fn open<T: DeserializeOwned>(&self, scope: &str, token: &str) -> Result<Option<T>> {
        if token.is_empty() {
            return Ok(None);
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).ok();
        let plain = sealed.and_then(|sealed| self.0.open(scope.as_bytes(), &sealed));
        match plain.and_then(|plain| serde_json::from_slice(&plain).ok()) {
            Some(key) => Ok(Some(key)),
            None => Err(invalid("page_token", "is not a token of this list")),
        }
    }
}

/// How many rows to give: `default` when nothing is asked, never more than `most`.
pub fn size(asked: i32, default: i64, most: i64) -> i64 {
    if asked <= 0 { default } else { i64::from(asked).min(most) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_token_opens_to_what_was_sealed(key: (i64, String), scope: String) {
            let pager = Pager::new(&Secret::new(&[1; 32]));
            let token = pager.seal(&scope, &key).unwrap();
            prop_assert_eq!(pager.open::<(i64, String)>(&scope, &token).unwrap(), Some(key));
        }

        #[test]
        fn a_changed_token_or_scope_does_not_open(key: i64, at in 0usize..200, bit in 0u8..6) {
            let pager = Pager::new(&Secret::new(&[1; 32]));
            let token = pager.seal("list", &key).unwrap();
            prop_assert!(pager.open::<i64>("other", &token).is_err());

            let mut raw = URL_SAFE_NO_PAD.decode(&token).unwrap();
            let at = at % raw.len();
            raw[at] ^= 1 << bit;
            prop_assert!(pager.open::<i64>("list", &URL_SAFE_NO_PAD.encode(raw)).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(token: String) {
            let pager = Pager::new(&Secret::new(&[1; 32]));
            let _ = pager.open::<i64>("list", &token);
        }
    }

    #[test]
    fn a_page_with_a_row_too_many_is_followed_by_one_behind_its_last_row() {
        let pager = Pager::new(&Secret::new(&[1; 32]));
        let page = |found: i64| {
            let mut rows: Vec<i64> = (1..=found).collect();
            let token = pager.cut("list", &mut rows, 3, |row| row * 10).unwrap();
            (rows, pager.open::<i64>("list", &token).unwrap())
        };
        assert_eq!(page(4), (vec![1, 2, 3], Some(30)));
        assert_eq!(page(3), (vec![1, 2, 3], None));
        assert_eq!(page(0), (vec![], None));
    }

    #[test]
    fn sizes_are_cut_not_refused() {
        assert_eq!((size(0, 20, 100), size(7, 20, 100), size(1000, 20, 100)), (20, 7, 100));
    }
}
