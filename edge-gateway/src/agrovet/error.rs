//! Every error in Agrovet's words. Three tables: reasons of the services, reasons about fields, and names of fields;
//! and two functions without a catch-all: what can be wrong with a field, and what can go wrong around a handler.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use kit::error::{Details, FieldViolation};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};

use crate::dialect::{Credentials, Place, Problem, size};
use crate::form::{Fault, Wrong};
use crate::routes::{Describe, Operation};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// reason → status, key of the body, text. A reason that is missing here is answered by its gRPC code, see [`by_code`].
const REASONS: &[(&str, u16, &str, &str)] = &[
    ("BAD_CREDENTIALS", 401, "error", "Credenciales inválidas"),
    // A banned account must look like a wrong password here: that is what the frontend knows.
    ("ACCOUNT_BANNED", 401, "error", "Credenciales inválidas"),
    ("SECOND_FACTOR_REQUIRED", 401, "error", "Se requiere el segundo factor"),
    ("BAD_SECOND_FACTOR", 401, "error", "Credenciales inválidas"),
    ("TOO_MANY_ATTEMPTS", 429, "detail", THROTTLED),
    ("TOO_MANY_REQUESTS", 429, "detail", THROTTLED),
    ("ANONYMOUS_LIMIT", 429, "detail", THROTTLED),
    ("OVERLOADED", 503, "detail", UNAVAILABLE),
    ("NOT_SIGNED_IN", 401, "detail", NO_CREDENTIALS),
    ("BAD_TOKEN", 401, "detail", BAD_TOKEN),
    ("SESSION_REVOKED", 401, "detail", BAD_TOKEN),
    ("BAD_RESET_CODE", 400, "detail", "Código inválido o expirado."),
    ("USER_NOT_FOUND", 404, "detail", "No User matches the given query."),
    ("ACCOUNT_NOT_FOUND", 404, "detail", "No User matches the given query."),
    ("MEDIA_NOT_FOUND", 404, "detail", "No Media matches the given query."),
    ("POST_NOT_FOUND", 404, "detail", "No Post matches the given query."),
    ("COMMENT_NOT_FOUND", 404, "detail", "No Comment matches the given query."),
    ("REACTION_NOT_FOUND", 404, "detail", "No Reaction matches the given query."),
    ("NOTIFICATION_NOT_FOUND", 404, "detail", "No Notification matches the given query."),
    ("COMMUNITY_NOT_FOUND", 404, "detail", "No Community matches the given query."),
    ("MEMBER_NOT_FOUND", 404, "detail", "No Member matches the given query."),
    ("TARGET_NOT_FOUND", 404, "detail", "Objeto no encontrado"),
    ("COMMUNITY_BANNED", 403, "detail", "La moderación de esta comunidad le ha prohibido participar."),
    ("LOCKED", 409, "detail", "El post está bloqueado."),
    ("COMMENT_REMOVED", 409, "detail", "El comentario fue eliminado."),
    ("PINS_FULL", 409, "detail", "La comunidad ya tiene dos posts fijados."),
    ("OWNER_REQUIRED", 409, "detail", "La comunidad necesita un propietario. Nombre primero a otra persona."),
    ("TOO_MANY_COMMUNITIES", 409, "detail", "No puede pertenecer a más comunidades."),
    ("NO_COMMUNITY", 409, "detail", "El post no pertenece a ninguna comunidad."),
    ("RATE_LIMITED", 429, "detail", THROTTLED),
    ("MEDIA_TOO_LARGE", 413, "detail", "El archivo es demasiado grande."),
    ("AD_NOT_FOUND", 404, "detail", "No Add matches the given query."),
    ("AD_NOT_AVAILABLE", 409, "detail", "El anuncio no está disponible."),
    ("AD_STATE_REFUSED", 409, "detail", "El anuncio no puede pasar a ese estado."),
    ("AD_ORDERED", 409, "detail", "El anuncio tiene un pedido en curso."),
    ("OWN_AD", 400, "detail", "No puedes comprar tu propio anuncio."),
    ("CATEGORY_NOT_FOUND", 404, "detail", "No Category matches the given query."),
    ("CATEGORY_IN_USE", 409, "detail", "La categoría tiene anuncios."),
    ("FOLLOW_NOT_FOUND", 404, "detail", "No Follow matches the given query."),
    ("FOLLOWS_SELF", 400, "detail", "No puedes seguirte a ti mismo."),
    ("FOLLOWS_ALREADY", 400, "detail", "Ya sigues a este usuario."),
    ("ORDER_NOT_FOUND", 404, "detail", "No Order matches the given query."),
    ("ORDER_STATE_REFUSED", 409, "detail", "El pedido no está en un estado que lo permita."),
    ("REQUEST_ID_REUSED", 400, "detail", KEY_REUSED),
    (
        "ANSWER_TOO_LARGE",
        409,
        "detail",
        "Lo que se pidió con esta Idempotency-Key ya se hizo. Su respuesta era demasiado grande para repetirla.",
    ),
    ("STORAGE_FAILED", 502, "detail", "No se pudo guardar el archivo."),
    ("ROLE_NOT_OPEN", 403, "detail", FORBIDDEN),
    (
        "PROFILE_EXISTS",
        400,
        "detail",
        "Este usuario ya tiene un perfil de este tipo. Utilice PUT o PATCH para actualizarlo.",
    ),
    (
        "OTHER_PROFILE_EXISTS",
        400,
        "detail",
        "El usuario ya tiene otro tipo de perfil. Sólo se permite un rol por usuario.",
    ),
    ("SELF_NOT_RATEABLE", 403, "detail", "Nadie puede calificarse a sí mismo."),
    ("SELF_NOT_REVIEWABLE", 403, "detail", "Nadie puede revisar sus propios documentos."),
    ("NO_DOCUMENTS", 409, "detail", "No hay documentos para revisar."),
    ("FILE_FIXED", 409, "detail", "Un documento de verificación no se reemplaza: suba otro archivo."),
    ("SUBMISSION_CHANGED", 409, "detail", "Los documentos cambiaron. Revíselos de nuevo."),
    ("ROOM_NOT_FOUND", 404, "detail", "No ChatRoom matches the given query."),
    ("MESSAGE_NOT_FOUND", 404, "detail", "No ChatMessage matches the given query."),
    ("NOT_A_MEMBER", 403, "detail", "No eres participante de esta sala."),
    ("NOT_A_PAIR", 400, "detail", "Se requieren exactamente 2 participantes."),
    ("SELF_CHAT", 400, "detail", "Un usuario no puede chatear consigo mismo."),
    ("PAIR_IS_FIXED", 400, "detail", "Los participantes de una sala privada no se pueden cambiar."),
    ("TOO_MANY_MEMBERS", 400, "detail", "La sala no admite más participantes."),
    ("TOO_MANY_BLOCKS", 409, "detail", "No puedes bloquear a más usuarios."),
    ("LAST_ADMINISTRATOR", 409, "detail", "La sala necesita un administrador."),
    ("MESSAGE_DELETED", 409, "detail", "El mensaje fue eliminado."),
    ("BLOCKED", 403, "detail", "No puedes escribir a este usuario."),
    ("CHAT_BANNED", 403, "detail", "Tienes el chat restringido."),
    ("CONFLICT", 409, "detail", "Conflicto con otra operación. Intente de nuevo."),
];

/// reason of a field → text. Field rules (`string.max_len`) are not here: they become a [`Wrong`].
const FIELDS: &[(&str, &str)] = &[
    ("PHONE_TAKEN", "Ya existe Usuario con este phone number."),
    ("EMAIL_TAKEN", "Ya existe Usuario con este email."),
    ("PHONE_INVALID", "Ingrese un número válido"),
    ("EMAIL_INVALID", "Introduzca una dirección de correo electrónico válida."),
    (
        "PASSWORD_TOO_WEAK",
        "La contraseña debe tener al menos 8 caracteres, con una mayúscula, una minúscula y un número.",
    ),
    ("WRONG_PASSWORD", "La contraseña actual es incorrecta."),
    ("SAME_PASSWORD", "La nueva contraseña debe ser diferente a la actual."),
    ("MEDIA_TYPE_REFUSED", "Tipo de archivo no permitido."),
    ("FILE_REQUIRED", "No se envió ningún archivo."),
    ("PARENT_ELSEWHERE", "El comentario al que responde pertenece a otro post."),
    ("IMAGE_BROKEN", NOT_AN_IMAGE),
    ("NOT_AN_IMAGE", NOT_AN_IMAGE),
    ("MEDIA_UNKNOWN", "Media no encontrada."),
    ("CATEGORY_NAME_TAKEN", "Ya existe category con este name."),
    ("REQUIRED", "Este campo es requerido."),
    ("MEDIA_PRIVATE", "Este archivo es privado: los demás no podrían verlo."),
    ("NOT_PRIVATE", "El documento debe subirse a la carpeta verification."),
    ("GALLERY_FULL", "Se alcanzó el máximo de archivos."),
];

/// The contract's name of a field → the name on the wire; the last part of the path decides.
const NAMES: &[(&str, &str)] = &[
    ("phone", "phone_number"),
    ("first_name", "full_name"),
    ("agrovet_role", "role"),
    ("price_hundredths", "price"),
    ("data", "image"),
    ("avatar_media_id", "profile_picture"),
    ("media_id", "profile_picture"),
    ("category_id", "category"),
    ("following_number", "following_id"),
    ("speciality", "specialist_profile_profession"),
    ("work_image_ids", "work_images_ids"),
    ("product_ids", "products_and_services_ids"),
    ("title_id", "verification_title_id"),
    ("student_card_id", "verification_student_card_id"),
    ("graduation_letter_id", "verification_graduation_letter_id"),
    ("media_ids", "images"),
    ("text", "content"),
    ("users", "participants_ids"),
    ("muted_until", "until"),
    ("waveform", "media_spectrum"),
];

const KEY_REUSED: &str = "La Idempotency-Key ya se usó con otro contenido.";
pub const NO_CREDENTIALS: &str = "Las credenciales de autenticación no se proveyeron.";
pub const BAD_TOKEN: &str = "Token inválido.";
const FORBIDDEN: &str = "Usted no tiene permiso para realizar esta acción.";
const NOT_FOUND: &str = "No encontrado.";
const THROTTLED: &str = "Solicitud fue regulada (throttled).";
pub const UNAVAILABLE: &str = "Servicio no disponible temporalmente. Intente de nuevo más tarde.";
const INTERNAL: &str = "Se ha producido un error en el servidor.";
const NOT_AN_IMAGE: &str = "Adjunte una imagen válida. El archivo adjunto o bien no es una imagen o bien está dañado.";

/// An error on its way to the client.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    body: Value,
    /// The service's reason, so that an endpoint may have its own words for it.
    reason: String,
    code: Option<Code>,
    challenge: bool,
    retry_after: Option<u64>,
}

impl Error {
    /// A body of the handler's own.
    pub fn new(status: u16, body: Value) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self(Box::new(Inner { status, body, reason: String::new(), code: None, challenge: false, retry_after: None }))
    }

    /// `{"detail": text}`.
    pub fn detail(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, json!({"detail": text.into()}))
    }

    /// 400 with one field's text.
    pub fn field(name: &str, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, json!({name: [text.into()]}))
    }

    /// Adds a key to the body.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.body[key] = value.into();
        self
    }

    /// Gives a field of the body another name, where an endpoint calls it differently.
    pub fn rename(mut self, from: &str, to: &str) -> Self {
        if let Some(value) = self.0.body.as_object_mut().and_then(|body| body.remove(from)) {
            self.0.body[to] = value;
        }
        self
    }

    /// 400 of a file that is no image.
    pub fn not_an_image(field: &str) -> Self {
        Self::field(field, NOT_AN_IMAGE)
    }

    /// The first text about a field.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0.body.get(field)?.get(0)?.as_str()
    }

    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Tells that signing in would help.
    pub fn challenge(mut self) -> Self {
        self.0.challenge = true;
        self
    }
}

/// Words of the endpoint's own for what a service answered: `.await.on("USER_NOT_FOUND", 404, "…")?`.
pub trait On<T> {
    /// `reason` becomes `status` and `{"detail": text}`.
    fn on(self, reason: &str, status: u16, text: &'static str) -> Result<T>;
    /// Every PERMISSION_DENIED becomes 403 and `{"detail": text}`.
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
            Some((_, status, key, text)) => Self::new(*status, json!({*key: text})),
            None if !details.fields.is_empty() => Self::fields(&details.fields),
            None => by_code(status.code()),
        };
        // A failed login is not a missing token; browsers would ask for one.
        error.0.challenge = error.0.status == StatusCode::UNAUTHORIZED && error.0.body.get("error").is_none();
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

fn by_code(code: Code) -> Error {
    let (status, text) = match code {
        Code::InvalidArgument | Code::OutOfRange => (400, "Solicitud inválida."),
        Code::Unauthenticated => (401, BAD_TOKEN),
        Code::PermissionDenied => (403, FORBIDDEN),
        Code::NotFound => (404, NOT_FOUND),
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => {
            (409, "La operación no es posible en el estado actual.")
        }
        Code::ResourceExhausted => (429, THROTTLED),
        Code::Unavailable => (503, UNAVAILABLE),
        Code::DeadlineExceeded | Code::Cancelled => (504, "El servidor no respondió a tiempo."),
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => (500, INTERNAL),
    };
    Error::detail(status, text)
}

impl Error {
    fn fields(violations: &[FieldViolation]) -> Self {
        let mut body = Map::new();
        for violation in violations {
            let text = match FIELDS.iter().find(|(reason, _)| *reason == violation.reason) {
                Some((_, text)) => Cow::Borrowed(*text),
                None => Wrong::of_rule(&violation.reason, &violation.message)
                    .map_or("Valor inválido.".into(), |w| words(&w)),
            };
            push(&mut body, wire_name(&violation.field), text);
        }
        Self::new(400, Value::Object(body))
    }

    fn faults(faults: &[Fault]) -> Self {
        let mut body = Map::new();
        for fault in faults {
            let field = if fault.field.is_empty() { "non_field_errors" } else { &*fault.field };
            match &fault.wrong {
                Wrong::Items(items) => {
                    let texts = items.iter().map(|(place, wrong)| (place.to_string(), json!([words(wrong)])));
                    body.insert(field.to_owned(), Value::Object(texts.collect()));
                }
                wrong => push(&mut body, field, words(wrong)),
            }
        }
        Self::new(400, Value::Object(body))
    }
}

fn push(body: &mut Map<String, Value>, field: &str, text: Cow<'static, str>) {
    let texts = body.entry(field).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(texts) = texts {
        texts.push(text.into());
    }
}

/// `profile.first_name` → `full_name`.
fn wire_name(path: &str) -> &str {
    let last = path.rsplit('.').next().unwrap_or(path);
    let last = last.split('[').next().unwrap_or(last);
    NAMES.iter().find(|(ours, _)| *ours == last).map_or(last, |(_, theirs)| theirs)
}

/// What is wrong with a field, as DRF says it.
fn words(wrong: &Wrong) -> Cow<'static, str> {
    match wrong {
        Wrong::Required => "Este campo es requerido.".into(),
        Wrong::Null => "Este campo no puede ser nulo.".into(),
        Wrong::Blank => "Este campo no puede estar en blanco.".into(),
        Wrong::NotText => "No es una cadena válida.".into(),
        Wrong::NulCharacter => "Los caracteres nulos no están permitidos.".into(),
        Wrong::TooShort(n) => format!("Asegúrese de que este campo tenga al menos {n} caracteres.").into(),
        Wrong::TooLong(n) => format!("Asegúrese de que este campo no tenga más de {n} caracteres.").into(),
        Wrong::NotInteger => "Introduzca un número entero válido.".into(),
        Wrong::NotNumber => "Se requiere un número válido.".into(),
        Wrong::NotBoolean => "Debe ser un booleano válido.".into(),
        Wrong::NotAKey(kind) => {
            format!("Tipo incorrecto. Se esperaba valor de clave primaria y se recibió {kind}.").into()
        }
        Wrong::NotUuid => "Debe ser un UUID válido.".into(),
        Wrong::AtLeast(n) => format!("Asegúrese de que este valor es mayor o igual a {n}.").into(),
        Wrong::AtMost(n) => format!("Asegúrese de que este valor es menor o igual a {n}.").into(),
        Wrong::TotalDigits(n) => format!("Asegúrese de que no haya más de {n} dígitos en total.").into(),
        Wrong::WholeDigits(n) => format!("Asegúrese de que no haya más de {n} dígitos en la parte entera.").into(),
        Wrong::DecimalPlaces(n) => format!("Asegúrese de que no haya más de {n} decimales.").into(),
        Wrong::NotAChoice { value, .. } => format!("\"{value}\" no es una elección válida.").into(),
        Wrong::NotAList(kind) => format!("Se esperaba una lista de elementos en vez del tipo \"{kind}\".").into(),
        Wrong::NotAnObject(kind) => format!("Datos inválidos. Se esperaba un diccionario pero es un {kind}.").into(),
        Wrong::TooMany(n) => format!("Asegúrese de que este campo no tenga más de {n} elementos.").into(),
        // One is enough where there is no room for all.
        Wrong::Items(items) => items.first().map_or("Valor inválido.".into(), |(_, wrong)| words(wrong)),
        Wrong::NoFile => "No se envió ningún archivo.".into(),
        Wrong::NotAFile => {
            "La información enviada no era un archivo. Compruebe el tipo de codificación del formulario.".into()
        }
        Wrong::EmptyFile => "El archivo enviado está vació.".into(),
        Wrong::Said(text) => text.clone(),
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        match problem {
            // Query parameters that are wrong read like fields; DRF's filters do the same.
            Problem::Fields { place: Place::Body | Place::Query | Place::Header, faults } => Self::faults(&faults),
            Problem::NotAnObject(kind) => Self::faults(&[Fault { field: "".into(), wrong: Wrong::NotAnObject(kind) }]),
            Problem::Status(status) => (*status).into(),
            Problem::Credentials(why) => match why {
                Credentials::Missing => Self::detail(401, NO_CREDENTIALS).challenge(),
                Credentials::Empty => {
                    Self::detail(401, "Cabecera token inválida. Las credenciales no fueron suministradas.").challenge()
                }
                Credentials::Spaces => {
                    Self::detail(401, "Cabecera token inválida. La cadena token no debe contener espacios.").challenge()
                }
                Credentials::Bad | Credentials::Revoked => Self::detail(401, BAD_TOKEN).challenge(),
                Credentials::Banned | Credentials::Deleted => {
                    Self::detail(401, "Usuario inactivo o borrado.").challenge()
                }
                Credentials::Unknown => Self::detail(503, UNAVAILABLE),
            },
            Problem::NoRoute | Problem::PathId { .. } | Problem::Version(_) => Self::detail(404, NOT_FOUND),
            Problem::Method(method) => Self::detail(405, format!("Método \"{method}\" no permitido.")),
            Problem::NotAcceptable => {
                Self::detail(406, "No se ha podido satisfacer la solicitud de cabecera de Accept.")
            }
            Problem::MediaType(kind) => {
                Self::detail(415, format!("Tipo de medio \"{kind}\" incompatible en la solicitud."))
            }
            Problem::TooLarge { limit } => {
                Self::detail(413, format!("La solicitud es demasiado grande. El límite es de {}.", size(limit)))
            }
            Problem::BrokenJson(why) => Self::detail(400, format!("JSON parse error - {why}")),
            Problem::BrokenForm(why) => Self::detail(400, format!("Multipart form parse error - {why}")),
            Problem::Limited { retry_after, .. } => {
                let mut error = Self::detail(429, THROTTLED);
                error.0.retry_after = Some(retry_after);
                error
            }
            Problem::KeyBroken => Self::detail(400, "La cabecera Idempotency-Key no es válida."),
            Problem::KeyBusy => Self::detail(409, "Una solicitud con la misma Idempotency-Key está en curso."),
            Problem::KeyReused => Self::detail(400, KEY_REUSED),
            Problem::Overloaded => Self::detail(503, UNAVAILABLE),
            Problem::Stalled => Self::detail(408, "La solicitud no terminó de llegar."),
            Problem::Timeout => Self::detail(504, "El servidor no respondió a tiempo."),
            Problem::Panic => Self::detail(500, INTERNAL),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (self.0.status, Json(self.0.body)).into_response();
        if self.0.challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.0.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// What every error but a field error looks like, for the document.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct Detail {
    detail: String,
}

impl Describe for Error {
    fn describe(operation: &mut Operation) {
        operation.json::<Detail>("default", "`{\"detail\": text}`; fields that are wrong are listed with status 400");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kit::error::{exhausted, invalid_because, not_found, unauthenticated};

    use super::*;

    fn answer(error: impl Into<Error>) -> (u16, Value) {
        let error = error.into();
        (error.0.status.as_u16(), error.0.body)
    }

    #[test]
    fn reasons_have_their_status_and_text() {
        let bad = Error::from(unauthenticated("BAD_CREDENTIALS", ""));
        assert!(!bad.0.challenge);
        assert_eq!(answer(bad), (401, json!({"error": "Credenciales inválidas"})));
        let taken = invalid_because("phone", "PHONE_TAKEN", "");
        assert_eq!(answer(taken), (400, json!({"phone_number": ["Ya existe Usuario con este phone number."]})));
        let later = Error::from(exhausted("TOO_MANY_REQUESTS", "", Duration::from_secs(7)));
        assert_eq!(later.0.retry_after, Some(7));
        assert!(Error::from(unauthenticated("BAD_TOKEN", "")).0.challenge);
    }

    #[test]
    fn an_endpoint_may_have_its_own_words() {
        let found: Result<(), kit::Error> = Err(not_found("USER_NOT_FOUND", ""));
        assert_eq!(answer(found.on("USER_NOT_FOUND", 404, "Nadie.").unwrap_err()), (404, json!({"detail": "Nadie."})));
    }

    #[test]
    fn field_rules_of_the_contract_read_like_the_dialects_own() {
        let violation = |field: &str, reason: &str, message: &str| FieldViolation {
            field: field.into(),
            reason: reason.into(),
            message: message.into(),
        };
        let error = Error::fields(&[
            violation("profile.first_name", "string.max_len", "must have at most 150 characters"),
            violation("profile.location.latitude", "double.lte", "must be at most 90"),
        ]);
        assert_eq!(
            answer(error).1,
            json!({
                "full_name": ["Asegúrese de que este campo no tenga más de 150 caracteres."],
                "latitude": ["Asegúrese de que este valor es menor o igual a 90."],
            })
        );
    }
}
