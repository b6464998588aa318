//! Firestore and the Realtime Database, as far as the bridge knows them, over a real socket. Small, but strict: tokens
//! are verified, preconditions hold, commits are atomic, queries have their indexes, orders and limits.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use kit::Clock;
use serde_json::{Map, Value, json};

const ROOT: &str = "projects/plaza-test/databases/(default)/documents";
const EMAIL: &str = "bridge@plaza-test.iam.gserviceaccount.com";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Status(u16),
    /// No answer at all.
    Hang,
    /// What is asked is done, and the answer does not arrive. Only of writes.
    Cut,
}

/// Both databases and the token endpoint.
#[derive(Clone)]
pub(crate) struct Firebase {
    pub(crate) url: String,
    pub(crate) service_account: String,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    clock: Clock,
    public: (Vec<u8>, Vec<u8>),
    token_uri: String,
    documents: BTreeMap<String, Document>,
    tree: Value,
    writes: i64,
    tokens: u32,
    good: HashSet<String>,
    faults: Vec<Fault>,
    fault: Option<Fault>,
    /// How often each method was asked.
    asked: BTreeMap<String, u32>,
    largest_answer: Option<usize>,
    /// Documents that cannot be written: those with this in their path.
    refused: Option<String>,
}

#[derive(Clone, Debug)]
struct Document {
    fields: Map<String, Value>,
    update_time: String,
}

/// An error as Google tells it.
struct Refusal(u16, &'static str, String);

type Answer = Result<Value, Refusal>;

fn invalid(why: impl Into<String>) -> Refusal {
    Refusal(400, "INVALID_ARGUMENT", why.into())
}

impl Firebase {
    pub(crate) async fn start(clock: Clock) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'static> = pair.as_der().unwrap();
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
        let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let token_uri = format!("{url}/token");
        let service_account = json!({
            "type": "service_account", "project_id": "plaza-test", "private_key_id": "k1", "private_key": pem,
            "client_email": EMAIL, "token_uri": token_uri,
        });
        let inner = Inner {
            clock,
            public: (n, e),
            token_uri,
            documents: BTreeMap::new(),
            tree: json!({}),
            writes: 0,
            tokens: 0,
            good: HashSet::new(),
            faults: Vec::new(),
            fault: None,
            asked: BTreeMap::new(),
            largest_answer: None,
            refused: None,
        };
        let fake = Self { url, service_account: service_account.to_string(), inner: Arc::new(Mutex::new(inner)) };
        let app = Router::new().fallback(serve).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        fake
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap())
    }

    /// From now on, until it is taken back.
    pub(crate) fn fail(&self, fault: impl Into<Option<Fault>>) {
        self.with(|inner| inner.fault = fault.into());
    }

    /// The next write, once.
    pub(crate) fn fail_once(&self, fault: Fault) {
        self.with(|inner| inner.faults.push(fault));
    }

    /// Tokens that were given out are good no more.
    pub(crate) fn withdraw_tokens(&self) {
        self.with(|inner| inner.good.clear());
    }

    pub(crate) fn tokens(&self) -> u32 {
        self.with(|inner| inner.tokens)
    }

    pub(crate) fn asked(&self, method: &str) -> u32 {
        self.with(|inner| inner.asked.get(method).copied().unwrap_or_default())
    }

    /// Writes a document as a client does, past the rules. `{"at": ms}` is a timestamp.
    pub(crate) fn put(&self, path: &str, fields: Value) {
        self.with(|inner| {
            let Value::Object(fields) = typed(&fields)["mapValue"]["fields"].take() else { panic!("an object") };
            let update_time = inner.stamp();
            inner.documents.insert(path.to_owned(), Document { fields, update_time });
        });
    }

    /// Some fields of a document.
    pub(crate) fn set(&self, path: &str, fields: Value) {
        self.with(|inner| {
            let Value::Object(fields) = typed(&fields)["mapValue"]["fields"].take() else { panic!("an object") };
            let update_time = inner.stamp();
            let document = inner.documents.get_mut(path).unwrap();
            document.fields.extend(fields);
            document.update_time = update_time;
        });
    }

    /// A document in plain JSON; timestamps are milliseconds.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.with(|inner| inner.documents.get(path).map(|it| plain(&json!({ "mapValue": { "fields": it.fields } }))))
    }

    /// Documents directly in a collection, by name.
    pub(crate) fn list(&self, collection: &str) -> Vec<(String, Value)> {
        let prefix = format!("{collection}/");
        let paths: Vec<_> = self.with(|inner| inner.documents.keys().cloned().collect());
        let inside = paths.into_iter().filter(|path| path.strip_prefix(&prefix).is_some_and(|id| !id.contains('/')));
        inside.map(|path| (path.clone(), self.get(&path).unwrap())).collect()
    }

    /// A node of the Realtime Database.
    pub(crate) fn node(&self, path: &str) -> Value {
        self.with(|inner| path.split('/').fold(&inner.tree, |node, key| &node[key]).clone())
    }

    pub(crate) fn put_node(&self, path: &str, value: Value) {
        self.with(|inner| *at_path(&mut inner.tree, path) = value);
    }

    pub(crate) fn refuse(&self, part: Option<&str>) {
        self.with(|inner| inner.refused = part.map(str::to_owned));
    }

    pub(crate) fn limit_answers(&self, bytes: usize) {
        self.with(|inner| inner.largest_answer = Some(bytes));
    }
}

async fn serve(State(fake): State<Firebase>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().replace("%28", "(").replace("%29", ")");
    let write = path.ends_with(":commit") || path.ends_with(":batchWrite") || method == Method::PATCH;
    let fault = fake.with(|inner| inner.fault.or_else(|| if write { inner.faults.pop() } else { None }));
    match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status(status)) => return (StatusCode::from_u16(status).unwrap(), "{}").into_response(),
        Some(Fault::Cut) | None => {}
    }
    let answer = fake.with(|inner| inner.answer(&method, &path, uri.query().unwrap_or_default(), &headers, &body));
    match answer {
        Ok(_) if fault == Some(Fault::Cut) => {
            let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
            Body::from_stream(broken).into_response()
        }
        Ok(answer) => axum::Json(answer).into_response(),
        Err(Refusal(code, status, message)) => {
            let error = json!({ "error": { "code": code, "status": status, "message": message } });
            (StatusCode::from_u16(code).unwrap(), axum::Json(error)).into_response()
        }
    }
}

impl Inner {
    fn answer(&mut self, method: &Method, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Answer {
        if path == "/token" {
            return self.token(body);
        }
        let token = headers.get("authorization").and_then(|it| it.to_str().ok()?.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.good.contains(token)) {
            return Err(Refusal(401, "UNAUTHENTICATED", "no good token".into()));
        }
        if let Some(path) = path.strip_prefix("/rtdb/") {
            return self.realtime(method, path.strip_suffix(".json").unwrap(), query, body);
        }
        let below = path.strip_prefix("/v1/").and_then(|path| path.strip_prefix(ROOT)).ok_or_else(|| invalid(path))?;
        let (parent, call) = below.rsplit_once(':').ok_or_else(|| invalid(path))?;
        *self.asked.entry(call.to_owned()).or_default() += 1;
        assert_eq!(method, Method::POST);
        let body: Value = serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))?;
        match call {
            "commit" => self.commit(&body),
            "batchWrite" => self.batch_write(&body),
            "batchGet" => self.batch_get(&body),
            "runQuery" => self.run_query(parent.trim_start_matches('/'), &body["structuredQuery"]),
            _ => Err(invalid(call)),
        }
    }

    fn token(&mut self, body: &[u8]) -> Answer {
        *self.asked.entry("token".into()).or_default() += 1;
        let form = String::from_utf8(body.to_vec()).unwrap();
        let mut fields = form.split('&').filter_map(|pair| pair.split_once('='));
        let mut field = |name: &str| fields.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).unwrap();
        assert_eq!(field("grant_type"), "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
        let assertion = field("assertion");
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&[&self.token_uri]);
        rules.set_issuer(&[EMAIL]);
        rules.validate_exp = false;
        let key = DecodingKey::from_rsa_raw_components(&self.public.0, &self.public.1);
        let signed = decode::<Value>(&assertion, &key, &rules)
            .map_err(|error| Refusal(400, "invalid_grant", error.to_string()))?;
        let (now, claims) = (self.clock.now().timestamp(), signed.claims);
        assert_eq!(signed.header.kid.as_deref(), Some("k1"));
        assert_eq!((claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap()), (now, now + 3600));
        assert!(claims["scope"].as_str().unwrap().contains("auth/datastore"));
        self.tokens += 1;
        let token = format!("token-{}", self.tokens);
        self.good.insert(token.clone());
        Ok(json!({ "access_token": token, "expires_in": 3600, "token_type": "Bearer" }))
    }

    /// Every write has a moment of its own.
    fn stamp(&mut self) -> String {
        self.writes += 1;
        (self.clock.now() + chrono::TimeDelta::microseconds(self.writes)).to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    fn commit(&mut self, body: &Value) -> Answer {
        let before = (self.documents.clone(), self.writes);
        let mut results = Vec::new();
        for write in body["writes"].as_array().unwrap() {
            match self.write(write) {
                Ok(time) => results.push(json!({ "updateTime": time })),
                Err(refusal) => {
                    (self.documents, self.writes) = before;
                    return Err(refusal);
                }
            }
        }
        Ok(json!({ "writeResults": results, "commitTime": self.stamp() }))
    }

    fn batch_write(&mut self, body: &Value) -> Answer {
        let writes = body["writes"].as_array().unwrap();
        let names: HashSet<_> = writes.iter().map(|write| write["update"]["name"].as_str().unwrap()).collect();
        if names.len() < writes.len() || writes.len() > 500 {
            return Err(invalid("a document twice, or more than 500"));
        }
        let status: Vec<_> = writes
            .iter()
            .map(|write| match self.write(write) {
                Ok(_) => json!({}),
                Err(Refusal(_, status, message)) => {
                    let code = match status {
                        "ALREADY_EXISTS" => 6,
                        "NOT_FOUND" => 5,
                        _ => 3,
                    };
                    json!({ "code": code, "message": message })
                }
            })
            .collect();
        Ok(json!({ "writeResults": writes.iter().map(|_| json!({})).collect::<Vec<_>>(), "status": status }))
    }

    fn write(&mut self, write: &Value) -> Result<String, Refusal> {
        let path = below(&write["update"]["name"])?;
        let now = self.clock.now().to_rfc3339_opts(SecondsFormat::Micros, true);
        if self.refused.as_ref().is_some_and(|part| path.contains(part)) {
            return Err(invalid("refused"));
        }
        let there = self.documents.contains_key(&path);
        match write["currentDocument"]["exists"].as_bool() {
            Some(false) if there => return Err(Refusal(409, "ALREADY_EXISTS", path)),
            Some(true) if !there => return Err(Refusal(404, "NOT_FOUND", path)),
            _ => {}
        }
        let given = write["update"]["fields"].as_object().cloned().unwrap_or_default();
        given.values().try_for_each(check)?;
        let mut fields = Value::Object(match write.get("updateMask") {
            None => given,
            Some(mask) => {
                let mut fields = json!(self.documents.get(&path).map(|it| it.fields.clone()).unwrap_or_default());
                for field in mask["fieldPaths"].as_array().unwrap() {
                    let parts: Vec<_> = field.as_str().unwrap().split('.').collect();
                    let pointer = format!("/{}", parts.join("/mapValue/fields/"));
                    let value = json!(given).pointer(&pointer).cloned();
                    *at_path(&mut fields, &pointer[1..]) =
                        value.ok_or_else(|| invalid("deletes are not for the bridge"))?;
                }
                let Value::Object(fields) = fields else { unreachable!() };
                fields
            }
        });
        for transform in write["updateTransforms"].as_array().into_iter().flatten() {
            let field = &mut fields[transform["fieldPath"].as_str().unwrap()];
            *field = match transform.get("increment") {
                Some(by) => {
                    let number =
                        |value: &Value| value["integerValue"].as_str().map_or(0, |it| it.parse::<i64>().unwrap());
                    json!({ "integerValue": (number(field) + number(by)).to_string() })
                }
                None if transform["setToServerValue"] == "REQUEST_TIME" => json!({ "timestampValue": now }),
                None => return Err(invalid("transform")),
            };
        }
        let Value::Object(fields) = fields else { unreachable!() };
        let update_time = self.stamp();
        self.documents.insert(path, Document { fields, update_time: update_time.clone() });
        Ok(update_time)
    }

    fn batch_get(&mut self, body: &Value) -> Answer {
        let mask: Vec<_> =
            body["mask"]["fieldPaths"].as_array().into_iter().flatten().map(|it| it.as_str().unwrap()).collect();
        let answers = body["documents"].as_array().unwrap().iter().map(|name| {
            let path = below(name)?;
            let found = self.documents.get(&path).map(|it| json!({ "found": shown(&path, it, &mask) }));
            Ok(found.unwrap_or_else(|| json!({ "missing": name })))
        });
        answers.collect::<Result<Vec<_>, _>>().map(Value::from)
    }

    fn run_query(&mut self, parent: &str, query: &Value) -> Answer {
        let from = &query["from"][0];
        let collection = from["collectionId"].as_str().unwrap();
        let anywhere = from["allDescendants"] == true;
        let field = |it: &Value| it["field"]["fieldPath"].as_str().unwrap().to_owned();
        let filters: Vec<_> = query["where"]["compositeFilter"]["filters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|filter| &filter["fieldFilter"])
            .collect();
        let order: Vec<_> = query["orderBy"].as_array().into_iter().flatten().map(field).collect();
        if anywhere
            && filters
                .iter()
                .map(|it| field(it))
                .chain(order.first().cloned())
                .any(|it| it != "timestamp" && it != "createdAt")
        {
            return Err(Refusal(400, "FAILED_PRECONDITION", "The query requires an index".into()));
        }
        assert!(order.is_empty() || order.len() == 2 && order[1] == "__name__");
        let key = order.first();
        let mut found: Vec<_> = self
            .documents
            .iter()
            .filter(|(path, document)| {
                let parts: Vec<_> = path.split('/').collect();
                let inside = match anywhere {
                    true => parts.len() >= 2 && parts[parts.len() - 2] == collection,
                    false => {
                        let prefix =
                            if parent.is_empty() { collection.to_owned() } else { format!("{parent}/{collection}") };
                        path.rsplit_once('/').unwrap().0 == prefix
                    }
                };
                inside
                    && key.is_none_or(|key| document.fields.contains_key(key))
                    && filters.iter().all(|filter| {
                        let Some(value) = document.fields.get(&field(filter)) else { return false };
                        match filter["op"].as_str().unwrap() {
                            "EQUAL" => *value == filter["value"],
                            "GREATER_THAN_OR_EQUAL" => {
                                moment(value).is_some_and(|at| at >= moment(&filter["value"]).unwrap())
                            }
                            "LESS_THAN_OR_EQUAL" => {
                                moment(value).is_some_and(|at| at <= moment(&filter["value"]).unwrap())
                            }
                            other => panic!("{other}"),
                        }
                    })
            })
            .collect();
        if let Some(key) = key {
            let place = |path: &str, document: &Document| (moment(&document.fields[key]), path.to_owned());
            found.sort_by_key(|(path, document)| place(path, document));
            if let Some(values) = query["startAt"]["values"].as_array() {
                assert_eq!(query["startAt"]["before"], false);
                let after = (moment(&values[0]), below(&values[1]["referenceValue"])?);
                found.retain(|(path, document)| place(path, document) > after);
            }
        }
        found.truncate(query["limit"].as_u64().unwrap() as usize);
        let mask: Vec<_> =
            query["select"]["fields"].as_array().unwrap().iter().map(|it| it["fieldPath"].as_str().unwrap()).collect();
        let read_time = self.clock.now().to_rfc3339();
        let mut answers: Vec<_> = found
            .into_iter()
            .map(|(path, document)| json!({ "document": shown(path, document, &mask), "readTime": read_time }))
            .collect();
        if answers.is_empty() {
            answers.push(json!({ "readTime": read_time }));
        }
        if self.largest_answer.is_some_and(|most| json!(answers).to_string().len() > most) {
            // As large as no answer may be.
            answers.push(json!({ "padding": "x".repeat(17 << 20) }));
        }
        Ok(answers.into())
    }

    fn realtime(&mut self, method: &Method, path: &str, query: &str, body: &[u8]) -> Answer {
        *self.asked.entry(format!("rtdb {method}")).or_default() += 1;
        if method == Method::PATCH {
            assert_eq!(path, "");
            let Ok(Value::Object(changes)) = serde_json::from_slice(body) else { panic!("an object") };
            for (path, value) in &changes {
                let value = if value[".sv"] == "timestamp" {
                    self.clock.now().timestamp_millis().into()
                } else {
                    value.clone()
                };
                *at_path(&mut self.tree, path) = value;
            }
            return Ok(Value::Object(changes));
        }
        assert_eq!(method, Method::GET);
        let asked = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            found.unwrap().replace("%22", "\"")
        };
        let child = asked("orderBy").trim_matches('"').to_owned();
        let indexed =
            path == "conversations" && child == "updatedAt" || path.starts_with("messages/") && child == "timestamp";
        if !indexed {
            return Err(invalid("Index not defined"));
        }
        let number = |name: &str| asked(name).parse::<i64>().unwrap();
        let node = path.split('/').fold(&self.tree, |node, key| &node[key]);
        let at = |value: &Value| value[&child].as_i64();
        let mut found: Vec<_> = node
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| at(value).is_some_and(|at| (number("startAt")..=number("endAt")).contains(&at)))
            .collect();
        found.sort_by_key(|(key, value)| (at(value), (*key).clone()));
        found.truncate(number("limitToFirst") as usize);
        Ok(found.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>().into())
    }
}

fn below(name: &Value) -> Result<String, Refusal> {
    let path = name.as_str().and_then(|name| name.strip_prefix(ROOT)?.strip_prefix('/'));
    let path = path.filter(|path| path.split('/').count() % 2 == 0 && path.split('/').all(|part| !part.is_empty()));
    path.map(str::to_owned).ok_or_else(|| invalid(format!("no document: {name}")))
}

fn shown(path: &str, document: &Document, mask: &[&str]) -> Value {
    let fields: Map<_, _> = document
        .fields
        .iter()
        .filter(|(name, _)| mask.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    json!({ "name": format!("{ROOT}/{path}"), "fields": fields, "updateTime": document.update_time })
}

/// A place in a tree of objects, made on the way.
fn at_path<'a>(tree: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('/').fold(tree, |node, key| &mut node[key])
}

fn moment(value: &Value) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(value["timestampValue"].as_str()?).unwrap().to_utc())
}

/// Values have exactly one kind, of which they are.
fn check(value: &Value) -> Result<(), Refusal> {
    let object = value.as_object().filter(|object| object.len() == 1).ok_or_else(|| invalid(value.to_string()))?;
    let (kind, it) = object.iter().next().unwrap();
    let good = match kind.as_str() {
        "nullValue" => it.is_null(),
        "booleanValue" => it.is_boolean(),
        "integerValue" => it.as_str().is_some_and(|it| it.parse::<i64>().is_ok()),
        "timestampValue" => moment(value).is_some(),
        "stringValue" => it.is_string(),
        "arrayValue" => return it["values"].as_array().into_iter().flatten().try_for_each(check),
        "mapValue" => return it["fields"].as_object().into_iter().flatten().try_for_each(|(_, it)| check(it)),
        _ => false,
    };
    if good { Ok(()) } else { Err(invalid(value.to_string())) }
}

fn typed(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "nullValue": null }),
        Value::Bool(it) => json!({ "booleanValue": it }),
        Value::Number(it) => json!({ "integerValue": it.to_string() }),
        Value::String(it) => json!({ "stringValue": it }),
        Value::Array(items) => json!({ "arrayValue": { "values": items.iter().map(typed).collect::<Vec<_>>() } }),
        Value::Object(fields) => match fields.get("at").and_then(Value::as_i64) {
            Some(at) if fields.len() == 1 => {
                let at = DateTime::from_timestamp_millis(at).unwrap();
                json!({ "timestampValue": at.to_rfc3339_opts(SecondsFormat::Micros, true) })
            }
            _ => {
                let fields: Map<_, _> = fields.iter().map(|(name, value)| (name.clone(), typed(value))).collect();
                json!({ "mapValue": { "fields": fields } })
            }
        },
    }
}

fn plain(value: &Value) -> Value {
    let (kind, it) = value.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "timestampValue" => moment(value).unwrap().timestamp_millis().into(),
        "integerValue" => it.as_str().unwrap().parse::<i64>().unwrap().into(),
        "arrayValue" => it["values"].as_array().into_iter().flatten().map(plain).collect::<Vec<_>>().into(),
        "mapValue" => {
            let fields = it["fields"].as_object().into_iter().flatten();
            fields.map(|(name, value)| (name.clone(), plain(value))).collect::<Map<_, _>>().into()
        }
        _ => it.clone(),
    }
}
