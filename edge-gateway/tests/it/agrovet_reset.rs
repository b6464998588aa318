//! Agrovet: a forgotten password.

use serde_json::{Value, json};

use crate::story::Story;
use crate::world::{PASSWORD, World};

const NEW: &str = "Lluvia2027verde";

#[tokio::test]
async fn a_code_by_sms_opens_the_account_once() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "+59170000001", "consumer").await;
    let mut story = Story::default();
    let post = |path: &str, body: Value| world.ask(world.post(path).bearer_auth("rubbish").json(&body));

    let asked = post("/api/auth/password-reset/request-phone/", json!({ "phone": "591 7000 0001" })).await;
    story.tell("request", &asked);
    let sms = world.sms("+59170000001").await;
    let code = sms.strip_prefix("Tu código de recuperación es ").expect("the original's words").to_owned();
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()), "{code}");

    let verify =
        |code: &str, password: &str| json!({ "phone": "+59170000001", "code": code, "new_password": password });
    let path = "/api/auth/password-reset/verify-phone/";
    story.tell("a weak password", &post(path, verify(&code, "lluvia")).await);
    let wrong = if code == "111111" { "222222" } else { "111111" };
    story.tell("a wrong code", &post(path, verify(wrong, NEW)).await);
    story.tell("the code", &post(path, verify(&code, NEW)).await);
    story.tell("the code again", &post(path, verify(&code, NEW)).await);

    world.gone(&ana.token).await;
    let login = |password: &str| json!({ "phone_number": "59170000001", "password": password });
    assert_eq!(post("/api/auth/login/", login(PASSWORD)).await.status, 401);
    assert_eq!(post("/api/auth/login/", login(NEW)).await.status, 200);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn an_unknown_phone_and_a_known_one_look_alike() {
    let world = World::start().await;
    world.agrovet("Ana", "59170000001", "consumer").await;
    let mut story = Story::default();
    let request = |phone: &str| {
        let form = [("phone", phone.to_owned())];
        world.ask(world.post("/api/auth/password-reset/request/").form(&form))
    };
    let (known, unknown) = (request("59170000001").await, request("59170000009").await);
    assert_eq!((known.status, &known.text), (unknown.status, &unknown.text));
    story.tell("soon again, known", &request("59170000001").await);
    story.tell("soon again, unknown", &request("59170000009").await);
    story.tell("not a phone", &request("mañana").await);
    story.tell("blank", &request("").await);
    let verify = |body: Value| world.ask(world.post("/api/auth/password-reset/verify/").json(&body));
    story.tell("verify nothing", &verify(json!({})).await);
    let unknown = json!({ "phone": "59170000008", "code": "123456", "new_password": NEW });
    story.tell("verify for an unknown phone", &verify(unknown).await);
    let number = json!({ "phone": 59170000001i64, "code": 12, "new_password": NEW });
    story.tell("verify with numbers", &verify(number).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_code_dies_of_five_wrong_tries() {
    let world = World::start().await;
    world.agrovet("Ana", "59170000001", "consumer").await;
    let post = |path: &str, body: Value| world.ask(world.post(path).json(&body));
    assert_eq!(post("/api/auth/password-reset/request/", json!({ "phone": "59170000001" })).await.status, 200);
    let sms = world.sms("59170000001").await;
    let code: u32 = sms.rsplit(' ').next().unwrap().parse().unwrap();
    let verify = |code: u32| {
        let body = json!({ "phone": "59170000001", "code": format!("{code:06}"), "new_password": NEW });
        post("/api/auth/password-reset/verify/", body)
    };
    for n in 1..=5 {
        assert_eq!(verify((code + n) % 1_000_000).await.status, 400);
    }
    let answer = verify(code).await;
    assert_eq!((answer.status, answer.body), (400, json!({ "detail": "Código inválido o expirado." })));
}

#[tokio::test]
async fn every_path_the_frontend_tries_is_served() {
    let world = World::start().await;
    let steps = [("phone", ["request", "request-phone"]), ("code", ["verify", "verify-phone"])];
    for (field, names) in steps {
        for prefix in ["/api/auth/password-reset", "/api/password-reset"] {
            for name in names {
                let answer = world.ask(world.post(&format!("{prefix}/{name}/")).json(&json!({}))).await;
                assert_eq!(answer.status, 400, "{prefix}/{name}");
                assert_eq!(answer.body[field], json!(["Este campo es requerido."]), "{prefix}/{name}");
            }
        }
    }
}
