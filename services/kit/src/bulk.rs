//! Rows by the million, for imports and load tests: COPY into tables whose secondary indexes are built afterwards. All
//! of one load is one transaction, so whoever is killed in between leaves nothing, no index missing either.
//!
//! Foreign keys and triggers do not run: the caller answers for the facts. That takes a superuser's connection.

pub mod import;

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::postgres::PgCopyIn;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, PgTransaction};
use std::io::Write as _;
use uuid::Uuid;

use crate::error::{Result, internal};

/// How much text is gathered before it is sent.
const CHUNK: usize = 1 << 20;

/// One value of a row.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Uuid(Uuid),
    Time(DateTime<Utc>),
    Text(&'a str),
    Uuids(&'a [Uuid]),
    Texts(&'a [&'a str]),
}

macro_rules! values {
    ($($kind:ident $type:ty)*) => {$(
        impl<'a> From<$type> for Value<'a> {
            fn from(value: $type) -> Self {
                Self::$kind(value)
            }
        }

        impl<'a> From<Option<$type>> for Value<'a> {
            fn from(value: Option<$type>) -> Self {
                value.map_or(Self::Null, Self::$kind)
            }
        }
    )*};
}

values! { Bool bool Int i64 Float f64 Uuid Uuid Time DateTime<Utc> Text &'a str Uuids &'a [Uuid] Texts &'a [&'a str] }

/// A load that has begun: the tables' secondary indexes are gone until [`Load::finish`], and nobody else writes to them.
pub struct Load {
    pool: PgPool,
    tx: PgTransaction<'static>,
    /// What makes the indexes again.
    indexes: Vec<String>,
    tables: Vec<&'static str>,
}

impl Load {
    pub async fn begin(pool: &PgPool, tables: &[&'static str]) -> Result<Self> {
        let mut tx = pool.begin().await?;
        // Building the indexes may take minutes, and wants memory.
        for setting in [
            "set local statement_timeout = 0",
            "set local session_replication_role = replica",
            "set local maintenance_work_mem = '512MB'",
        ] {
            sqlx::query(setting).execute(&mut *tx).await?;
        }
        for table in tables {
            let lock = format!("lock table {table} in share row exclusive mode");
            sqlx::query(AssertSqlSafe(lock)).execute(&mut *tx).await?;
        }
        // Those of constraints stay: rows come in the order of their keys, which costs little.
        let indexes: Vec<(String, String)> = sqlx::query_as(
            "select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) from pg_index i
             where i.indrelid = any ($1::text[]::regclass[])
               and not exists (select from pg_constraint c where c.conindid = i.indexrelid)",
        )
        .bind(tables)
        .fetch_all(&mut *tx)
        .await?;
        for (name, _) in &indexes {
            sqlx::query(AssertSqlSafe(format!("drop index {name}"))).execute(&mut *tx).await?;
        }
        let indexes = indexes.into_iter().map(|(_, definition)| definition).collect();
        Ok(Self { pool: pool.clone(), tx, indexes, tables: tables.to_vec() })
    }

    /// For statements beside the COPYs, such as the next free number of a sequence.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Begins to fill a table.
    pub async fn copy(&mut self, table: &str, columns: &[&str]) -> Result<Copy<'_>> {
        let statement = format!("copy {table} ({}) from stdin", columns.join(", "));
        Ok(Copy { sink: self.tx.copy_in_raw(&statement).await?, text: Vec::with_capacity(CHUNK + 4096) })
    }

    /// Builds the indexes, makes the rows visible and tells the planner of them.
    pub async fn finish(mut self) -> Result<()> {
        for definition in self.indexes {
            sqlx::query(AssertSqlSafe(definition)).execute(&mut *self.tx).await?;
        }
        self.tx.commit().await?;
        // Not only the statistics: without it no index could be read alone until the server came round to it.
        let mut connection = self.pool.acquire().await?;
        sqlx::query("set statement_timeout = 0").execute(&mut *connection).await?;
        for table in self.tables {
            sqlx::query(AssertSqlSafe(format!("vacuum (analyze) {table}"))).execute(&mut *connection).await?;
        }
        // Its settings are its own.
        Ok(connection.detach().close().await?)
    }
}

/// A table being filled.
pub struct Copy<'c> {
    sink: PgCopyIn<&'c mut PgConnection>,
    text: Vec<u8>,
}

impl Copy<'_> {
    /// Adds a row: a value for each of the columns, in their order.
    pub async fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.text.push(b'\t');
            }
            write_value(&mut self.text, *value).map_err(internal)?;
        }
        self.text.push(b'\n');
        if self.text.len() >= CHUNK {
            self.sink.send(&*self.text).await?;
            self.text.clear();
        }
        Ok(())
    }

    /// Sends the rest; says how many rows there were.
    pub async fn finish(mut self) -> Result<u64> {
        self.sink.send(&*self.text).await?;
        Ok(self.sink.finish().await?)
    }
}

/// In COPY's text format.
fn write_value(text: &mut Vec<u8>, value: Value<'_>) -> std::io::Result<()> {
    match value {
        Value::Null => text.extend_from_slice(br"\N"),
        Value::Bool(value) => text.push(if value { b't' } else { b'f' }),
        Value::Int(value) => write!(text, "{value}")?,
        Value::Float(value) => write!(text, "{value}")?,
        Value::Uuid(value) => write!(text, "{value}")?,
        Value::Time(value) => write!(text, "{}", value.to_rfc3339_opts(SecondsFormat::Micros, true))?,
        Value::Text(value) => escape(text, value),
        Value::Uuids(values) => {
            text.push(b'{');
            for (at, value) in values.iter().enumerate() {
                write!(text, "{}{value}", if at > 0 { "," } else { "" })?;
            }
            text.push(b'}');
        }
        Value::Texts(values) => {
            let quoted = |value: &&str| format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""));
            let values: Vec<_> = values.iter().map(quoted).collect();
            escape(text, &format!("{{{}}}", values.join(",")));
        }
    }
    Ok(())
}

fn escape(text: &mut Vec<u8>, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'\\' => text.extend_from_slice(br"\\"),
            b'\t' => text.extend_from_slice(br"\t"),
            b'\n' => text.extend_from_slice(br"\n"),
            b'\r' => text.extend_from_slice(br"\r"),
            byte => text.push(byte),
        }
    }
}
