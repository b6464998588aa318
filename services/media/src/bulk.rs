//! Files by the hundred thousand, for imports.

use kit::Result;
use kit::bulk::import::File;
use sqlx::PgPool;

/// Those of these numbers that are there.
pub async fn find(pool: &PgPool, numbers: &[i64]) -> Result<Vec<File>> {
    let files = sqlx::query_as!(
        File,
        r#"select f.number as "number!", f.id as "id!", f.folder = 'verification' as "private!", f.owner_id,
               coalesce(b.content_type, '') as "content_type!"
           from files f left join blobs b on b.id = f.blob_id
           where f.number = any($1)"#,
        numbers
    );
    Ok(files.fetch_all(pool).await?)
}
