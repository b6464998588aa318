//! How a dialect's `routes.rs` is written, and what becomes of it: the router and the OpenAPI document, from one line
//! per method and path.
//!
//! ```text
//! pub fn routes() -> Routes<Agrovet> {
//!     Routes::new()
//!         .area("Cuentas")
//!         .get("/api/auth/users/me", auth::me, "The caller's own account")
//!         .alias("/api/auth/me")
//!         .post("/api/auth/login", auth::login, "Opens a session")
//!         .limit(Class::Login)
//! }
//! ```
//!
//! * Paths have no trailing slash; the front strips it, so both forms are served. `{id}` is a segment.
//! * The handler's arguments and answer draw the document: everything that may stand in a signature implements
//!   [`Describe`]. The text is the operation's summary.
//! * `.alias(path)` serves the line above on a second path; `.limit(class)` puts the line above (and its aliases that
//!   follow) into a class of rate limit; `.bodies(bytes)` below an area keeps the bodies of its lines smaller than usual.
//! * Other methods on a known path answer 405 with `Allow`, OPTIONS as the dialect does; nothing to write for that.
//! * [`Routes::list`] gives every method and path, for tests that try something on each.

use std::collections::BTreeMap;
use std::future::Future;

use axum::extract::Request;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any};
use axum::{Extension, Router};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};
use utoipa::ToSchema;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, OpenApiVersion, PathsBuilder, RefOr,
    Required, Response as Answer, ResponseBuilder, ResponsesBuilder, Schema, ServerBuilder,
};

use crate::dialect::{Dialect, Problem};
use crate::front::limited;
use crate::input::MostBytes;
use crate::limit::Class;

/// What a handler's signature says in the document.
#[derive(Clone, Default)]
pub struct Operation {
    pub parameters: Vec<Parameter>,
    pub body: Option<RequestBody>,
    pub answers: BTreeMap<String, Answer>,
    /// Schemas that the above refer to.
    pub schemas: Vec<(String, RefOr<Schema>)>,
    /// `Some(true)`: an access token is needed; `Some(false)`: one is read when there is one.
    pub token: Option<bool>,
}

impl Operation {
    /// An answer without a body, or one whose body the document does not describe.
    pub fn answer(&mut self, status: u16, description: &str) {
        self.answers.insert(status.to_string(), ResponseBuilder::new().description(description).build());
    }

    /// An answer with a JSON body.
    pub fn json<T: ToSchema>(&mut self, status: &str, description: &str) {
        let content = Content::new(Some(self.schema::<T>()));
        let answer = ResponseBuilder::new().description(description).content("application/json", content);
        self.answers.insert(status.to_owned(), answer.build());
    }

    pub fn parameter(&mut self, place: ParameterIn, name: &str, required: bool, schema: impl Into<RefOr<Schema>>) {
        let required = if required { Required::True } else { Required::False };
        let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(required);
        self.parameters.push(parameter.schema(Some(schema)).build());
    }

    /// A reference to `T`, whose schema joins the document's components. Lists and maps stand where they are used.
    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        let schema = T::schema();
        let named = match &schema {
            RefOr::T(Schema::Object(object)) => !object.properties.is_empty(),
            // A struct with another one flattened into it.
            RefOr::T(Schema::AllOf(_)) => true,
            _ => false,
        };
        if !named {
            return schema;
        }
        let name = name_of::<T>();
        self.schemas.push((name.clone(), schema));
        RefOr::Ref(utoipa::openapi::Ref::from_schema_name(name))
    }
}

/// `Paged<User>` → `Paged_User`; utoipa's own name of a generic type leaves the parameter out.
fn name_of<T: ToSchema>() -> String {
    let parameter = std::any::type_name::<T>().split_once('<').map(|(_, rest)| rest.trim_end_matches('>'));
    let parameter = parameter.and_then(|path| path.rsplit("::").next()).filter(|name| !name.starts_with('\''));
    match parameter {
        Some(parameter) => format!("{}_{parameter}", T::name()),
        None => T::name().into_owned(),
    }
}

/// Something in a handler's signature that has a word to say in the document.
pub trait Describe {
    fn describe(operation: &mut Operation);
}

/// A function whose whole signature describes itself.
pub trait Described<Signature> {
    fn describe(operation: &mut Operation);
}

macro_rules! described {
    ($($argument:ident)*) => {
        impl<F, Answering, A, $($argument),*> Described<(Answering, $($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Answering,
            Answering: Future<Output = A>,
            A: Describe,
            $($argument: Describe,)*
        {
            fn describe(operation: &mut Operation) {
                $($argument::describe(operation);)*
                A::describe(operation);
            }
        }
    };
}

described!();
described!(A1);
described!(A1 A2);
described!(A1 A2 A3);
described!(A1 A2 A3 A4);
described!(A1 A2 A3 A4 A5);
described!(A1 A2 A3 A4 A5 A6);

impl<S> Describe for axum::extract::State<S> {
    fn describe(_: &mut Operation) {}
}

impl Describe for http::Method {
    fn describe(_: &mut Operation) {}
}

impl Describe for crate::address::Base {
    fn describe(_: &mut Operation) {}
}

impl Describe for crate::address::Client {
    fn describe(_: &mut Operation) {}
}

impl<T: ToSchema> Describe for axum::Json<T> {
    fn describe(operation: &mut Operation) {
        operation.json::<T>("200", "OK");
    }
}

/// 201 with a JSON body.
pub struct Created<T>(pub T);

impl<T: serde::Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, axum::Json(self.0)).into_response()
    }
}

impl<T: ToSchema> Describe for Created<T> {
    fn describe(operation: &mut Operation) {
        operation.json::<T>("201", "Created");
    }
}

/// 201 for something new, 200 for something that was there.
pub struct NewOr<T> {
    pub new: bool,
    pub body: T,
}

impl<T: serde::Serialize> IntoResponse for NewOr<T> {
    fn into_response(self) -> Response {
        let status = if self.new { StatusCode::CREATED } else { StatusCode::OK };
        (status, axum::Json(self.body)).into_response()
    }
}

impl<T: ToSchema> Describe for NewOr<T> {
    fn describe(operation: &mut Operation) {
        operation.json::<T>("201", "Created");
        operation.json::<T>("200", "Was there already");
    }
}

/// 204.
pub struct NoContent;

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl Describe for NoContent {
    fn describe(operation: &mut Operation) {
        operation.answer(204, "Done; no content");
    }
}

/// An answer that the handler builds itself.
impl Describe for Response {
    fn describe(operation: &mut Operation) {
        operation.answer(200, "OK");
    }
}

impl<T: Describe, E: Describe> Describe for Result<T, E> {
    fn describe(operation: &mut Operation) {
        T::describe(operation);
        E::describe(operation);
    }
}

/// The routes of one dialect.
pub struct Routes<D: Dialect> {
    lines: Vec<Line<D>>,
    area: &'static str,
    bodies: Option<MostBytes>,
}

struct Line<D> {
    method: Method,
    path: &'static str,
    /// The path that this one is an alias of.
    alias_of: Option<&'static str>,
    area: &'static str,
    summary: &'static str,
    limit: Option<Class>,
    bodies: Option<MostBytes>,
    handler: MethodRouter<D>,
    operation: Operation,
}

impl<D: Clone> Clone for Line<D> {
    fn clone(&self) -> Self {
        Self {
            method: self.method.clone(),
            handler: self.handler.clone(),
            operation: self.operation.clone(),
            path: self.path,
            alias_of: self.alias_of,
            area: self.area,
            summary: self.summary,
            limit: self.limit,
            bodies: self.bodies,
        }
    }
}

macro_rules! methods {
    ($($name:ident $method:ident)*) => {$(
        pub fn $name<H, T, S>(self, path: &'static str, handler: H, summary: &'static str) -> Self
        where
            H: Handler<T, D> + Described<S>,
            T: 'static,
        {
            self.line(Method::$method, MethodFilter::$method, path, handler, summary)
        }
    )*};
}

impl<D: Dialect> Routes<D> {
    #[expect(clippy::new_without_default, reason = "a list of routes begins by name")]
    pub fn new() -> Self {
        Self { lines: Vec::new(), area: "", bodies: None }
    }

    /// The heading of the lines that follow, in the document.
    pub fn area(mut self, name: &'static str) -> Self {
        (self.area, self.bodies) = (name, None);
        self
    }

    /// Bytes of a body in this area, without its files, where it may have fewer than elsewhere.
    pub fn bodies(mut self, most: usize) -> Self {
        self.bodies = Some(MostBytes(most));
        self
    }

    methods!(get GET post POST put PUT patch PATCH delete DELETE);

    fn line<H, T, S>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        handler: H,
        summary: &'static str,
    ) -> Self
    where
        H: Handler<T, D> + Described<S>,
        T: 'static,
    {
        let mut operation = Operation::default();
        H::describe(&mut operation);
        let handler = MethodRouter::new().on(filter, handler);
        let (area, bodies, limit) = (self.area, self.bodies, D::LIMIT);
        self.lines.push(Line { method, path, alias_of: None, area, summary, limit, bodies, handler, operation });
        self
    }

    /// Serves the line above on another path too.
    pub fn alias(mut self, path: &'static str) -> Self {
        let line = self.lines.last().expect("an alias stands below a line").clone();
        self.lines.push(Line { alias_of: Some(line.alias_of.unwrap_or(line.path)), path, ..line });
        self
    }

    /// Counts calls of the line above in `class`.
    pub fn limit(mut self, class: Class) -> Self {
        self.lines.last_mut().expect("a limit stands below a line").limit = Some(class);
        self
    }

    /// Every method and path.
    pub fn list(&self) -> impl Iterator<Item = (&Method, &'static str)> {
        self.lines.iter().map(|line| (&line.method, line.path))
    }

    /// The router: handlers, 405 with `Allow`, OPTIONS, 404.
    pub fn into_router(self, dialect: &D) -> Router<D> {
        let mut paths: BTreeMap<&'static str, (Vec<Method>, MethodRouter<D>)> = BTreeMap::new();
        for line in self.lines {
            let (methods, routes) = paths.entry(line.path).or_default();
            methods.push(line.method);
            let handler = match line.bodies {
                Some(most) => line.handler.layer(Extension(most)),
                None => line.handler,
            };
            let handler = match line.limit {
                Some(class) => limited(dialect, class, handler),
                None => handler,
            };
            *routes = std::mem::take(routes).merge(handler);
        }
        let mut router = Router::new();
        for (path, (methods, routes)) in paths {
            let allow = allow::<D>(&methods);
            let refuse = move |request: Request| {
                let answer = match request.method() {
                    &Method::OPTIONS => D::options(allow.clone()),
                    other => D::Error::from(Problem::Method(other.clone())).into_response(),
                };
                let allow = allow.clone();
                async move { ([(ALLOW, allow)], answer) }
            };
            // Axum answers HEAD by GET unless somebody else does, and writes an Allow of its own into what a fallback
            // answers, preflights among it.
            let mut routes = routes.on(MethodFilter::OPTIONS, refuse.clone());
            if !D::HEAD {
                routes = routes.on(MethodFilter::HEAD, refuse.clone());
            }
            router = router.route(path, routes.fallback(refuse));
        }
        // Whoever tries paths is counted like whoever uses them.
        let nothing = any(async || D::Error::from(Problem::NoRoute));
        let nothing = match D::LIMIT {
            Some(class) => limited(dialect, class, nothing),
            None => nothing,
        };
        router.fallback_service(nothing.with_state::<()>(dialect.clone()))
    }

    /// The OpenAPI document.
    pub fn document(&self, title: &str, description: &str, server: &str) -> OpenApi {
        let mut paths = PathsBuilder::new();
        let mut schemas: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
        for line in &self.lines {
            for (name, schema) in &line.operation.schemas {
                let former = schemas.insert(name.clone(), schema.clone());
                let same = former
                    .is_none_or(|former| serde_json::to_string(&former).ok() == serde_json::to_string(schema).ok());
                assert!(same, "two different structs are called {name} in the document; rename one with #[schema(as)]");
            }
            paths = paths.path(line.path, utoipa::openapi::PathItem::new(http_method(&line.method), operation(line)));
        }
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = ComponentsBuilder::new()
            .schemas_from_iter(schemas)
            .security_scheme("token", SecurityScheme::Http(token))
            .build();
        let info = InfoBuilder::new().title(title).version(env!("CARGO_PKG_VERSION")).description(Some(description));
        OpenApiBuilder::new()
            .openapi(OpenApiVersion::Version31)
            .info(info.build())
            .servers(Some([ServerBuilder::new().url(server).build()]))
            .paths(paths.build())
            .components(Some(components))
            .build()
    }
}

fn operation<D>(line: &Line<D>) -> utoipa::openapi::path::Operation {
    let Operation { parameters, body, mut answers, token, .. } = line.operation.clone();
    // Extractors of path parameters do not know their names; the template does.
    let mut names = line.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<_> = parameters
        .into_iter()
        .map(|mut parameter| {
            if parameter.parameter_in == ParameterIn::Path {
                parameter.name = names.next().unwrap_or_default().trim_start_matches('*').to_owned();
            }
            parameter
        })
        .collect();
    if line.limit.is_some() {
        answers.entry("429".to_owned()).or_insert_with(|| ResponseBuilder::new().description("Too many calls").build());
    }
    // Signed-in writes may be repeated safely; see `crate::idempotency`.
    if token == Some(true) && line.method != Method::GET {
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .description(Some("Repeats with the same key and body get the first answer again, for 24 hours"))
            .schema(Some(<String as utoipa::PartialSchema>::schema()));
        parameters.push(parameter.build());
    }
    let id = format!("{}{}", line.method.as_str().to_lowercase(), line.path.replace(['/', '{', '}', '-', '*'], "_"));
    let mut operation = OperationBuilder::new()
        .tag(line.area)
        .operation_id(Some(id))
        .summary(Some(line.summary))
        .description(line.alias_of.map(|path| format!("Alias of `{path}`.")))
        .request_body(body)
        .responses(ResponsesBuilder::new().responses_from_iter(answers).build());
    if !parameters.is_empty() {
        operation = operation.parameters(Some(parameters));
    }
    if let Some(needed) = token {
        operation = operation.security(SecurityRequirement::new::<_, [&str; 0], &str>("token", []));
        if !needed {
            operation = operation.security(SecurityRequirement::default());
        }
    }
    operation.build()
}

fn allow<D: Dialect>(methods: &[Method]) -> HeaderValue {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if D::HEAD && names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    HeaderValue::from_str(&names.join(", ")).expect("names of methods are ASCII")
}

fn http_method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}
