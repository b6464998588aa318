use sqlx::{AssertSqlSafe, PgPool};

use crate::eventually;

/// How PostgreSQL runs the statement that contains `part`, as the service prepared it, with these arguments: the lines of
/// EXPLAIN. On the connection that has run it most often, because a plan for any arguments is considered only after some.
/// Panics when no connection of the pool has such a statement.
pub async fn plan(db: &PgPool, part: &str, arguments: &str) -> String {
    // A connection comes back to the pool a moment after its statement.
    eventually("the service is at rest", async || db.num_idle() == db.size() as usize).await;
    let mut connections = Vec::new();
    for _ in 0..db.size() {
        connections.push(db.acquire().await.expect("a connection"));
    }
    let mut most = None;
    for (at, connection) in connections.iter_mut().enumerate() {
        let prepared: Option<(String, i64)> = sqlx::query_as(
            "select name, generic_plans + custom_plans from pg_prepared_statements where position($1 in statement) > 0
             order by 2 desc limit 1",
        )
        .bind(part)
        .fetch_optional(&mut **connection)
        .await
        .expect("the statements of a session");
        most = most.max(prepared.map(|(name, runs)| (runs, at, name)));
    }
    let Some((_, at, name)) = most else { panic!("no statement with {part:?} was run") };
    let explain = AssertSqlSafe(format!("explain execute {name} ({arguments})"));
    let lines: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut *connections[at]).await.expect("a plan");
    lines.join("\n")
}
