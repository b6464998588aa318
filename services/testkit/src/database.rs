//! A fresh, migrated database per test: a copy of a template that is migrated once per test binary.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::Mutex;
use uuid::Uuid;

/// Migrated templates of this process by service.
static TEMPLATES: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);

/// A database of one test. It goes with the server, which lives as long as the test run.
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
                let template = format!("{name}_{}", Uuid::new_v4().simple());
                create(&mut admin, &template, "template0").await;
                let pool = PgPool::connect(&named(&server, &template)).await.expect("the new database answers");
                kit::db::migrate(&pool, migrator).await.expect("the migrations apply");
                pool.close().await;
                templates.insert(name.to_owned(), template.clone());
                template
            }
        };
        let database = format!("{name}_{}", Uuid::new_v4().simple());
        create(&mut admin, &database, &template).await;
        Self { url: named(&server, &database) }
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
