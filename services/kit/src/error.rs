//! The one error type of the services. A `reason` is a constant in capitals that callers branch on; the message is for
//! a developer. Causes are logged once, where the error leaves the service, and never sent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub type Result<T, E = Error> = std::result::Result<T, E>;

type Text = Cow<'static, str>;

/// What went wrong, on its way to becoming a gRPC status.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
enum Inner {
    Ours {
        code: Code,
        reason: &'static str,
        message: Text,
        field: Option<(Text, &'static str)>,
        retry: Option<Duration>,
    },
    /// Our own fault; the cause stays here.
    Internal(anyhow::Error),
    /// What a peer answered, passed on as it came.
    Peer(Status),
}

fn ours(code: Code, reason: &'static str, message: impl Into<Text>) -> Error {
    Error(Box::new(Inner::Ours { code, reason, message: message.into(), field: None, retry: None }))
}

/// NOT_FOUND.
pub fn not_found(reason: &'static str, message: impl Into<Text>) -> Error {
    ours(Code::NotFound, reason, message)
}

/// INVALID_ARGUMENT on one field, reason `INVALID_FIELDS`.
pub fn invalid(field: impl Into<Text>, message: impl Into<Text>) -> Error {
    let message = message.into();
    let field = Some((field.into(), "INVALID"));
    Error(Box::new(Inner::Ours { code: Code::InvalidArgument, reason: "INVALID_FIELDS", message, field, retry: None }))
}

/// INVALID_ARGUMENT on one field, for a reason that callers tell apart.
pub fn invalid_because(field: impl Into<Text>, reason: &'static str, message: impl Into<Text>) -> Error {
    let message = message.into();
    let field = Some((field.into(), reason));
    Error(Box::new(Inner::Ours { code: Code::InvalidArgument, reason, message, field, retry: None }))
}

/// FAILED_PRECONDITION: the thing is not in a state for this.
pub fn refused(reason: &'static str, message: impl Into<Text>) -> Error {
    ours(Code::FailedPrecondition, reason, message)
}

/// PERMISSION_DENIED.
pub fn denied(reason: &'static str, message: impl Into<Text>) -> Error {
    ours(Code::PermissionDenied, reason, message)
}

/// UNAUTHENTICATED.
pub fn unauthenticated(reason: &'static str, message: impl Into<Text>) -> Error {
    ours(Code::Unauthenticated, reason, message)
}

/// ALREADY_EXISTS.
pub fn already_exists(reason: &'static str, message: impl Into<Text>) -> Error {
    ours(Code::AlreadyExists, reason, message)
}

/// ABORTED: somebody else was faster; trying again may work.
pub fn aborted(reason: &'static str, message: impl Into<Text>) -> Error {
    ours(Code::Aborted, reason, message)
}

/// UNAVAILABLE: somebody we need is away; trying again later may work.
pub fn unavailable(reason: &'static str, message: impl Into<Text>) -> Error {
    ours(Code::Unavailable, reason, message)
}

/// OUT_OF_RANGE.
pub fn out_of_range(reason: &'static str, message: impl Into<Text>) -> Error {
    ours(Code::OutOfRange, reason, message)
}

/// RESOURCE_EXHAUSTED with `google.rpc.RetryInfo`.
pub fn exhausted(reason: &'static str, message: impl Into<Text>, retry_after: Duration) -> Error {
    let message = message.into();
    let retry = Some(retry_after);
    Error(Box::new(Inner::Ours { code: Code::ResourceExhausted, reason, message, field: None, retry }))
}

/// INTERNAL. The cause is logged when this becomes a status, and not sent.
pub fn internal(cause: impl Into<anyhow::Error>) -> Error {
    Error(Box::new(Inner::Internal(cause.into())))
}

impl Error {
    pub fn code(&self) -> Code {
        match &*self.0 {
            Inner::Ours { code, .. } => *code,
            Inner::Internal(_) => Code::Internal,
            Inner::Peer(status) => status.code(),
        }
    }

    /// The database constraint that caused it, if one did and nobody has named it yet.
    pub(crate) fn constraint(&self) -> Option<&str> {
        match &*self.0 {
            Inner::Internal(cause) => cause.downcast_ref::<sqlx::Error>()?.as_database_error()?.constraint(),
            _ => None,
        }
    }

    /// The constant that callers branch on.
    pub fn reason(&self) -> Cow<'static, str> {
        match &*self.0 {
            Inner::Ours { reason, .. } => Cow::Borrowed(reason),
            Inner::Internal(_) => Cow::Borrowed("INTERNAL"),
            Inner::Peer(status) => Cow::Owned(Details::of(status).reason),
        }
    }
}

impl Error {
    /// How long to wait before trying again, if that was said.
    pub fn retry_after(&self) -> Option<Duration> {
        match &*self.0 {
            Inner::Ours { retry, .. } => *retry,
            Inner::Internal(_) | Inner::Peer(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Inner::Ours { reason, message, .. } => write!(f, "{reason}: {message}"),
            Inner::Internal(cause) => write!(f, "{cause:#}"),
            Inner::Peer(status) => write!(f, "{:?}: {}", status.code(), status.message()),
        }
    }
}

impl std::error::Error for Error {}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut => unavailable("DATABASE_BUSY", "no free database connection"),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => unavailable("DATABASE_AWAY", "the database does not answer"),
            sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
                // Serialisation failure and deadlock: the other transaction won.
                Some("40001" | "40P01") => aborted("CONFLICT", "another change came in between"),
                // A NUL character: fine in a protobuf string, not in PostgreSQL's text or JSON.
                Some("22021" | "22P05") => invalid("", "text may not contain NUL characters"),
                // A time before 4713 BC, which a protobuf timestamp can say.
                Some("22008") => invalid("", "a time is out of range"),
                // The statement's own limit, or a lock that was not free in it.
                Some("57014") => {
                    tracing::warn!(%error, "a statement took too long");
                    ours(Code::DeadlineExceeded, "DATABASE_SLOW", "the database took too long")
                }
                Some(state) if away(state) => unavailable("DATABASE_AWAY", "the database does not answer"),
                _ => internal(error),
            },
            _ => internal(error),
        }
    }
}

/// Whether this SQLSTATE says that the database serves nobody at the moment: the connection failed (08), it takes no
/// connections (55000) or no more (53300), or it is going away, crashed, starting, or was dropped (57P01 to 57P05).
fn away(state: &str) -> bool {
    state.starts_with("08") || state.starts_with("57P") || matches!(state, "55000" | "53300")
}

impl From<anyhow::Error> for Error {
    fn from(cause: anyhow::Error) -> Self {
        internal(cause)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Error(Box::new(Inner::Peer(status)))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match *error.0 {
            Inner::Ours { code, reason, message, field, retry } => {
                let mut details = ErrorDetails::new();
                details.set_error_info(reason, "plaza", HashMap::new());
                if let Some((field, rule)) = field {
                    let violation = tonic_types::FieldViolation::new(field, message.clone());
                    details.set_bad_request(vec![tonic_types::FieldViolation { reason: rule.into(), ..violation }]);
                }
                if let Some(after) = retry {
                    details.set_retry_info(Some(after));
                }
                Status::with_error_details(code, message, details)
            }
            Inner::Internal(cause) => {
                let request_id = crate::context::current().request_id;
                tracing::error!(request.id = &*request_id, error = format!("{cause:#}"), "internal error");
                let mut details = ErrorDetails::new();
                details.set_error_info("INTERNAL", "plaza", HashMap::new());
                Status::with_error_details(Code::Internal, "internal error", details)
            }
            Inner::Peer(status) => status,
        }
    }
}

/// What a status says beyond its code, for those who turn it into another language.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The constant to branch on; empty when the status carries none.
    pub reason: String,
    /// The fields that are wrong, if it is about fields.
    pub fields: Vec<FieldViolation>,
    /// When to try again, if it is about time.
    pub retry_after: Option<Duration>,
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Dotted path from the request.
    pub field: String,
    /// Id of the broken rule (`string.max_len`) or a constant in capitals.
    pub reason: String,
    /// For a developer; a rule's bound is the first number in it.
    pub message: String,
}

impl Details {
    pub fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let fields = details.bad_request().map(|bad| {
            bad.field_violations
                .iter()
                .map(|v| FieldViolation {
                    field: v.field.clone(),
                    reason: v.reason.clone(),
                    message: v.description.clone(),
                })
                .collect()
        });
        Self {
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            fields: fields.unwrap_or_default(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_keeps_reason_field_and_delay() {
        let taken = Status::from(invalid_because("phone", "PHONE_TAKEN", "somebody has it"));
        let details = Details::of(&taken);
        assert_eq!(taken.code(), Code::InvalidArgument);
        assert_eq!(details.reason, "PHONE_TAKEN");
        assert_eq!((&*details.fields[0].field, &*details.fields[0].reason), ("phone", "PHONE_TAKEN"));

        let later = Status::from(exhausted("SLOW_DOWN", "wait", Duration::from_secs(7)));
        assert_eq!(Details::of(&later).retry_after, Some(Duration::from_secs(7)));
    }

    /// What PostgreSQL says in a message with this SQLSTATE.
    #[derive(Debug)]
    struct Refusal(&'static str);

    impl fmt::Display for Refusal {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "SQLSTATE {}", self.0)
        }
    }

    impl std::error::Error for Refusal {}

    impl sqlx::error::DatabaseError for Refusal {
        fn message(&self) -> &str {
            self.0
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(Cow::Borrowed(self.0))
        }

        fn kind(&self) -> sqlx::error::ErrorKind {
            sqlx::error::ErrorKind::Other
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }
    }

    #[test]
    fn a_database_that_serves_nobody_is_unavailable_and_nothing_else_is() {
        let code = |error: sqlx::Error| Error::from(error).code();
        let says = |state| code(sqlx::Error::Database(Box::new(Refusal(state))));
        for state in ["08000", "08003", "08006", "08P01", "53300", "55000", "57P01", "57P02", "57P03", "57P04", "57P05"]
        {
            assert_eq!(says(state), Code::Unavailable, "{state}");
        }
        for (state, expected) in [
            ("40001", Code::Aborted),
            ("40P01", Code::Aborted),
            ("22021", Code::InvalidArgument),
            ("22008", Code::InvalidArgument),
            ("57014", Code::DeadlineExceeded),
            // A lock that was not free, a broken constraint, a missing table.
            ("55P03", Code::Internal),
            ("23505", Code::Internal),
            ("42P01", Code::Internal),
        ] {
            assert_eq!(says(state), expected, "{state}");
        }
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for error in [
            sqlx::Error::PoolTimedOut,
            sqlx::Error::PoolClosed,
            sqlx::Error::WorkerCrashed,
            sqlx::Error::BeginFailed,
            sqlx::Error::Io(broken),
        ] {
            assert_eq!(code(error), Code::Unavailable);
        }
        assert_eq!(code(sqlx::Error::RowNotFound), Code::Internal);
    }

    #[test]
    fn the_cause_of_an_internal_error_is_not_sent() {
        let status = Status::from(internal(anyhow::anyhow!("password=hunter2")));
        assert_eq!(status.code(), Code::Internal);
        assert!(!format!("{status:?}").contains("hunter2"));
    }
}
