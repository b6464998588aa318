//! PostgreSQL: pool, migrations, and from a constraint's name to the client's error.

use std::time::Duration;

use anyhow::Context as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, PgTransaction};

use crate::error::{Error, Result, internal};

/// The tables of `kit` itself: outbox and inbox.
static KIT: Migrator = sqlx::migrate!();

/// A pool of at most `size` connections; opens one to see that the server is there.
pub async fn connect(url: &str, size: u32, name: &str) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions = url.parse().context("the database's URL")?;
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(Duration::from_secs(3))
        // A dead connection shows at its first statement; asking before each use would cost a round trip.
        .test_before_acquire(false)
        .connect_with(options.application_name(name).options([
            ("statement_timeout", "20s"),
            // Data is in memory or on a solid disk, where the default, four times a page in sequence, makes PostgreSQL
            // rather sort what thousands of rows have in common than read the first few from an index.
            ("random_page_cost", "1.1"),
            // Compiling a plan takes longer than running any of ours.
            ("jit", "off"),
            // What a request asks is answered from an index. Forking workers for it takes longer than that, and a few
            // requests at once would have all of the server's.
            ("max_parallel_workers_per_gather", "0"),
            // The relay's and the inbox's leaders are sessions that hold a lock: one whose machine vanished without a
            // word must not hold it for the two hours that TCP would wait.
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
        ]))
        .await
        .context("connecting to PostgreSQL")
}

/// From now on connections that are opened keep one plan of each statement, for any arguments. PostgreSQL alone compares
/// costs, and of a statement with a limit it then plans anew forever, which takes longer than to read a page. For services
/// whose statements are written so that one plan suits all arguments; where none does, a transaction says so itself.
pub fn plan_once(pool: &PgPool) {
    let options = PgConnectOptions::clone(&pool.connect_options());
    pool.set_connect_options(options.options([
        ("plan_cache_mode", "force_generic_plan"),
        // A plan that is made while a table is empty must be right when it is large, too.
        ("enable_seqscan", "off"),
    ]));
}

/// Brings the database to the newest version. sqlx holds an advisory lock meanwhile, so any number of replicas may
/// start at once.
pub async fn migrate(pool: &PgPool, service: &Migrator) -> anyhow::Result<()> {
    // A connection of its own, since building an index, or waiting for another replica that does, may take long. A pool
    // of one rather than a connection: only with a pool is the future `Send` for whoever spawns a service.
    let patient = PgConnectOptions::clone(&pool.connect_options()).options([("statement_timeout", "0")]);
    let one = PgPoolOptions::new().max_connections(1).connect_with(patient).await?;
    let mut kit = Migrator { migrations: KIT.migrations.clone(), ..Migrator::DEFAULT };
    kit.dangerous_set_table_name("_kit_migrations");
    kit.run(&one).await.context("migrating kit's tables")?;
    service.run(&one).await.context("migrating the service's tables")?;
    one.close().await;
    Ok(())
}

/// A transaction. Errors are the kit's own, so that `?` works in an RPC.
pub async fn begin(pool: &PgPool) -> Result<PgTransaction<'static>> {
    begin_with(pool, "begin").await
}

/// A transaction that begins otherwise: with an isolation level, or settings of its own.
///
/// It begins in a task of its own. A caller may be gone in the middle of it, for a client hung up or a deadline passed,
/// and sqlx (0.9) would then hand the connection to the next one with the transaction open: what that one believes to be
/// committed at once would go with the first rollback.
pub async fn begin_with(pool: &PgPool, statement: &'static str) -> Result<PgTransaction<'static>> {
    let pool = pool.clone();
    tokio::spawn(async move { pool.begin_with(statement).await }).await.map_err(internal)?.map_err(Error::from)
}

/// Makes true what the transaction did.
pub async fn commit(tx: PgTransaction<'static>) -> Result<()> {
    Ok(tx.commit().await?)
}

/// From the name of a violated constraint to the error the client should see.
pub trait OnConstraint<T> {
    /// When the constraint `name` refused the statement, the error is `error()`.
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T>
    where
        Self: Sized;
}

impl<T> OnConstraint<T> for sqlx::Result<T> {
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T> {
        self.map_err(|refusal| match refusal.as_database_error().and_then(|e| e.constraint()) {
            Some(constraint) if constraint == name => error(),
            _ => refusal.into(),
        })
    }
}

impl<T> OnConstraint<T> for Result<T> {
    fn on_constraint(self, name: &str, error: impl FnOnce() -> Error) -> Result<T> {
        self.map_err(|refusal| match refusal.constraint() {
            Some(constraint) if constraint == name => error(),
            _ => refusal,
        })
    }
}
