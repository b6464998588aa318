//! Agrovet: people. Lists, reading, changing, removing, pictures.

use reqwest::Method;
use serde_json::{Value, json};

use crate::files::{form, photo};
use crate::story::Story;
use crate::world::{PASSWORD, World};

const NEW: &str = "Lluvia2027verde";

#[tokio::test]
async fn the_list_has_pages_and_a_search() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    for n in 2..=6 {
        world.agrovet(&format!("Beto {n}"), &format!("5917000000{n}"), "consumer").await;
    }
    let mut story = Story::default();
    let list = |query: &'static str| world.read(query, &ana.token);
    story.tell("two of a page", &list("/api/auth/users/?page_size=2&page=2").await);
    story.tell("without a slash", &list("/api/auth/users?page_size=6&search=Beto").await);
    let ids = |answer: &Value| -> Vec<i64> {
        answer["results"].as_array().unwrap().iter().map(|user| user["id"].as_i64().unwrap()).collect()
    };
    let all = list("/api/auth/users/").await.body;
    assert_eq!((all["count"].as_i64(), ids(&all)), (Some(7), vec![1, 2, 3, 4, 5, 6, 7]));
    // As the frontend does: from link to link until there is none.
    let (mut next, mut seen) = (Some(format!("{}/api/auth/users/?page_size=3", world.base)), Vec::new());
    while let Some(url) = next {
        let answer = world.read(url.strip_prefix(&world.base).unwrap(), &ana.token).await;
        seen.extend(ids(&answer.body));
        next = answer.body["next"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(ids(&list("/api/auth/users/?page=last&page_size=3").await.body), [7]);
    assert_eq!(ids(&list("/api/auth/users/?page_size=1000").await.body).len(), 7);
    for (query, found) in [
        ("/api/auth/users/?search=beto,70000003", vec![4]),
        ("/api/auth/users/?search=%22beto%204%22", vec![5]),
        ("/api/auth/users/?search=prueba%20ana", vec![2]),
        ("/api/auth/users/?search=Specialist", vec![2]),
        ("/api/auth/users/?search=nadie", vec![]),
        ("/api/auth/users/?search=%25", vec![]),
    ] {
        assert_eq!(ids(&list(query).await.body), found, "{query}");
    }
    story.tell("past the end", &list("/api/auth/users/?page=3").await);
    story.tell("no number", &list("/api/auth/users/?page=dos").await);
    story.tell("page zero", &list("/api/auth/users/?page=0").await);
    story.tell("without a token", &world.ask(world.get("/api/auth/users/")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn others_are_readable_but_not_to_the_metre() {
    let world = World::start().await;
    let place = json!({ "latitude": "12.1363891", "longitude": "-86.2513891" });
    let ana = world.agrovet("Ana", "59170000001", "Specialist").await;
    let shop = world.agrovet("Agro", "59170000002", "businessman").await;
    let beto = world.agrovet("Beto", "59170000003", "consumer").await;
    for person in [&ana, &shop] {
        let path = format!("/api/auth/users/{}/", person.id);
        assert_eq!(world.call(Method::PATCH, &path, &person.token, place.clone()).await.status, 200);
    }
    let mut story = Story::default();
    story.tell("a foreign person", &world.read("/api/auth/users/2/", &beto.token).await);
    let shop = world.read("/api/auth/users/3/", &beto.token).await;
    assert_eq!((&shop.body["latitude"], &shop.body["longitude"]), (&json!("12.1363891"), &json!("-86.2513891")));
    let own = world.read("/api/auth/users/2/", &ana.token).await;
    assert_eq!(own.body["latitude"], json!("12.1363891"));
    let (staff, _) = world.staff().await;
    assert_eq!(world.read("/api/auth/users/2/", &staff).await.body["latitude"], json!("12.1363891"));
    story.tell("nobody", &world.read("/api/auth/users/999/", &beto.token).await);
    story.tell("no number", &world.read("/api/auth/users/ana/", &beto.token).await);
    story.tell("a number no database has", &world.read("/api/auth/users/99999999999999999999/", &beto.token).await);
    story.tell("without a token", &world.ask(world.get("/api/auth/users/2/")).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn one_changes_oneself_in_part_or_whole() {
    let world = World::start().await;
    // Without a role, and so without a profile that would hold it.
    let ana = world.agrovet("Ana", "+59170000001", "").await;
    let mut story = Story::default();
    let path = "/api/auth/users/2/";
    let patch = |body: Value| world.call(Method::PATCH, path, &ana.token, body);
    let put = |body: Value| world.call(Method::PUT, path, &ana.token, body);

    let place = json!({ "bio": "Mi campo", "latitude": 12.5, "longitude": "-86.25", "full_name": "Ana María" });
    story.tell("PATCH", &patch(place).await);
    // The frontend sends back the whole person it was shown, the picture as a URL and the profiles with it.
    let picture = form("profile_picture", "ana.jpg", photo(1));
    let with_picture = world.ask(world.request(Method::PATCH, path).bearer_auth(&ana.token).multipart(picture)).await;
    story.tell("PATCH with a picture", &with_picture);
    let url = with_picture.body["profile_picture"].clone();
    assert!(url.as_str().is_some_and(|url| url.contains("/uploads/profiles/")), "{url}");
    let mut whole = with_picture.body.clone();
    whole["last_name"] = json!("Paz");
    whole["id"] = json!(1);
    whole["is_active"] = json!(false);
    let answer = patch(whole).await;
    assert_eq!((answer.status, &answer.body["profile_picture"], &answer.body["id"]), (200, &url, &json!(2)));
    assert_eq!((&answer.body["last_name"], &answer.body["is_active"]), (&json!("Paz"), &json!(true)));
    assert_eq!(patch(json!({ "profile_picture": null })).await.body["profile_picture"], url);

    story.tell("PUT without a phone", &put(json!({ "full_name": "Ana" })).await);
    let whole = json!({ "phone_number": "591 70000001", "role": "Specialist", "password": null });
    story.tell("PUT, role and spelling of the phone", &put(whole).await);
    let cleared = json!({ "bio": null, "latitude": null, "longitude": "", "role": null, "full_name": "" });
    story.tell("nulls take away", &patch(cleared).await);
    let form = [("bio", "otra vez"), ("latitude", ""), ("role", "")];
    let urlencoded = world.request(Method::PATCH, path).bearer_auth(&ana.token).form(&form);
    assert_eq!(world.ask(urlencoded).await.body["bio"], json!("otra vez"));

    let wrong = json!({
        "phone_number": "x", "role": "admin", "latitude": "x", "full_name": null, "last_name": "x".repeat(151),
    });
    story.tell("what is wrong", &patch(wrong).await);
    story.tell("a phone that is none", &patch(json!({ "phone_number": "12" })).await);
    world.agrovet("Beto", "59170000002", "consumer").await;
    story.tell("somebody else's phone", &patch(json!({ "phone_number": "+591-70000002" })).await);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_new_password_is_hashed_and_ends_other_sessions() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let credentials = |password: &str| json!({ "phone_number": "59170000001", "password": password });
    let login = |password: &str| world.ask(world.post("/api/auth/login/").json(&credentials(password)));
    let other = login(PASSWORD).await.body["token"].as_str().unwrap().to_owned();
    let patch =
        |password: &str| world.call(Method::PATCH, "/api/auth/users/2/", &ana.token, json!({ "password": password }));
    let mut story = Story::default();
    story.tell("a weak password", &patch("lluvia2027").await);
    assert_eq!(patch(NEW).await.status, 200);
    world.gone(&other).await;
    assert_eq!(world.read("/api/auth/users/me/", &ana.token).await.status, 200);
    assert_eq!((login(PASSWORD).await.status, login(NEW).await.status), (401, 200));
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn nobody_but_staff_touches_somebody_else() {
    let world = World::start().await;
    world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let mut story = Story::default();
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        // Also with a form that is wrong: whose it is comes first.
        let answer = world.call(method.clone(), "/api/auth/users/2/", &beto.token, json!({ "phone_number": 1 })).await;
        assert_eq!(answer.status, 403, "{method}");
        if method == Method::PUT {
            story.tell("somebody else", &answer);
        }
        let nobody = world.call(method.clone(), "/api/auth/users/99/", &beto.token, json!({})).await;
        assert_eq!(nobody.status, 404, "{method}");
        assert_eq!(world.ask(world.request(method.clone(), "/api/auth/users/2/")).await.status, 401, "{method}");
    }
    let (staff, _) = world.staff().await;
    let picture = form("profile_picture", "ana.jpg", photo(1)).text("full_name", "Ana Paz").text("role", "consumer");
    let patch = world.request(Method::PATCH, "/api/auth/users/2/").bearer_auth(&staff).multipart(picture);
    story.tell("staff changes somebody", &world.ask(patch).await);

    let form = json!({ "phone_number": "59170000005", "password": PASSWORD, "full_name": "Eva", "role": "consumer" });
    let create = |token: String| world.ask(world.post("/api/auth/users/").bearer_auth(token).json(&form));
    story.tell("somebody makes an account", &create(beto.token.clone()).await);
    story.tell("staff makes an account", &create(staff.clone()).await);
    story.tell("staff makes it again", &create(staff.clone()).await);
    assert_eq!(world.ask(world.post("/api/auth/users/").json(&form)).await.status, 401);
    let login = world.post("/api/auth/login/").json(&form);
    assert_eq!(world.ask(login).await.status, 200);
    let removed = world.call(Method::DELETE, "/api/auth/users/2/", &staff, json!({})).await;
    assert_eq!((removed.status, removed.text.as_str()), (204, ""));
    assert_eq!(world.read("/api/auth/users/2/", &staff).await.status, 404);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn who_leaves_is_gone_and_the_number_is_free() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let beto = world.agrovet("Beto", "59170000002", "consumer").await;
    let mut story = Story::default();
    let leave = world.request(Method::DELETE, "/api/auth/users/2/").bearer_auth(&ana.token);
    story.tell("leave", &world.ask(leave).await);
    story.tell("the token afterwards", &world.gone(&ana.token).await);
    story.tell("who was there", &world.read("/api/auth/users/2/", &beto.token).await);
    let login = json!({ "phone_number": "59170000001", "password": PASSWORD });
    assert_eq!(world.ask(world.post("/api/auth/login/").json(&login)).await.status, 401);
    assert_eq!(world.read("/api/auth/users/", &beto.token).await.body["count"], json!(2));
    let again = world.agrovet("Ana", "59170000001", "consumer").await;
    assert_ne!(again.id, ana.id);
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn a_picture_of_oneself_under_both_paths_and_names() {
    let world = World::start().await;
    let ana = world.agrovet("Ana", "59170000001", "consumer").await;
    let mut story = Story::default();
    let upload = |path: &'static str, form| world.ask(world.post(path).bearer_auth(&ana.token).multipart(form));
    let path = "/api/auth/upload-profile-picture/";

    let first = upload(path, form("image", "ana.jpg", photo(1))).await;
    story.tell("a picture", &first);
    let former = first.body["user"]["profile_picture"].as_str().unwrap().to_owned();
    let second = upload("/api/profiles/upload-profile-picture/", form("profile_picture", "b.png", photo(2))).await;
    assert_eq!(second.status, 200);
    let present = second.body["user"]["profile_picture"].as_str().unwrap();
    assert_eq!(world.http.get(present).send().await.unwrap().status(), 200);
    // The former picture goes after the change is stored, by a task that runs now and then.
    testkit::within(std::time::Duration::from_secs(60), "the former picture is deleted", async || {
        world.http.get(&former).send().await.is_ok_and(|answer| answer.status() == 404)
    })
    .await;

    story.tell("no file", &upload(path, reqwest::multipart::Form::new().text("x", "y")).await);
    story.tell("text in its place", &upload(path, reqwest::multipart::Form::new().text("image", "y")).await);
    let json = world.post(path).bearer_auth(&ana.token).json(&json!({ "image": "http://x/y.jpg" }));
    story.tell("JSON", &world.ask(json).await);
    story.tell("not an image", &upload(path, form("image", "a.jpg", b"%PDF-1.7 no".to_vec())).await);
    story.tell("an empty file", &upload(path, form("image", "a.jpg", Vec::new())).await);
    let large = [photo(1), vec![0; 5 << 20]].concat();
    story.tell("more than 5 MiB", &upload(path, form("image", "a.jpg", large)).await);
    let nobody = world.post(path).multipart(form("image", "ana.jpg", photo(1)));
    story.tell("without a token", &world.ask(nobody).await);
    assert_eq!(world.read("/api/auth/users/me/", &ana.token).await.body["profile_picture"], json!(present));
    insta::assert_snapshot!(story);
}
