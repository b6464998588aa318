//! Which program answers a path, and what the path is to it.

use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use uuid::Uuid;

use crate::agrovet::Agrovet;
use crate::conectar::Conectar;
use crate::routes::Routes;

/// Which program answers a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Program<'p> {
    Grpc,
    Platform { version: &'static str, path: &'p str },
    Agrovet(&'p str),
    Conectar { version: &'static str, path: &'p str },
    UnknownVersion,
}

/// Reads a path's first segments.
pub(super) fn program<'p>(path: &'p str, headers: &HeaderMap) -> Program<'p> {
    let grpc = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if grpc || path.starts_with("/plaza.") || path.starts_with("/grpc.") {
        return Program::Grpc;
    }
    // `/health` is Conectar's aggregate, `/health/` is what Agrovet's probes ask.
    if matches!(path, "/health/" | "/health/detailed" | "/health/detailed/") {
        return Program::Agrovet(bare(path));
    }
    // Rooms are numbers to Agrovet and UUIDs to Conectar; who asks for anything else is told so by Agrovet, whose
    // clients are the ones that open sockets here.
    if let Some(rest) = path.strip_prefix("/ws/") {
        let path = bare(path);
        let room = rest.strip_prefix("chat/").map(bare);
        return match room.is_some_and(|room| Uuid::try_parse(room).is_ok()) {
            true => Program::Conectar { version: "v1", path },
            false => Program::Agrovet(path),
        };
    }
    let Some(rest) = path.strip_prefix("/api").filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        let (version, path) = ("v1", bare(path));
        return if of_platform(path) {
            Program::Platform { version, path }
        } else {
            Program::Conectar { version, path }
        };
    };
    let first = rest.trim_start_matches('/').split('/').next().unwrap_or_default();
    let number = first.strip_prefix('v').filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let version = match number {
        // Files are served bare and below every form of the prefix.
        None if rest.starts_with("/uploads/") => return Program::Platform { version: "v1", path: bare(rest) },
        None => return Program::Agrovet(bare(path)),
        Some("1") => "v1",
        Some("2") => "v2",
        Some(_) => return Program::UnknownVersion,
    };
    let path = bare(&rest[1 + first.len()..]);
    if path == "/docs" || path.starts_with("/uploads/") {
        Program::Platform { version, path }
    } else {
        Program::Conectar { version, path }
    }
}

/// Conectar's routes that one of Agrovet's would hide below `/api` without a version, by a parameter in the place of a
/// word or of an id. Agrovet's frontend lives there, and Conectar's gateway served its own paths there too. They can be
/// told apart: a word comes before a parameter, and Conectar's ids are UUIDs, where Agrovet's are numbers.
pub(super) struct Hidden(Vec<&'static str>);

impl Hidden {
    pub(super) fn between(agrovet: &Routes<Agrovet>, conectar: &Routes<Conectar>) -> Self {
        let agrovets: Vec<_> = agrovet.list().filter_map(|(_, path)| path.strip_prefix("/api")).collect();
        let mut hidden: Vec<_> = conectar.list().map(|(_, path)| path).collect();
        hidden.retain(|path| {
            let hides = |ours: &&str| ours.contains('{') && overlap(ours, path);
            // What both have word for word is Agrovet's.
            agrovets.iter().any(hides) && (path.contains('{') || !agrovets.contains(path))
        });
        hidden.sort_unstable();
        hidden.dedup();
        Self(hidden)
    }

    /// Where Agrovet's program must not answer after all.
    pub(super) fn uncover<'p>(&self, program: Program<'p>) -> Program<'p> {
        match program {
            Program::Agrovet(path) => match path.strip_prefix("/api").filter(|path| self.has(path)) {
                Some(path) => Program::Conectar { version: "v1", path },
                None => program,
            },
            _ => program,
        }
    }

    fn has(&self, path: &str) -> bool {
        let fits = |part: &str, given: &str| match part.starts_with('{') {
            true => Uuid::try_parse(given).is_ok(),
            false => part == given,
        };
        self.0.iter().any(|route| alike(route, path, fits))
    }
}

/// Whether some path is both routes'.
fn overlap(one: &str, other: &str) -> bool {
    alike(one, other, |a, b| a == b || a.starts_with('{') || b.starts_with('{'))
}

/// Whether two paths have as many segments, and all in the same places are `same`.
fn alike(one: &str, other: &str, same: impl Fn(&str, &str) -> bool) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if same(a, b) => {}
            _ => return false,
        }
    }
}

fn of_platform(path: &str) -> bool {
    matches!(path, "/" | "/health" | "/health/live" | "/health/ready" | "/docs")
        // Where the old platforms had their documents.
        || matches!(path, "/swagger.json" | "/swagger.yaml" | "/swagger" | "/redoc")
        || path.starts_with("/docs/")
        || path.starts_with("/demo/")
        || path.starts_with("/openapi/")
        || path.starts_with("/uploads/")
}

/// Both slash forms are one path.
fn bare(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some("") | None => {
            if path.is_empty() {
                "/"
            } else {
                path
            }
        }
        Some(bare) => bare,
    }
}

/// The URI with another path; `None` when it has that path already.
pub(super) fn reroot(path: &str, uri: &Uri) -> Option<Uri> {
    if uri.path() == path {
        return None;
    }
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    #[test]
    fn paths_find_their_program() {
        use Program::*;
        let of = |path| program(path, &HeaderMap::new());
        let v1 = |path| Conectar { version: "v1", path };
        let platform = |path| Platform { version: "v1", path };
        assert_eq!(of("/api/auth/users/me/"), Agrovet("/api/auth/users/me"));
        assert_eq!(of("/api/auth/users/me"), Agrovet("/api/auth/users/me"));
        assert_eq!(of("/api/"), Agrovet("/api"));
        assert_eq!(of("/api/v1/users/me/"), v1("/users/me"));
        assert_eq!(of("/api/v2/users/me"), Conectar { version: "v2", path: "/users/me" });
        assert_eq!(of("/api/v1"), v1("/"));
        assert_eq!(of("/api/v3/users"), UnknownVersion);
        assert_eq!(of("/api/vets/1"), Agrovet("/api/vets/1"));
        assert_eq!(of("/apis/x"), v1("/apis/x"));
        assert_eq!(of("/users/me"), v1("/users/me"));
        assert_eq!(of("/health"), platform("/health"));
        assert_eq!(of("/health/"), Agrovet("/health"));
        assert_eq!(of("/api/v1/health"), v1("/health"));
        assert_eq!(of("/api/v1/uploads/avatars/a.jpg"), platform("/uploads/avatars/a.jpg"));
        assert_eq!(of("/api/uploads/avatars/a.jpg"), platform("/uploads/avatars/a.jpg"));
        assert_eq!(of("/api/v2/docs"), Platform { version: "v2", path: "/docs" });
        assert_eq!(of("/"), platform("/"));
        assert_eq!(of("/swagger.json"), platform("/swagger.json"));
        assert_eq!(of("/swagger.yaml/"), platform("/swagger.yaml"));
        assert_eq!(of("/swagger/"), platform("/swagger"));
        assert_eq!(of("/redoc/"), platform("/redoc"));
        assert_eq!(of("/ws/chat/14/"), Agrovet("/ws/chat/14"));
        assert_eq!(of("/ws/chat/toro"), Agrovet("/ws/chat/toro"));
        assert_eq!(of("/ws/presence/"), Agrovet("/ws/presence"));
        let room = "/ws/chat/0192b0c4-7d1e-7a54-8f0e-5d1f3c5a7b90";
        assert_eq!(of("/ws/chat/0192b0c4-7d1e-7a54-8f0e-5d1f3c5a7b90/"), v1(room));
        assert_eq!(of("/api/v1/ws/chat/0192b0c4-7d1e-7a54-8f0e-5d1f3c5a7b90"), v1(room));
        assert_eq!(of("/plaza.users.v1.UserService/GetUser"), Grpc);
    }

    #[test]
    fn neither_dialect_hides_what_the_other_has_in_other_words() {
        let hidden = Hidden::between(&Agrovet::routes(), &Conectar::routes());
        let routes = ["/chat/messages/{id}", "/chat/{id}/message", "/chat/{id}/messages", "/notifications/fcm-token"];
        assert_eq!(hidden.0, routes);
        let of = |path| hidden.uncover(program(path, &HeaderMap::new()));
        let id = "/api/chat/messages/0192b0c4-7d1e-7a54-8f0e-5d1f3c5a7b90";
        assert_eq!(of(id), Program::Conectar { version: "v1", path: &id[4..] });
        assert_eq!(
            of("/api/notifications/fcm-token/"),
            Program::Conectar { version: "v1", path: "/notifications/fcm-token" }
        );
        for path in [
            "/api/chat/messages/7",
            "/api/chat/messages/toro",
            "/api/chat/messages/search",
            "/api/chat/rooms/messages",
            "/api/notifications/7",
            "/api/auth/me",
            "/api/auth/logout",
            "/api",
        ] {
            assert_eq!(of(path), Program::Agrovet(path));
        }
    }

    #[test]
    fn a_new_path_keeps_the_query() {
        let uri: Uri = "/api/auth/users/?page=2".parse().unwrap();
        assert_eq!(reroot("/api/auth/users", &uri).unwrap(), "/api/auth/users?page=2");
        assert_eq!(reroot("/x", &"/x".parse().unwrap()), None);
    }
}
