//! Object storage by URL: a folder, memory, or anything that speaks S3 (AWS, MinIO, Supabase).

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};
use url::Url;

/// Opens `file:<folder>`, `memory:`, or `s3://bucket/prefix?endpoint=…&region=…&path_style=true&allow_http=true`.
/// Keys come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, never from the URL.
pub fn open(url: &str) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    open_with(url, std::env::vars_os().filter_map(text))
}

/// As [`open`], with this environment instead of the process's.
pub fn open_with(
    url: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> anyhow::Result<Arc<dyn ObjectStore>> {
    if let Some(folder) = url.strip_prefix("file:") {
        let folder = folder.strip_prefix("//").unwrap_or(folder);
        std::fs::create_dir_all(folder).with_context(|| format!("making the folder {folder}"))?;
        // A deleted object's empty folders go too.
        return Ok(Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_automatic_cleanup(true)));
    }
    let url = Url::parse(url).context("the storage's URL")?;
    match url.scheme() {
        "memory" => Ok(Arc::new(InMemory::new())),
        "s3" => s3(&url, environment),
        other => bail!("storage by {other}: is not known; use file:, memory: or s3:"),
    }
}

fn s3(url: &Url, environment: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let bucket = url.host_str().context("s3:// needs a bucket")?;
    let mut builder = AmazonS3Builder::new();
    for (name, value) in environment.into_iter().filter(|(name, _)| name.starts_with("AWS_")) {
        // Others read variables of that kind too.
        if let Ok(setting) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(setting, value);
        }
    }
    builder = builder.with_bucket_name(bucket);
    for (name, value) in url.query_pairs() {
        builder = match &*name {
            "endpoint" => builder.with_endpoint(value),
            "region" => builder.with_region(value),
            "path_style" => builder.with_virtual_hosted_style_request(value != "true"),
            "allow_http" => builder.with_allow_http(value == "true"),
            other => bail!("s3: has no setting `{other}`"),
        };
    }
    // Requests have deadlines; the library's own three minutes of retries would outlive them all.
    let retry = RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() };
    let store = builder.with_retry(retry).build()?;
    let prefix = url.path().trim_matches('/');
    if prefix.is_empty() { Ok(Arc::new(store)) } else { Ok(Arc::new(PrefixStore::new(store, prefix))) }
}
