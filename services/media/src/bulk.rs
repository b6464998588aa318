//! Files by the hundred thousand, for imports.

use kit::Result;
use kit::bulk::import::File;
use sqlx::PgPool;

/// Those of these numbers that are there; what is private is for no room and no post.
pub async fn find(pool: &PgPool, numbers: &[i64]) -> Result<Vec<File>> {
    let files = sqlx::query_as!(
        File,
        r#"select f.number as "number!", f.id as "id!", coalesce(b.content_type, '') as "content_type!"
           from files f left join blobs b on b.id = f.blob_id
           where f.number = any($1) and f.folder <> 'verification'"#,
        numbers
    );
    Ok(files.fetch_all(pool).await?)
}
