//! Bad input on every route of both dialects: always a 2xx or a 4xx in the dialect's shape, never a 5xx, never a broken
//! connection.

use edge_gateway::dialect::Dialect;
use edge_gateway::{agrovet::Agrovet, conectar::Conectar};
use futures_util::{StreamExt, stream};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::world::{PASSWORD, World};

/// What may stand in a path's `{name}` when nobody means well.
const IDS: &[&str] = &[
    "0",
    "-1",
    "2",
    "99999999999999999999",
    "1e3",
    "abc",
    "%00",
    "%FF%FE",
    "%2e%2e%2f",
    "%27%3B%20drop%20table%20users%3B--",
    "%D9%A1%D9%A2",
    "null",
    "00000000-0000-0000-0000-000000000000",
];

const QUERIES: &[&str] = &[
    "page=0&page_size=-1",
    "page=99999999999999999999&page_size=99999999999999999999",
    "page=%00&search=%00&q=%00&cursor=%00",
    "page=%FF%FE&search=%FF%FE&q=%FF%FE",
    "search=%25%5F%5C%27%22&q=%25%5F%5C%27%22&email=%25",
    "page=1&page=2&search=a&search=b",
    "all=quizas&skip=-1&limit=-1&offset=9223372036854775808",
    "&&&===&%&%zz",
    "cursor=AAAA&page_token=AAAA&token=AAAA",
    "lat=x&lon=%00&radius_km=1e999&category=%00&condition=%FF&status=x&as=x&ordering=,,-,--price&direction=x",
    "lat=1e308&lon=-1e308&radius_km=-0&min_price=1e99&max_price=NaN&created_after=9999999-01-01&publisher=1e3",
    "room=null&limit=x&before=x&after=-1&since=1e9&archived=quizas&users=1,x&messages=2&q=%00",
    "room=1&limit=-5&before=1&users=1,2,3&q=a&archived=true&after=0&since=0",
    "order=king&window=eon&slug=%00&id=%00&post=x&parent=1.5&content_type=x&object_id=x&unread=quizas",
    "order=top&window=day&slug=general&post=1&parent=1&content_type=post&object_id=1&unread=true",
];

/// A body and the type it claims to be.
struct Hostile {
    name: &'static str,
    kind: &'static str,
    body: Vec<u8>,
}

fn hostile() -> Vec<Hostile> {
    let json = "application/json";
    let names = [
        "phone_number",
        "password",
        "full_name",
        "last_name",
        "role",
        "bio",
        "latitude",
        "longitude",
        "refresh",
        "phone",
        "code",
        "new_password",
        "name",
        "description",
        "price",
        "content_type",
        "object_id",
        "folder",
        "email",
        "nombre",
        "apellido",
        "rol",
        "token",
        "reason",
        "refresh_token",
        "current_password",
        "image",
        "profile_picture",
        "title",
        "category",
        "condition",
        "location_name",
        "main_image_id",
        "secondary_image_ids",
        "status",
        "note",
        "following_id",
        "content",
        "community",
        "community_id",
        "media_id",
        "post",
        "parent_id",
        "type",
        "ids",
        "slug",
        "cover_image",
        "user_id",
        "locked",
        "file",
        "profession",
        "experience_years",
        "about_us",
        "can_give_consultations",
        "work_images_ids",
        "verification_title_id",
        "business_type",
        "business_name",
        "descriptions",
        "contact",
        "products_and_services_ids",
        "stars",
        "decision",
        "submission",
        "room",
        "room_id",
        "participants_ids",
        "participants",
        "is_private",
        "message_ids",
        "client_msg_id",
        "reply_to",
        "media_spectrum",
        "media",
        "admin",
        "until",
        "text",
        "chat_id",
        "trabajo_id",
        "mensaje_inicial",
        "other_user_id",
    ];
    let with = |value: Value| {
        let object: serde_json::Map<_, _> = names.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
        Value::Object(object).to_string().into_bytes()
    };
    let deep = |open: &str, close: &str| [open.repeat(10_000), close.repeat(10_000)].concat().into_bytes();
    let of = |name, kind, body: &[u8]| Hostile { name, kind, body: body.to_vec() };
    vec![
        of("no body", "", b""),
        of("empty JSON", json, b""),
        of("null", json, b"null"),
        of("a list", json, b"[1, 2, 3]"),
        of("broken JSON", json, b"{\"phone_number\": "),
        of("two values", json, b"{} {}"),
        of("not a number", json, b"{\"latitude\": NaN, \"price\": Infinity}"),
        of("invalid UTF-8", json, b"{\"phone_number\": \"\xff\xfe\", \"name\": \"\xc3\x28\"}"),
        of("half a surrogate", json, b"{\"phone_number\": \"\\ud800\", \"name\": \"\\udfff\"}"),
        of("numbers", json, &with(json!(7))),
        of("huge numbers", json, &with(json!(1e300))),
        of("booleans", json, &with(json!(true))),
        of("nulls", json, &with(Value::Null)),
        of("lists", json, &with(json!([[], {}]))),
        of("objects", json, &with(json!({ "a": { "b": [] } }))),
        of("NUL characters", json, &with(json!("a\u{0}b"))),
        of("long texts", json, &with(json!("ñ".repeat(20_000)))),
        of("strange texts", json, &with(json!("\u{202e}\u{feff}'; drop table accounts; -- %s ${x} <b>\u{1F415}"))),
        Hostile { name: "deep lists", kind: json, body: deep("[", "]") },
        Hostile { name: "deep objects", kind: json, body: deep("{\"a\":", "}") },
        Hostile { name: "2 MiB of JSON", kind: json, body: with(json!("x".repeat((2 << 20) / names.len()))) },
        of("a JSON body called text", "text/plain", b"{}"),
        of("XML", "text/xml", b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"b\">]><x>&a;</x>"),
        of("a type that is none", "///;;=,", b"{}"),
        of("JSON called a form", "application/x-www-form-urlencoded", b"{\"phone_number\": 1}"),
        of("a broken form", "application/x-www-form-urlencoded", b"phone_number=%&%zz=%ff&&=&password=%00"),
        of("a multipart without a boundary", "multipart/form-data", b"--x--"),
        of("a multipart that breaks off", "multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data"),
        of(
            "a file of no kind",
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"../../\\x00a\xff.jpg\"\r\n\r\n\xff\xd8\r\n--x--\r\n",
        ),
        of(
            "a file in every field's place",
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\"phone_number\"; filename=\"a\"\r\n\r\nx\r\n\
              --x\r\nContent-Disposition: form-data; name=\"password\"; filename=\"b\"\r\n\r\nx\r\n--x--\r\n",
        ),
    ]
}

/// Sends and judges. Whoever asks sees which request it was.
async fn judge(asked: &str, request: RequestBuilder, fits: fn(&Value) -> bool) {
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => panic!("{asked}: the connection broke: {error:?}"),
    };
    let (status, head) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.bytes().await.unwrap_or_else(|error| panic!("{asked}: the answer broke off: {error:?}"));
    let text = String::from_utf8_lossy(&body);
    match status {
        204 | 304 => assert!(body.is_empty(), "{asked}: {status} with a body: {text}"),
        200..=299 => {}
        400..=499 => {
            let json =
                serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{asked}: {status} without JSON: {text}"));
            assert!(fits(&json), "{asked}: {status} in another shape: {text}");
            assert_eq!(head["content-type"], "application/json", "{asked}");
        }
        // Without a service account of Google's that is the contract.
        503 if asked.contains("firebase") => {}
        _ => panic!("{asked}: {status} {text}"),
    }
}

/// Tries everything on every route of a dialect. `prepare` makes a new person for each, because some routes end a
/// session or an account, and says which id in the path is theirs: so that forms are read and not refused for whose
/// they are.
async fn sweep<D: Dialect>(
    world: &World,
    prefix: &str,
    fits: fn(&Value) -> bool,
    prepare: impl AsyncFn(usize, &str) -> (String, String),
) {
    let bodies = hostile();
    let routes: Vec<(Method, &str)> = D::routes().list().map(|(method, path)| (method.clone(), path)).collect();
    for (n, (method, template)) in routes.into_iter().enumerate() {
        let (token, own) = prepare(n, template).await;
        let fill = |id: &str| {
            let parts = template.split('/').map(|part| if part.starts_with('{') { id } else { part });
            format!("{prefix}{}", parts.collect::<Vec<_>>().join("/"))
        };
        // A path that the router does not know would pass everything below with its 404. In Agrovet that reads like
        // any other, so the path says itself what it takes.
        let known = world.ask(world.request(Method::OPTIONS, &fill(&own))).await;
        let allowed = known.header("allow").split(", ").any(|name| name == method.as_str());
        assert!(allowed, "{method} {template}: {known}");
        let mut tries: Vec<(String, RequestBuilder)> = Vec::new();
        for (who, bearer) in [("nobody", None), ("somebody", Some(&token))] {
            let request = |path: &str| {
                let request = world.request(method.clone(), path);
                match bearer {
                    Some(token) => request.bearer_auth(token),
                    None => request,
                }
            };
            if template.contains('{') {
                let long = "9".repeat(4000);
                // A UUID there is a room or a message of Conectar's.
                let theirs = template.starts_with("/ws/") || template == "/api/chat/messages/{id}";
                let known = |id: &&str| !(theirs && id.contains("0000-"));
                for id in IDS.iter().copied().filter(known).chain([long.as_str()]) {
                    let asked = format!("{who}: {method} {template} with {id:.40}");
                    tries.push((asked, request(&fill(id)).json(&json!({}))));
                }
            }
            for query in QUERIES {
                let path = format!("{}?{query}", fill(&own));
                tries.push((format!("{who}: {method} {path}"), request(&path)));
            }
            for Hostile { name, kind, body } in &bodies {
                let mut request = request(&fill(&own)).body(Body::from(body.clone()));
                if !kind.is_empty() {
                    request = request.header("content-type", *kind);
                }
                tries.push((format!("{who}: {method} {template}, {name}"), request));
            }
        }
        let judged = tries.into_iter().map(|(asked, request)| async move { judge(&asked, request, fits).await });
        stream::iter(judged).buffer_unordered(8).collect::<()>().await;
    }
}

fn agrovets(body: &Value) -> bool {
    let texts = |value: &Value| value.as_array().is_some_and(|texts| texts.iter().all(Value::is_string));
    body.as_object().is_some_and(|body| {
        !body.is_empty()
            && body.iter().all(|(name, value)| match name.as_str() {
                "detail" | "error" => value.is_string(),
                // Of lists each item that is wrong has its own.
                _ => texts(value) || value.as_object().is_some_and(|items| items.values().all(texts)),
            })
    })
}

fn conectars(body: &Value) -> bool {
    // The router's own 404 is told from a resource's; whatever is in the path, there is a route.
    body["error_code"] != "NOT_FOUND"
        && (body["error"].is_boolean() || body["detail"].is_string() || body["detail"].is_array())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_input_upsets_agrovet() {
    let world = World::start().await;
    sweep::<Agrovet>(&world, "", agrovets, async |n, template| {
        // Ads are for those who sell, categories for staff.
        let ana = world.agrovet("Ana", &format!("5917{n:07}"), "Specialist").await;
        let own = match template {
            path if path.starts_with("/api/media/") => {
                world.call(Method::POST, "/api/media/", &ana.token, json!({ "name": "Toro" })).await.body["id"].clone()
            }
            path if path.starts_with("/api/adds/{id}") => world.offers(&ana, json!({})).await,
            path if path.starts_with("/api/follows/") => {
                world.call(Method::POST, "/api/follows/", &ana.token, json!({ "following": 1 })).await.body["id"]
                    .clone()
            }
            path if path.starts_with("/api/orders/") => {
                let seller = world.agrovet("Eva", &format!("5918{n:07}"), "businessman").await;
                let path = format!("/api/adds/{}/purchase/", world.offers(&seller, json!({})).await);
                world.call(Method::POST, &path, &ana.token, json!({})).await.body["id"].clone()
            }
            path if path.contains("/posts/{id}") => world.post_of(&ana, "Toro").await,
            path if path.contains("/comments/{id}") => {
                world.comment_of(&ana, &world.post_of(&ana, "Toro").await, None).await
            }
            path if path.contains("/reactions/{id}") => {
                let post = world.post_of(&ana, "Toro").await;
                let form = json!({ "type": "like", "content_type": "post", "object_id": post });
                world.call(Method::POST, "/api/foro/reactions/", &ana.token, form).await.body["id"].clone()
            }
            path if path.contains("/communities/{id}") => {
                let form = json!({ "name": format!("toros-{n}"), "slug": format!("toros-{n}") });
                world.call(Method::POST, "/api/foro/communities/", &ana.token, form).await.body["id"].clone()
            }
            path if path.starts_with("/api/chat/rooms/{id}") => world.group_of(&ana, &[]).await,
            path if path.starts_with("/api/chat/messages/{id}") => {
                let room = world.group_of(&ana, &[]).await;
                let form = json!({ "room": room, "content": "Hola" });
                world.call(Method::POST, "/api/chat/messages/", &ana.token, form).await.body["id"].clone()
            }
            path if path.starts_with("/api/categories") => return (world.staff().await.0, "39".to_owned()),
            _ => ana.id,
        };
        (ana.token, own.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_input_upsets_conectar() {
    let world = World::start().await;
    sweep::<Conectar>(&world, "/api/v1", conectars, async |n, _| {
        let ana = world.conectar("Ana", &format!("ana{n}@example.com"), "CLIENTE").await;
        (ana.token, ana.id.as_str().unwrap_or_default().to_owned())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_2_mib_is_too_large_wherever_a_body_is_read() {
    let world = World::start().await;
    let token = world.agrovet("Ana", "59170000001", "consumer").await.token;
    let body = json!({ "phone_number": "x".repeat(2 << 20), "password": PASSWORD });
    for path in ["/api/auth/register/", "/api/auth/login/", "/api/auth/password-reset/request/", "/api/media/"] {
        let answer = world.ask(world.post(path).bearer_auth(&token).json(&body)).await;
        assert_eq!(answer.status, 413, "{path}");
        assert!(agrovets(&answer.body), "{path}: {answer}");
    }
}
