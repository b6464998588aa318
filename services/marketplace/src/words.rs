//! Words of ads, by which a word that is misspelled finds those that are meant. Triggers note them when an ad is
//! written. Here those are forgotten that no ad has any more, a few at a time and one part of the alphabet after the
//! other, so that what somebody once wrote does not stay for good.

use kit::db::{begin, commit};
use sqlx::PgConnection;

use crate::{Marketplace, Plans};

/// Words that are looked at in one turn.
const STEP: i64 = 500;

impl Marketplace {
    /// Forgets those of the next words that no ad has.
    pub async fn sweep_words(&self) -> kit::Result<()> {
        let after = self.swept.lock().expect("nothing panics under this lock").clone();
        let mut tx = self.snapshot(Plans::Own).await?;
        let words = list_words(&mut tx, &after).await?;
        commit(tx).await?;

        let unused: Vec<String> = words.iter().filter(|(_, used)| !used).map(|(word, _)| word.clone()).collect();
        if !unused.is_empty() {
            let mut tx = begin(&self.db).await?;
            if !lock_words(&mut tx).await? {
                return Ok(());
            }
            delete_unused(&mut tx, &unused).await?;
            commit(tx).await?;
        }
        // After the last word comes the first one again.
        let last = words.into_iter().map(|(word, _)| word).nth(STEP as usize - 1);
        *self.swept.lock().expect("nothing panics under this lock") = last.unwrap_or_default();
        Ok(())
    }
}

/// The words behind `after`, and whether an ad has them.
async fn list_words(conn: &mut PgConnection, after: &str) -> kit::Result<Vec<(String, bool)>> {
    let rows = sqlx::query!(
        r#"select word, exists (select from ads where search @@ quote_literal(word)::tsquery) as "used!"
           from words where word > $1 order by word limit $2"#,
        after,
        STEP
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(|row| (row.word, row.used)).collect())
}

/// Whether nobody is noting words, nor will until the commit: they would find one here that goes. Does not wait, since
/// all who write ads would wait behind us.
async fn lock_words(conn: &mut PgConnection) -> kit::Result<bool> {
    let locked = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('words')) as "locked!""#);
    Ok(locked.fetch_one(conn).await?)
}

/// Looks again: an ad may have come with one of them.
async fn delete_unused(conn: &mut PgConnection, words: &[String]) -> kit::Result<()> {
    sqlx::query!(
        "delete from words
         where word = any($1) and not exists (select from ads where search @@ quote_literal(word)::tsquery)",
        words
    )
    .execute(conn)
    .await?;
    Ok(())
}
