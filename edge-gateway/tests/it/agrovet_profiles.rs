//! Agrovet: profiles of the three kinds, made, read, changed and removed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{form, photo};
use crate::story::Story;
use crate::world::{PASSWORD, Person, World};

/// Somebody without a role, and so without a profile.
async fn newcomer(world: &World, name: &str, phone: &str) -> Person {
    world.agrovet(name, phone, "").await
}

fn vet() -> Value {
    json!({ "profession": "Veterinario", "experience_years": 6, "about_us": "Clínica mayor", "can_give_consultations": true })
}

fn shop() -> Value {
    json!({ "business_name": "El Corral", "descriptions": "De todo para el campo", "contact": "+505 8888 7777" })
}

/// A file of somebody's, and its number.
async fn file(world: &World, person: &Person, folder: &str, shade: u8) -> i64 {
    let upload = form("image", "foto.jpg", photo(shade)).text("folder", folder.to_owned());
    let stored = world.ask(world.post("/api/media/").bearer_auth(&person.token).multipart(upload)).await;
    assert_eq!(stored.status, 201, "{stored}");
    stored.body["id"].as_i64().expect("a number")
}

#[tokio::test]
async fn a_profile_is_made_once_and_makes_the_role() {
    let world = World::start().await;
    let ana = newcomer(&world, "Ana", "59170000001").await;
    let shop_owner = newcomer(&world, "Agro", "59170000002").await;
    let luz = newcomer(&world, "", "59170000003").await;
    let mut story = Story::default();
    let post = |path: &'static str, who: &Person, body: Value| {
        let token = who.token.clone();
        let world = &world;
        async move { world.call(Method::POST, path, &token, body).await }
    };

    let mut whole = vet();
    whole["user_id"] = json!(999);
    story.tell("a specialist; another's user_id is ignored", &post("/api/profiles/specialists/", &ana, whole).await);
    story.tell("a business", &post("/api/profiles/businessmen/", &shop_owner, shop()).await);
    story.tell("a consumer without a name", &post("/api/profiles/consumers", &luz, json!({})).await);
    story.tell("twice", &post("/api/profiles/specialists/", &ana, vet()).await);
    story.tell("of another kind", &post("/api/profiles/consumers/", &ana, json!({})).await);
    let eva = newcomer(&world, "Eva", "59170000004").await;
    story.tell("without what it needs", &post("/api/profiles/businessmen/", &eva, json!({})).await);
    let wrong = json!({
        "profession": "Brujo", "experience_years": "muchos", "can_give_consultations": "quizás",
        "work_images_ids": {"a": 1}, "verification_title_id": "x", "about_us": null,
    });
    story.tell("with what is wrong", &post("/api/profiles/specialists/", &eva, wrong).await);
    let files = json!({ "profession": "Agrónomo", "work_images_ids": [77] });
    story.tell("with files that are not there", &post("/api/profiles/specialists/", &eva, files).await);
    story.tell("without a token", &world.ask(world.post("/api/profiles/specialists/").json(&vet())).await);
    let form = world.post("/api/profiles/specialists/").bearer_auth(&eva.token).form(&[("profession", "Zootecnista")]);
    assert_eq!(world.ask(form).await.status, 201);

    for (who, role) in [(&ana, "Specialist"), (&shop_owner, "businessman"), (&luz, "consumer")] {
        let me = world.read(&format!("/api/auth/users/{}/", who.id), &who.token).await;
        assert_eq!(me.body["role"], json!(role), "{me}");
    }
    let locked = world.call(Method::PATCH, "/api/auth/users/2/", &ana.token, json!({ "role": "consumer" })).await;
    story.tell("another role while there is a profile", &locked);
    assert_eq!(
        world.call(Method::PATCH, "/api/auth/users/2/", &ana.token, json!({ "role": "Specialist" })).await.status,
        200
    );
    let removed = world.call(Method::DELETE, "/api/profiles/specialists/2/", &ana.token, json!({})).await;
    assert_eq!(removed.status, 204);
    let free = world.call(Method::PATCH, "/api/auth/users/2/", &ana.token, json!({ "role": "consumer" })).await;
    assert_eq!((free.status, &free.body["role"]), (200, &json!("consumer")));
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn everybody_signed_in_reads_and_nobody_writes_by_reading() {
    let world = World::start().await;
    let ana = newcomer(&world, "Ana", "59170000001").await;
    let beto = newcomer(&world, "Beto", "59170000002").await;
    world.call(Method::POST, "/api/profiles/specialists/", &ana.token, vet()).await;
    let mut story = Story::default();
    for kind in ["specialists", "businessmen", "consumers"] {
        for path in [format!("/api/profiles/{kind}/2/"), format!("/api/profiles/{kind}/by-user/2/")] {
            let found = world.read(&path, &beto.token).await;
            assert_eq!(found.status, if kind == "specialists" { 200 } else { 404 }, "{path}");
            story.tell(&path, &found);
        }
        let own = world.read(&format!("/api/profiles/{kind}/3/"), &beto.token).await;
        assert_eq!((own.status, &own.body), (404, &json!({ "detail": "No encontrado." })), "{kind}");
    }
    story.tell("nobody", &world.read("/api/profiles/specialists/99/", &beto.token).await);
    story.tell("no number", &world.read("/api/profiles/specialists/ana/", &beto.token).await);
    story.tell("without a token", &world.ask(world.get("/api/profiles/specialists/2/")).await);
    story.tell("the root", &world.read("/api/profiles/", &beto.token).await);
    story.tell("the root without a token", &world.ask(world.get("/api/profiles/")).await);
    story.tell("another method", &world.call(Method::PUT, "/api/profiles/specialists/", &beto.token, vet()).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn one_changes_ones_own_and_put_makes_what_is_missing() {
    let world = World::start().await;
    let ana = newcomer(&world, "Ana", "59170000001").await;
    let beto = newcomer(&world, "Beto", "59170000002").await;
    let (staff, _) = world.staff().await;
    let mut story = Story::default();
    let path = "/api/profiles/specialists/2/";
    let of = |method: Method, path: &'static str, token: &str, body: Value| {
        let (world, token) = (&world, token.to_owned());
        async move { world.call(method, path, &token, body).await }
    };

    // As the frontend does it.
    story.tell("PATCH of nothing", &of(Method::PATCH, path, &ana.token, vet()).await);
    story.tell("and then PUT", &of(Method::PUT, path, &ana.token, vet()).await);
    let again = of(Method::PUT, path, &ana.token, vet()).await;
    assert_eq!(again.status, 200);
    story.tell("PUT without what it needs", &of(Method::PUT, path, &ana.token, json!({ "about_us": "x" })).await);
    // The frontend sends back what it was shown.
    let mut whole = again.body.clone();
    whole["about_us"] = json!("Otra cosa");
    whole["user_display"] = json!("Nadie");
    whole["puntuations"] = json!(5.0);
    whole["point"] = json!(500);
    whole["is_verified"] = json!(true);
    whole["verification_status"] = json!("verified_professional");
    story.tell("PATCH with all that was shown", &of(Method::PATCH, path, &ana.token, whole).await);
    let by_user = "/api/profiles/specialists/by-user/2/";
    let years = of(Method::PATCH, by_user, &ana.token, json!({ "experience_years": "7" })).await;
    assert_eq!((years.status, &years.body["experience_years"]), (200, &json!(7)));

    for (method, path) in [
        (Method::PUT, path),
        (Method::PATCH, path),
        (Method::PATCH, by_user),
        (Method::DELETE, path),
        (Method::PUT, "/api/profiles/businessmen/2/"),
        (Method::POST, "/api/profiles/businessmen/2/"),
        (Method::PATCH, "/api/profiles/consumers/2/"),
    ] {
        let answer = of(method.clone(), path, &beto.token, json!({ "profession": "Brujo" })).await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert_eq!(of(method.clone(), path, "rubbish", json!({})).await.status, 401, "{method} {path}");
    }
    story.tell("somebody else's", &of(Method::PATCH, path, &beto.token, vet()).await);
    let by_staff = of(Method::PATCH, path, &staff, json!({ "can_offer_online_services": "yes" })).await;
    assert_eq!((by_staff.status, &by_staff.body["can_offer_online_services"]), (200, &json!(true)));
    assert_eq!(of(Method::PUT, "/api/profiles/consumers/3/", &staff, json!({})).await.status, 404);
    story.tell("PUT of another kind", &of(Method::PUT, "/api/profiles/consumers/2/", &ana.token, json!({})).await);
    story
        .tell("DELETE of another kind", &of(Method::DELETE, "/api/profiles/consumers/2/", &ana.token, json!({})).await);

    let helper = "/api/profiles/businessmen/3/";
    story.tell("POST with an id, without what it needs", &of(Method::POST, helper, &beto.token, json!({})).await);
    story.tell("POST with an id", &of(Method::POST, helper, &beto.token, shop()).await);
    let company = json!({ "business_type": "Empresa Agropecuaria", "offers_local_products": false });
    story.tell("and again", &of(Method::POST, helper, &beto.token, company).await);
    story.tell("DELETE", &of(Method::DELETE, helper, &beto.token, json!({})).await);
    story.tell("DELETE again", &of(Method::DELETE, helper, &beto.token, json!({})).await);
    assert_eq!(of(Method::PUT, "/api/profiles/consumers/3/", &beto.token, json!({})).await.status, 201);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn blanks_empty_no_business() {
    let world = World::start().await;
    let agro = newcomer(&world, "Agro", "59170000001").await;
    let eva = newcomer(&world, "Eva", "59170000002").await;
    let made = world.call(Method::POST, "/api/profiles/businessmen/", &agro.token, shop()).await;
    assert_eq!(made.status, 201, "{made}");
    let of = |method: &Method, path: &'static str, who: &Person, body: &Value| {
        let (world, method, token, body) = (&world, method.clone(), who.token.clone(), body.clone());
        async move { world.call(method, path, &token, body).await }
    };
    let (path, none) = ("/api/profiles/businessmen/2/", "/api/profiles/businessmen/3/");
    let each = |text: &str| json!({ "business_name": text, "descriptions": text, "contact": text });
    let told = |text: &str| json!({ "business_name": [text], "descriptions": [text], "contact": [text] });
    for blank in [each(""), each("  ")] {
        for method in [Method::PUT, Method::POST] {
            for (who, path) in [(&agro, path), (&eva, none)] {
                let refused = of(&method, path, who, &blank).await;
                let fault = told("Este campo no puede estar en blanco.");
                assert_eq!((refused.status, &refused.body), (400, &fault), "{method} {path}");
            }
        }
        // As with a specialist's profession, a PATCH with a blank leaves what is there.
        let left = of(&Method::PATCH, path, &agro, &blank).await;
        assert_eq!((left.status, &left.body), (200, &made.body));
    }
    let one = of(&Method::POST, path, &agro, &json!({ "contact": "" })).await;
    assert_eq!((one.status, one.body), (400, json!({ "contact": ["Este campo no puede estar en blanco."] })));
    assert_eq!(world.read(path, &eva.token).await.body, made.body);

    // A PUT that would make one asks for as much as the POST.
    let put = of(&Method::PUT, none, &eva, &json!({})).await;
    assert_eq!((put.status, put.body), (400, told("Este campo es requerido.")));
    assert_eq!(world.read(none, &agro.token).await.status, 404);
    let put = of(&Method::PUT, none, &eva, &shop()).await;
    assert_eq!((put.status, &put.body["business_name"]), (201, &json!("El Corral")));
}

#[tokio::test]
async fn each_kind_is_read_and_changed_under_both_paths() {
    let world = World::start().await;
    let eva = newcomer(&world, "Eva", "59170000001").await;
    let mut story = Story::default();
    for (kind, phone, whole, part) in [
        ("specialists", "59170000002", vet(), json!({ "about_us": "Clínica menor", "experience_years": 7 })),
        ("businessmen", "59170000003", shop(), json!({ "contact": "Por el portón", "business_name": "La Tranquera" })),
        // Of a consumer there is nothing to change.
        ("consumers", "59170000004", json!({}), json!({})),
    ] {
        let ana = newcomer(&world, "Ana", phone).await;
        let made = world.call(Method::POST, &format!("/api/profiles/{kind}/"), &ana.token, whole.clone()).await;
        assert_eq!(made.status, 201, "{kind}: {made}");
        let [path, by_user] = ["", "by-user/"].map(|by| format!("/api/profiles/{kind}/{by}{}/", ana.id));
        // Of a specialist the owner is shown a little more than others.
        let seen = world.read(&path, &eva.token).await;
        story.tell(kind, &seen);
        let changed = |body: &Value| {
            let mut body = body.clone();
            body.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
            body
        };
        for patched in [&path, &by_user] {
            let answer = world.call(Method::PATCH, patched, &ana.token, part.clone()).await;
            assert_eq!((answer.status, &answer.body), (200, &changed(&made.body)), "{patched}");
            for read in [&path, &by_user] {
                let answer = world.read(read, &eva.token).await;
                assert_eq!((answer.status, &answer.body), (200, &changed(&seen.body)), "{read}");
            }
            let answer = world.call(Method::PUT, &path, &ana.token, whole.clone()).await;
            assert_eq!((answer.status, &answer.body), (200, &made.body), "{path}");
        }
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn lists_have_pages_and_filters() {
    let world = World::start().await;
    let ana = newcomer(&world, "Ana", "59170000001").await;
    let beto = newcomer(&world, "Beto", "59170000002").await;
    let luz = newcomer(&world, "Luz", "59170000003").await;
    let agro = newcomer(&world, "Agro", "59170000004").await;
    world.call(Method::POST, "/api/profiles/specialists/", &ana.token, vet()).await;
    let agronomist = json!({ "profession": "Agrónomo", "about_us": "Suelos y riego" });
    world.call(Method::POST, "/api/profiles/specialists/", &beto.token, agronomist).await;
    world.call(Method::POST, "/api/profiles/consumers/", &luz.token, json!({})).await;
    world.call(Method::POST, "/api/profiles/businessmen/", &agro.token, shop()).await;
    let mut story = Story::default();
    let list = |query: &'static str| world.read(query, &luz.token);
    story.tell("one of a page", &list("/api/profiles/specialists/?page_size=1&page=2").await);
    let ids = |answer: &Value| -> Vec<i64> {
        answer["results"].as_array().unwrap().iter().map(|profile| profile["user_id"].as_i64().unwrap()).collect()
    };
    for (query, found) in [
        ("/api/profiles/specialists/", vec![2, 3]),
        ("/api/profiles/specialists?profession=Agr%C3%B3nomo", vec![3]),
        ("/api/profiles/specialists/?profession=", vec![2, 3]),
        ("/api/profiles/specialists/?object_id=2", vec![2]),
        ("/api/profiles/specialists/?user_id=3&profession=Veterinario", vec![]),
        ("/api/profiles/specialists/?user_id=99", vec![]),
        ("/api/profiles/specialists/?search=CLINICA", vec![2]),
        ("/api/profiles/specialists/?search=beto,riego", vec![3]),
        ("/api/profiles/businessmen/?search=corral", vec![5]),
        ("/api/profiles/businessmen/?business_type=Agroveterinaria", vec![5]),
        ("/api/profiles/businessmen/?business_type=Empresa%20Agropecuaria", vec![]),
        ("/api/profiles/consumers/", vec![4]),
        ("/api/profiles/consumers/?user_id=2", vec![]),
    ] {
        assert_eq!(ids(&list(query).await.body), found, "{query}");
    }
    let others = world.read("/api/profiles/consumers/", &ana.token).await;
    assert_eq!((&others.body["count"], ids(&others.body)), (&json!(0), vec![]));
    let (staff, _) = world.staff().await;
    assert_eq!(ids(&world.read("/api/profiles/consumers/", &staff).await.body), [4]);
    story.tell("a profession that is none", &list("/api/profiles/specialists/?profession=Brujo").await);
    story.tell("past the end", &list("/api/profiles/specialists/?page=9").await);
    story.tell("without a token", &world.ask(world.get("/api/profiles/specialists/")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_registration_makes_the_profile_it_chose() {
    let world = World::start().await;
    let mut story = Story::default();
    let register = |phone: &str, role: &str, more: Value| {
        let mut form = json!({ "phone_number": phone, "password": PASSWORD, "full_name": "Ana", "role": role });
        form.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.ask(world.post("/api/auth/register/").json(&form))
    };
    let chosen = json!({
        "specialist_profile_profession": "Agrónomo", "businessman_profile_business_type": "Empresa Agropecuaria",
    });
    let ana = register("59170000001", "Specialist", chosen.clone()).await;
    story.tell("a specialist", &ana);
    story.tell("a business", &register("59170000002", "businessman", chosen.clone()).await);
    story.tell("a consumer", &register("59170000003", "consumer", chosen).await);
    let wrong = json!({ "specialist_profile_profession": "Brujo" });
    let dropped = register("59170000004", "Specialist", wrong).await;
    assert_eq!((dropped.status, &dropped.body["user"]["specialist_profile"]["profession"]), (201, &json!("")));
    let none = register("59170000005", "", json!({})).await;
    assert_eq!(none.status, 201);
    for kind in ["specialist", "businessman", "consumer"] {
        assert_eq!(none.body["user"][format!("{kind}_profile")], Value::Null);
    }

    let token = ana.body["token"].as_str().unwrap().to_owned();
    let own = ana.body["user"]["specialist_profile"].clone();
    for path in ["/api/auth/users/me/", "/api/auth/users/2/"] {
        assert_eq!(world.read(path, &token).await.body["specialist_profile"], own, "{path}");
    }
    let login = json!({ "phone_number": "59170000001", "password": PASSWORD });
    let login = world.ask(world.post("/api/auth/login/").json(&login)).await;
    assert_eq!(login.body["user"]["specialist_profile"], own);
    let all = world.read("/api/auth/users/?page_size=10", &token).await;
    let professions: Vec<_> =
        all.body["results"].as_array().unwrap().iter().map(|user| &user["specialist_profile"]["profession"]).collect();
    assert_eq!(professions, [&Value::Null, &json!("Agrónomo"), &Value::Null, &Value::Null, &json!(""), &Value::Null]);

    let (staff, _) = world.staff().await;
    let by_staff = json!({
        "phone_number": "59170000006", "password": PASSWORD, "role": "Specialist",
        "specialist_profile_profession": "Zootecnista",
    });
    assert_eq!(world.call(Method::POST, "/api/auth/users/", &staff, by_staff).await.status, 201);
    let made = world.read("/api/profiles/specialists/7/", &token).await;
    assert_eq!(made.body["profession"], json!("Zootecnista"));
    assert_eq!(world.call(Method::DELETE, "/api/auth/users/7/", &staff, json!({})).await.status, 204);
    testkit::eventually("the profile goes with the account", async || {
        world.read("/api/profiles/specialists/?profession=Zootecnista", &token).await.body["count"] == json!(0)
    })
    .await;
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn galleries_keep_their_order_and_take_only_ones_own() {
    let world = World::start().await;
    let ana = newcomer(&world, "Ana", "59170000001").await;
    let beto = newcomer(&world, "Beto", "59170000002").await;
    world.call(Method::POST, "/api/profiles/specialists/", &ana.token, vet()).await;
    world.call(Method::POST, "/api/profiles/businessmen/", &beto.token, shop()).await;
    let (one, two) = (file(&world, &ana, "portfolio", 1).await, file(&world, &ana, "portfolio", 2).await);
    let (product, other) = (file(&world, &beto, "products", 3).await, file(&world, &beto, "products", 4).await);
    let mut story = Story::default();
    let of_ana = |ids: Value| {
        world.call(Method::PATCH, "/api/profiles/specialists/2/", &ana.token, json!({ "work_images_ids": ids }))
    };
    let of_beto = |ids: Value| {
        let body = json!({ "products_and_services_ids": ids });
        world.call(Method::PATCH, "/api/profiles/businessmen/3/", &beto.token, body)
    };
    story.tell("work images", &of_ana(json!([two, null, one])).await);
    assert_eq!(of_ana(json!(one.to_string())).await.body["work_images_ids"], json!([one]), "a single one is wrapped");
    assert_eq!(of_ana(json!([two, one, two])).await.body["work_images_ids"], json!([two, one]));
    story.tell("products", &of_beto(json!([other, product])).await);
    story.tell("one that is not there", &of_ana(json!([one, 999])).await);
    story.tell("somebody else's", &of_ana(json!([product])).await);
    story.tell("too many", &of_ana(json!((0..51).collect::<Vec<_>>())).await);
    story.tell("no list", &of_ana(json!([["x"], {}])).await);
    assert_eq!(
        world.read("/api/profiles/specialists/2/", &beto.token).await.body["work_images_ids"],
        json!([two, one])
    );

    let path = format!("/api/media/{two}/");
    assert_eq!(world.call(Method::DELETE, &path, &ana.token, json!({})).await.status, 204);
    let gallery = async || world.read("/api/profiles/specialists/2/", &beto.token).await;
    assert_eq!(gallery().await.body["work_images_ids"], json!([one]), "what is gone is not shown");
    assert_eq!(of_ana(json!([])).await.body["work_images_full"], json!([]));
    insta::assert_snapshot!(story);
}
