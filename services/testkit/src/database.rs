//! A fresh, migrated database per test: a copy of a template that is migrated once per test binary.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::Mutex;
use uuid::Uuid;

/// Migrated templates of this process by service.
static TEMPLATES: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);

/// A database of one test. Those of former runs are dropped by later ones.
pub struct Database {
    pub url: String,
}

impl Database {
    /// A database with the tables of kit and of the service `name`.
    pub async fn fresh(name: &str, migrator: &Migrator) -> Self {
        let server = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL server; run `make test`");
        let mut admin = PgConnection::connect(&server).await.expect("the PostgreSQL server answers");
        // Held while copying too: PostgreSQL refuses a template that somebody else is copying.
        let mut templates = TEMPLATES.lock().await;
        let template = match templates.get(name) {
            Some(template) => template.clone(),
            None => {
                sweep(&mut admin, name).await;
                let template = unique(name);
                create(&mut admin, &template, "template0").await;
                let pool = PgPool::connect(&named(&server, &template)).await.expect("the new database answers");
                kit::db::migrate(&pool, migrator).await.expect("the migrations apply");
                pool.close().await;
                templates.insert(name.to_owned(), template.clone());
                template
            }
        };
        let database = unique(name);
        create(&mut admin, &database, &template).await;
        Self { url: named(&server, &database) }
    }

    /// Takes no connections any more and ends those that there are, or takes them again.
    pub async fn set_away(&self, away: bool) {
        let server = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL server; run `make test`");
        let mut admin = PgConnection::connect(&server).await.expect("the PostgreSQL server answers");
        let name = self.url.rsplit('/').next().and_then(|end| end.split('?').next()).unwrap_or_default();
        let open = !away;
        let sql = AssertSqlSafe(format!("alter database {name} allow_connections {open}"));
        admin.execute(sql).await.expect("the server lets us close databases");
        if away {
            let sql = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
            sqlx::query(sql).bind(name).execute(&mut admin).await.expect("the server lets us end sessions");
        }
    }
}

/// A name that tells when it was made.
fn unique(name: &str) -> String {
    format!("{name}_{}", Uuid::now_v7().simple())
}

/// Drops databases that a run of half an hour ago or more left, some at a time. Errors do not matter: somebody else may
/// be sweeping too.
async fn sweep(admin: &mut PgConnection, name: &str) {
    const OLD: u64 = 30 * 60;
    let pattern = format!("^{name}_[0-9a-f]{{32}}$");
    let sql = "select datname::text from pg_database where datname ~ $1 order by datname limit 50";
    let left: Vec<String> = sqlx::query_scalar(sql).bind(pattern).fetch_all(&mut *admin).await.unwrap_or_default();
    let now = Uuid::now_v7().get_timestamp().map_or(0, |at| at.to_unix().0);
    for database in left {
        let made = Uuid::try_parse(&database[name.len() + 1..]).ok().and_then(|id| id.get_timestamp());
        if made.is_some_and(|at| at.to_unix().0 + OLD < now) {
            let _ = admin.execute(AssertSqlSafe(format!("drop database if exists {database} with (force)"))).await;
        }
    }
}

async fn create(admin: &mut PgConnection, name: &str, template: &str) {
    let sql = AssertSqlSafe(format!("create database {name} template {template} encoding 'UTF8'"));
    admin.execute(sql).await.expect("the server lets us create databases");
}

fn named(server: &str, database: &str) -> String {
    let (base, _) = server.rsplit_once('/').expect("DATABASE_URL ends in a database");
    format!("{base}/{database}")
}
