//! Every error in Conectar's words: one body that is the union of what its services ever sent. `detail` is always a
//! text, because the frontend shows it as it is. Tables as in Agrovet's: reasons of the services, reasons about fields,
//! names of fields.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use kit::error::Details;
use serde::Serialize;
use tonic::{Code, Status};
use utoipa::ToSchema;

use crate::conectar::{SERVICES, unprefixed};
use crate::dialect::{Credentials, Place, Problem, size};
use crate::form::{Fault, Wrong};
use crate::limit;
use crate::routes::{Describe, Operation};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// reason → status, `error_code`, text. A reason that is missing here is answered by its gRPC code, see [`by_code`].
const REASONS: &[(&str, u16, &str, &str)] = &[
    ("BAD_CREDENTIALS", 401, HTTP, "Email o contraseña incorrectos"),
    ("ACCOUNT_BANNED", 401, "USER_INACTIVE", BANNED),
    ("SECOND_FACTOR_REQUIRED", 401, "SECOND_FACTOR_REQUIRED", "Se requiere el segundo factor"),
    ("BAD_SECOND_FACTOR", 401, "BAD_SECOND_FACTOR", "Código de segundo factor incorrecto"),
    ("SECOND_FACTOR_ON", 409, HTTP, "El segundo factor ya está activado"),
    ("SECOND_FACTOR_NOT_BEGUN", 409, HTTP, "Primero solicita el secreto del segundo factor"),
    ("TOO_MANY_ATTEMPTS", 429, RATE, "Demasiados intentos fallidos. Intenta de nuevo más tarde."),
    ("TOO_MANY_REQUESTS", 429, RATE, "Demasiadas solicitudes. Intenta de nuevo más tarde."),
    ("ANONYMOUS_LIMIT", 429, RATE, "Demasiadas solicitudes. Intenta de nuevo más tarde."),
    ("OVERLOADED", 503, UNAVAILABLE, "Servicio no disponible temporalmente"),
    ("BUSY", 503, UNAVAILABLE, "Servicio no disponible temporalmente"),
    ("AUTH_AWAY", 503, UNAVAILABLE, "No se pudo conectar con autenticacion"),
    ("NOT_SIGNED_IN", 401, HTTP, NOT_AUTHENTICATED),
    ("BAD_TOKEN", 401, HTTP, BAD_TOKEN),
    ("SESSION_REVOKED", 401, HTTP, BAD_TOKEN),
    ("EMAIL_TAKEN", 400, "DUPLICATE_ENTRY", "El email ya está registrado"),
    ("ROLE_NOT_OPEN", 403, "INVALID_ROLE", "No se puede registrar un administrador"),
    ("WRONG_PASSWORD", 400, HTTP, "La contraseña actual es incorrecta"),
    ("SAME_PASSWORD", 400, HTTP, "La nueva contraseña debe ser diferente a la actual"),
    ("BAD_RESET_CODE", 400, HTTP, BAD_TOKEN),
    ("USER_NOT_FOUND", 404, HTTP, "Usuario no encontrado"),
    ("ACCOUNT_NOT_FOUND", 404, HTTP, "Usuario no encontrado"),
    ("ADMIN_NOT_BANNABLE", 403, HTTP, "No se puede banear a un administrador"),
    ("SELF_NOT_BANNABLE", 403, HTTP, "No puedes banear tu propia cuenta"),
    ("SESSION_NOT_FOUND", 404, HTTP, "Sesión no encontrada"),
    ("MEDIA_NOT_FOUND", 404, HTTP, "Archivo no encontrado"),
    ("MEDIA_TOO_LARGE", 413, HTTP, "El archivo es demasiado grande"),
    ("MEDIA_TYPE_REFUSED", 400, HTTP, "Formato no permitido. Usa: .jpg, .jpeg, .png, .gif, .webp"),
    ("IMAGE_BROKEN", 400, HTTP, "La imagen está dañada o no es una imagen"),
    ("NOT_AN_IMAGE", 400, HTTP, "Formato no permitido. Usa: .jpg, .jpeg, .png, .gif, .webp"),
    ("SIGNATURE_REFUSED", 403, HTTP, "El enlace ha caducado o no es válido"),
    ("UPLOAD_STALLED", 408, "TIMEOUT", "La subida se detuvo. Intenta de nuevo."),
    ("STORAGE_FAILED", 502, UNAVAILABLE, "No se pudo guardar el archivo"),
    ("FIREBASE_NOT_CONFIGURED", 503, UNAVAILABLE, "Firebase no está configurado"),
    ("ROOM_NOT_FOUND", 404, HTTP, "Conversación no encontrada"),
    ("MESSAGE_NOT_FOUND", 404, HTTP, "Mensaje no encontrado"),
    ("NOT_A_MEMBER", 403, HTTP, "No tienes acceso a esta conversación"),
    ("NOT_YOURS", 403, HTTP, "No tienes permiso para realizar esta acción"),
    ("SELF_CHAT", 400, HTTP, "No puedes chatear contigo mismo"),
    ("MESSAGE_DELETED", 409, HTTP, "El mensaje fue eliminado"),
    ("BLOCKED", 403, "CHAT_BLOCKED", "No puedes escribir a este usuario"),
    ("CHAT_BANNED", 403, "CHAT_BANNED", "Tu acceso al chat está restringido"),
    ("RATE_LIMITED", 429, RATE, "Demasiados mensajes. Espera unos segundos."),
    ("CONFLICT", 409, "INTEGRITY_ERROR", "Conflicto con otra operación. Intenta de nuevo."),
    ("OVERTAKEN", 409, "INTEGRITY_ERROR", "Conflicto con otra operación. Intenta de nuevo."),
];

/// reason of a field → pydantic's type, text. Field rules (`string.max_len`) are not here: they become a [`Wrong`].
const FIELDS: &[(&str, &str, &str)] = &[
    ("PASSWORD_TOO_WEAK", "value_error", "no es segura: usa entre 8 y 128 caracteres que no sean tu email ni comunes"),
    ("PHONE_TAKEN", "value_error", "ya está registrado"),
    ("PHONE_INVALID", "value_error", "no es un teléfono válido"),
    ("EMAIL_INVALID", "value_error", BAD_EMAIL),
    ("FILE_REQUIRED", "missing", "es obligatorio"),
];

/// The contract's name of a field → the name on the wire; the last part of the path decides.
const NAMES: &[(&str, &str)] = &[
    ("first_name", "nombre"),
    ("last_name", "apellido"),
    ("contact_phone", "telefono"),
    ("address", "direccion"),
    ("roles", "rol"),
    ("role", "rol"),
    ("data", "file"),
    ("query", "q"),
    ("subject", "trabajo_id"),
];

const HTTP: &str = "HTTP_ERROR";
const RATE: &str = "RATE_LIMIT_EXCEEDED";
const UNAVAILABLE: &str = "SERVICE_UNAVAILABLE";
const VALIDATION: &str = "VALIDATION_ERROR";
const NOT_AUTHENTICATED: &str = "Not authenticated";
pub const BAD_TOKEN: &str = "Token inválido o expirado";
pub const BAD_EMAIL: &str = "no es un email válido";
const BANNED: &str = "Tu cuenta ha sido desactivada. Contacta al administrador.";
const INTERNAL: &str = "Error interno del servidor";

/// An error on its way to the client.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    error_code: &'static str,
    text: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
    /// The limit that was exceeded and when its next window begins, Unix seconds.
    limit: Option<(u32, u64)>,
    /// The service's reason, so that an endpoint may have its own words for it.
    reason: String,
    code: Option<Code>,
}

/// The body of every error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
struct Body<'a> {
    /// For people; the same as `message`, except that validation names the first field here.
    detail: &'a str,
    error: bool,
    status_code: u16,
    message: &'a str,
    error_code: &'a str,
    path: String,
    request_id: &'a str,
    /// Only with status 422.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    /// Only with status 429 and 503: seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

/// A field that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// `body.password`.
    field: String,
    loc: Vec<String>,
    message: String,
    msg: String,
    /// As pydantic calls it: `missing`, `string_too_short`.
    r#type: &'static str,
}

impl Error {
    pub fn new(status: u16, error_code: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self(Box::new(Inner {
            status,
            error_code,
            text: text.into(),
            errors: Vec::new(),
            retry_after: None,
            limit: None,
            reason: String::new(),
            code: None,
        }))
    }

    /// An error like most: `error_code` is `HTTP_ERROR`.
    pub fn detail(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, HTTP, text)
    }

    /// 422 on one field of the body; the text continues its name: "debe ser …".
    pub fn field(name: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Problem::Fields {
            place: Place::Body,
            faults: vec![Fault { field: name.into(), wrong: Wrong::Said(text.into()) }],
        }
        .into()
    }

    /// Who was banned is told so at every door, as at the login.
    pub fn banned() -> Self {
        Self::new(401, "USER_INACTIVE", BANNED)
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    fn validation(place: Place, fields: impl Iterator<Item = (String, &'static str, Cow<'static, str>)>) -> Self {
        let place = match place {
            Place::Body => "body",
            Place::Query => "query",
            Place::Header => "header",
        };
        let errors: Vec<_> = fields
            .map(|(field, kind, text)| {
                let loc: Vec<_> =
                    std::iter::once(place.to_owned()).chain((!field.is_empty()).then_some(field)).collect();
                FieldError {
                    field: loc.join("."),
                    loc,
                    message: text.to_string(),
                    msg: text.into_owned(),
                    r#type: kind,
                }
            })
            .collect();
        let mut error = Self::new(422, VALIDATION, "Error de validación");
        error.0.errors = errors;
        error
    }

    /// What a service says of a field it says of the body; a handler that took it from elsewhere knows better.
    pub fn placed(mut self, place: &str) -> Self {
        for field in &mut self.0.errors {
            place.clone_into(&mut field.loc[0]);
            field.field = field.loc.join(".");
        }
        self
    }

    fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.0.retry_after = seconds;
        self
    }
}

/// Words of the endpoint's own for what a service answered: `.await.on("USER_NOT_FOUND", 404, "…")?`.
pub trait On<T> {
    /// `reason` becomes `status` and `text`.
    fn on(self, reason: &str, status: u16, text: &'static str) -> Result<T>;
    /// Every PERMISSION_DENIED becomes 403 and `text`.
    fn denied(self, text: &'static str) -> Result<T>;
}

impl<T, E: Into<Error>> On<T> for std::result::Result<T, E> {
    fn on(self, reason: &str, status: u16, text: &'static str) -> Result<T> {
        self.map_err(|error| {
            let error = error.into();
            if error.0.reason == reason { Error::detail(status, text) } else { error }
        })
    }

    fn denied(self, text: &'static str) -> Result<T> {
        self.map_err(|error| {
            let error = error.into();
            if error.0.code == Some(Code::PermissionDenied) { Error::detail(403, text) } else { error }
        })
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = Details::of(&status);
        let row = REASONS.iter().find(|(reason, ..)| *reason == details.reason);
        let mut error = match row {
            Some((_, status, error_code, text)) => Self::new(*status, error_code, *text),
            None if !details.fields.is_empty() => Self::validation(
                Place::Body,
                details.fields.iter().map(|violation| {
                    let (kind, text) = match FIELDS.iter().find(|(reason, ..)| *reason == violation.reason) {
                        Some((_, kind, text)) => (*kind, Cow::Borrowed(*text)),
                        None => Wrong::of_rule(&violation.reason, &violation.message)
                            .map_or(("value_error", "no es válido".into()), |wrong| words(&wrong)),
                    };
                    (wire_name(&violation.field).to_owned(), kind, text)
                }),
            ),
            None => by_code(status.code(), peer_named_in(status.message())),
        };
        error.0.retry_after = details.retry_after.map(|after| after.as_secs().max(1));
        error.0.reason = details.reason;
        error.0.code = Some(status.code());
        error
    }
}

impl From<kit::Error> for Error {
    fn from(error: kit::Error) -> Self {
        Status::from(error).into()
    }
}

/// A service that does not answer cannot name itself, so our client does, as the first word: "users does not answer".
fn peer_named_in(message: &str) -> Option<&'static str> {
    let first = message.split(' ').next()?;
    SERVICES.iter().find(|(ours, _)| *ours == first).map(|(_, theirs)| *theirs)
}

fn by_code(code: Code, peer: Option<&str>) -> Error {
    match (code, peer) {
        (Code::Unavailable, Some(name)) => {
            return Error::new(503, UNAVAILABLE, format!("No se pudo conectar con {name}"));
        }
        (Code::DeadlineExceeded, Some(name)) => {
            return Error::new(504, "TIMEOUT", format!("Timeout al conectar con {name}"));
        }
        _ => {}
    }
    match code {
        Code::InvalidArgument | Code::OutOfRange => Error::detail(400, "Solicitud inválida"),
        Code::Unauthenticated => Error::detail(401, BAD_TOKEN),
        Code::PermissionDenied => Error::detail(403, "No tienes permiso para realizar esta acción"),
        Code::NotFound => Error::detail(404, "No encontrado"),
        Code::AlreadyExists => Error::new(409, "DUPLICATE_ENTRY", "El registro ya existe en la base de datos"),
        Code::FailedPrecondition | Code::Aborted => {
            Error::new(409, "INTEGRITY_ERROR", "La operación no es posible en el estado actual")
        }
        Code::ResourceExhausted => Error::new(429, RATE, "Demasiadas solicitudes. Intenta de nuevo más tarde."),
        Code::Unavailable => Error::new(503, UNAVAILABLE, "Servicio no disponible temporalmente"),
        Code::DeadlineExceeded | Code::Cancelled => Error::new(504, "TIMEOUT", "El servidor no respondió a tiempo"),
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
            Error::new(500, "INTERNAL_SERVER_ERROR", INTERNAL)
        }
    }
}

/// `profile.first_name` → `nombre`.
fn wire_name(path: &str) -> &str {
    let last = path.rsplit('.').next().unwrap_or(path);
    let last = last.split('[').next().unwrap_or(last);
    NAMES.iter().find(|(ours, _)| *ours == last).map_or(last, |(_, theirs)| theirs)
}

/// What is wrong with a field: pydantic's type, and a text that continues the field's name.
fn words(wrong: &Wrong) -> (&'static str, Cow<'static, str>) {
    match wrong {
        Wrong::Required | Wrong::NoFile => ("missing", "es obligatorio".into()),
        Wrong::Null => ("value_error", "no puede ser nulo".into()),
        Wrong::Blank => ("string_too_short", "no puede estar vacío".into()),
        Wrong::NotText => ("string_type", "debe ser un texto".into()),
        Wrong::NulCharacter => ("value_error", "no puede contener caracteres nulos".into()),
        Wrong::TooShort(n) => ("string_too_short", format!("debe tener al menos {n} caracteres").into()),
        Wrong::TooLong(n) => ("string_too_long", format!("debe tener como máximo {n} caracteres").into()),
        Wrong::NotInteger => ("int_parsing", "debe ser un número entero".into()),
        Wrong::NotNumber => ("float_parsing", "debe ser un número".into()),
        Wrong::NotBoolean => ("bool_parsing", "debe ser verdadero o falso".into()),
        Wrong::NotAKey(_) => ("int_parsing", "debe ser un número entero".into()),
        Wrong::NotUuid => ("uuid_parsing", "debe ser un UUID válido".into()),
        Wrong::AtLeast(n) => ("greater_than_equal", format!("debe ser mayor o igual a {n}").into()),
        Wrong::AtMost(n) => ("less_than_equal", format!("debe ser menor o igual a {n}").into()),
        Wrong::TotalDigits(n) => ("decimal_max_digits", format!("debe tener como máximo {n} dígitos").into()),
        Wrong::WholeDigits(n) => ("decimal_whole_digits", format!("debe tener como máximo {n} dígitos enteros").into()),
        Wrong::DecimalPlaces(n) => ("decimal_max_places", format!("debe tener como máximo {n} decimales").into()),
        Wrong::NotAChoice { choices, .. } if choices.is_empty() => ("enum", "no es un valor permitido".into()),
        Wrong::NotAChoice { choices, .. } => ("enum", format!("debe ser uno de: {}", choices.join(", ")).into()),
        Wrong::NotAList(_) => ("list_type", "debe ser una lista".into()),
        Wrong::NotAnObject(_) => ("model_attributes_type", "debe ser un objeto".into()),
        Wrong::TooMany(n) => ("too_long", format!("debe tener como máximo {n} elementos").into()),
        Wrong::Items(items) => items.first().map_or(("value_error", "no es válido".into()), |(_, wrong)| words(wrong)),
        Wrong::NotAFile => ("value_error", "debe ser un archivo".into()),
        Wrong::EmptyFile => ("value_error", "es un archivo vacío".into()),
        Wrong::Said(text) => ("value_error", text.clone()),
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let one = |field: &str, kind, text: Cow<'static, str>| {
            Self::validation(Place::Body, std::iter::once((field.to_owned(), kind, text)))
        };
        match problem {
            Problem::Fields { place, faults } => Self::validation(
                place,
                faults.into_iter().map(|fault| {
                    let (kind, text) = words(&fault.wrong);
                    (fault.field.into_owned(), kind, text)
                }),
            ),
            Problem::NotAnObject(kind) => {
                let (kind, text) = words(&Wrong::NotAnObject(kind));
                one("", kind, text)
            }
            Problem::BrokenJson(why) => one("", "json_invalid", format!("no se puede leer: {why}").into()),
            Problem::BrokenForm(why) => one("", "value_error", format!("no se puede leer: {why}").into()),
            Problem::PathId { name } => one(&name, "uuid_parsing", "debe ser un UUID válido".into()).placed("path"),
            Problem::Status(status) => (*status).into(),
            Problem::Credentials(Credentials::Missing | Credentials::Empty) => Self::detail(401, NOT_AUTHENTICATED),
            Problem::Credentials(Credentials::Banned) => Self::banned(),
            Problem::Credentials(
                Credentials::Bad | Credentials::Revoked | Credentials::Deleted | Credentials::Spaces,
            ) => Self::detail(401, BAD_TOKEN),
            Problem::Credentials(Credentials::Unknown) => {
                Self::new(503, UNAVAILABLE, "No se pudo conectar con autenticacion")
            }
            Problem::NoRoute => {
                let asked = crate::front::asked_path();
                let (version, path) = unprefixed(&asked);
                Self::new(404, "NOT_FOUND", format!("No se encontró un servicio para la ruta: {path} (API {version})"))
            }
            Problem::Version(version) => Self::new(
                400,
                "UNSUPPORTED_VERSION",
                format!("Versión de API no soportada: {version}. Versiones disponibles: v1, v2"),
            ),
            Problem::Method(_) => Self::new(405, "METHOD_NOT_ALLOWED", "Method Not Allowed"),
            Problem::NotAcceptable => Self::new(406, "NOT_ACCEPTABLE", "Solo se responde application/json"),
            Problem::MediaType(kind) => {
                Self::new(415, "UNSUPPORTED_MEDIA_TYPE", format!("Tipo de contenido no soportado: {kind}"))
            }
            Problem::TooLarge { limit } => Self::new(
                413,
                "PAYLOAD_TOO_LARGE",
                format!("La solicitud es demasiado grande. El límite es de {}", size(limit)),
            ),
            Problem::Limited { limit, period, retry_after, reset } => {
                let text = format!("Has excedido el límite de {limit} requests por {}", period_words(period.as_secs()));
                let mut error = Self::new(429, RATE, text).retry_after(Some(retry_after));
                error.0.limit = Some((limit, reset));
                error
            }
            Problem::KeyBroken => Self::new(400, "IDEMPOTENCY_KEY_INVALID", "La cabecera Idempotency-Key no es válida"),
            Problem::KeyBusy => Self::new(
                409,
                "IDEMPOTENCY_KEY_IN_PROGRESS",
                "Una solicitud con la misma Idempotency-Key está en curso",
            ),
            Problem::KeyReused => {
                Self::new(409, "IDEMPOTENCY_KEY_REUSED", "La Idempotency-Key ya se usó con otro contenido")
            }
            Problem::Overloaded => {
                Self::new(503, UNAVAILABLE, "Servicio no disponible temporalmente").retry_after(Some(1))
            }
            Problem::Stalled => Self::new(408, "TIMEOUT", "La solicitud no terminó de llegar"),
            Problem::Timeout => Self::new(504, "TIMEOUT", "El servidor no respondió a tiempo"),
            Problem::Panic => Self::new(500, "INTERNAL_SERVER_ERROR", INTERNAL),
        }
    }
}

fn period_words(seconds: u64) -> String {
    match seconds {
        1 => "segundo".to_owned(),
        60 => "minuto".to_owned(),
        3600 => "hora".to_owned(),
        n if n % 3600 == 0 => format!("{} horas", n / 3600),
        n if n % 60 == 0 => format!("{} minutos", n / 60),
        n => format!("{n} segundos"),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let inner = &*self.0;
        let detail = match inner.errors.first() {
            // `Error de validación: password debe tener al menos 8 caracteres`
            Some(first) if first.loc.len() > 1 => {
                Cow::Owned(format!("{}: {} {}", inner.text, first.loc[first.loc.len() - 1], first.msg))
            }
            Some(first) => Cow::Owned(format!("{}: el cuerpo {}", inner.text, first.msg)),
            None => Cow::Borrowed(&*inner.text),
        };
        let body = Body {
            detail: &detail,
            error: true,
            status_code: inner.status.as_u16(),
            message: &inner.text,
            error_code: inner.error_code,
            path: crate::front::asked_path(),
            request_id: &kit::context::current().request_id,
            errors: &inner.errors,
            retry_after: inner.retry_after,
        };
        let mut response = (inner.status, Json(body)).into_response();
        if inner.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = inner.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if let Some((limit, reset)) = inner.limit {
            limit::write(response.headers_mut(), limit, 0, reset);
        }
        response
    }
}

impl Describe for Error {
    fn describe(operation: &mut Operation) {
        operation.json::<Body<'static>>("default", "What went wrong; 422 lists the fields");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kit::error::{denied, invalid_because, unavailable};
    use serde_json::{Value, json};

    use super::*;

    async fn body(error: impl Into<Error>) -> (u16, Value) {
        let response = error.into().into_response();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn validation_names_the_field_in_a_readable_detail() {
        let faults = vec![Fault { field: "password".into(), wrong: Wrong::TooShort(8) }];
        let (status, body) = body(Problem::Fields { place: Place::Body, faults }).await;
        assert_eq!(status, 422);
        assert_eq!(body["detail"], "Error de validación: password debe tener al menos 8 caracteres");
        assert_eq!(
            body["errors"],
            json!([{
                "field": "body.password",
                "loc": ["body", "password"],
                "message": "debe tener al menos 8 caracteres",
                "msg": "debe tener al menos 8 caracteres",
                "type": "string_too_short",
            }])
        );
    }

    #[tokio::test]
    async fn reasons_win_over_fields_and_codes() {
        assert_eq!(body(invalid_because("email", "EMAIL_TAKEN", "")).await.1["detail"], "El email ya está registrado");
        let refused: Result<(), kit::Error> = Err(denied("ROLE_MISSING", ""));
        let (status, body) = body(refused.denied("Solo los administradores").unwrap_err()).await;
        assert_eq!((status, &body["message"]), (403, &json!("Solo los administradores")));
    }

    #[tokio::test]
    async fn a_service_that_is_away_is_named_as_the_frontend_knows_it() {
        let away = unavailable("PEER_AWAY", "users does not answer");
        assert_eq!(body(away).await.1["detail"], "No se pudo conectar con usuarios");
        let late = Status::deadline_exceeded("auth did not answer in time");
        let (status, late) = body(late).await;
        assert_eq!((status, &late["detail"]), (504, &json!("Timeout al conectar con autenticacion")));
        assert_eq!(body(Status::unavailable("nobody")).await.1["detail"], "Servicio no disponible temporalmente");
    }

    #[tokio::test]
    async fn a_limit_says_how_long_to_wait() {
        let limited =
            Problem::Limited { limit: 100, period: Duration::from_secs(60), retry_after: 12, reset: 1_800_000_000 };
        let (status, body) = body(limited).await;
        assert_eq!((status, &body["retry_after"]), (429, &json!(12)));
        assert_eq!(body["detail"], "Has excedido el límite de 100 requests por minuto");
    }
}
