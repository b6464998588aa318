//! How PostgreSQL runs what a service asks, with the statements as the service prepared them.

use std::fmt::{self, Display};

use serde_json::Value;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row};

use crate::eventually;

/// The plan of the statement that contains all `parts`, as [`Prepared::find`] finds it, for these arguments.
pub async fn plan(db: &PgPool, parts: &[&str], arguments: &str) -> Plan {
    Prepared::find(db, parts).await.plan(&[], arguments).await
}

/// The plans of the statement that contains all `parts`: for these arguments, and for any.
pub async fn plans(db: &PgPool, parts: &[&str], arguments: &str) -> [Plan; 2] {
    let mut statement = Prepared::find(db, parts).await;
    let custom = statement.plan(&["plan_cache_mode = force_custom_plan"], arguments).await;
    [custom, statement.plan(&["plan_cache_mode = force_generic_plan"], arguments).await]
}

/// A statement that a service has prepared, on the connection that has run it most often, because a plan for any
/// arguments is considered only after some.
pub struct Prepared {
    pub text: String,
    name: String,
    connection: PoolConnection<Postgres>,
}

impl Prepared {
    /// The statement that contains all `parts`. Panics when no connection of the pool has one.
    pub async fn find(db: &PgPool, parts: &[&str]) -> Self {
        let mut connections = Vec::new();
        // A connection comes back to the pool a moment after its statement.
        eventually("the service is at rest", async || {
            connections.extend(std::iter::from_fn(|| db.try_acquire()));
            connections.len() == db.size() as usize
        })
        .await;
        let mut most: Option<(i64, Self)> = None;
        for mut connection in connections {
            let prepared: Option<(String, String, i64)> = sqlx::query_as(
                "select name, statement, generic_plans + custom_plans from pg_prepared_statements
                 where (select bool_and(position(part in statement) > 0) from unnest($1::text[]) part)
                 order by 3 desc limit 1",
            )
            .bind(parts)
            .persistent(false)
            .fetch_optional(&mut *connection)
            .await
            .expect("the statements of a session");
            if let Some((name, text, runs)) = prepared
                && most.as_ref().is_none_or(|(before, _)| runs > *before)
            {
                most = Some((runs, Self { text, name, connection }));
            }
        }
        let Some((_, found)) = most else { panic!("no statement with {parts:?} was run") };
        found
    }

    /// Its plan for these arguments with settings such as `enable_seqscan = off`.
    pub async fn plan(&mut self, settings: &[&str], arguments: &str) -> Plan {
        self.explain("format json", settings, arguments).await
    }

    /// The same, of a run that leaves nothing behind: the plan tells how often each of its nodes was run, too.
    pub async fn run(&mut self, settings: &[&str], arguments: &str) -> Plan {
        self.explain("analyze, timing off, format json", settings, arguments).await
    }

    async fn explain(&mut self, options: &str, settings: &[&str], arguments: &str) -> Plan {
        let settings: String = settings.iter().map(|setting| format!("set local {setting}; ")).collect();
        let explain = format!("begin; {settings}explain ({options}) execute {} ({arguments})", self.name);
        // All of it raw: of what is prepared sqlx keeps only so much, and that shall be the service's.
        let explained = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(&mut *self.connection).await;
        let row = explained.unwrap_or_else(|error| panic!("{}: {error}", self.text));
        sqlx::raw_sql("rollback").execute(&mut *self.connection).await.expect("the end of a transaction");
        Plan(row.get(0))
    }
}

/// A plan as EXPLAIN tells it in JSON.
pub struct Plan(Value);

impl Plan {
    /// Its nodes, each before those that it reads from.
    pub fn nodes(&self) -> Vec<&Value> {
        let mut nodes = vec![&self.0[0]["Plan"]];
        let mut at = 0;
        while at < nodes.len() {
            let node = nodes[at];
            nodes.extend(node["Plans"].as_array().into_iter().flatten());
            at += 1;
        }
        nodes
    }

    /// The names of the indexes that it reads.
    pub fn indexes(&self) -> Vec<&str> {
        self.nodes().into_iter().filter_map(|node| node["Index Name"].as_str()).collect()
    }

    /// The names of the tables that it reads from their beginning to their end.
    pub fn whole_tables(&self) -> Vec<&str> {
        let scans = self.nodes().into_iter().filter(|node| node["Node Type"] == "Seq Scan");
        scans.map(|node| node["Relation Name"].as_str().expect("what is scanned has a name")).collect()
    }

    /// The nodes that sort, all that they get at once (`Sort`) or part after part (`Incremental Sort`).
    pub fn sorts(&self) -> Vec<&Value> {
        let sorts = |node: &&Value| ["Sort", "Incremental Sort"].iter().any(|kind| node["Node Type"] == *kind);
        self.nodes().into_iter().filter(sorts).collect()
    }
}

impl Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#}", self.0)
    }
}
