//! The monolith's accounts and profiles, from its dump to what people see.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::objects::{account, lines, object, profile, user};
use super::world::{PASSWORD, World};

/// What was told on standard output: the table of what became of everything.
pub(super) fn table(said: &str) -> String {
    said.lines().take_while(|line| !line.starts_with("  ✓")).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The line of a kind: how many were imported, there, and left out.
pub(super) fn counts(said: &str, kind: &str) -> Vec<i64> {
    let line =
        said.lines().find(|line| line.trim_start().starts_with(kind)).unwrap_or_else(|| panic!("{kind}: {said}"));
    line.split_whitespace().skip(1).map(|count| count.parse().unwrap()).collect()
}

#[tokio::test]
async fn accounts_come_with_their_passwords_and_are_known_again() {
    let world = World::start("import-accounts");
    let ana = world.person("Ana", "50570000001").await;
    let luis = world.register("Luis", "50570000002", None).await;
    let staff = json!({ "is_staff": true });
    let dump = [
        // Here already, by the same phone and by one that lacks the country's digits.
        account(ana.number, "+505 7000-0001", json!({ "role": "Specialist", "full_name": "Otra" })),
        account(luis.number, "70000002", json!({})),
        account(
            501,
            "+505 (8888) 77.77",
            json!({
                "role": "Specialist", "full_name": "Rosa", "last_name": "Mejía", "bio": "Clínica mayor",
                "latitude": "12.1363890", "longitude": "-86.2513890", "date_joined": "2024-01-02T03:04:05.678Z",
                "last_login": "2024-05-06T07:08:09Z", "profile_picture": "https://cdn.example/rosa.jpg",
            }),
        ),
        account(502, "50588880002", json!({ "role": "businessman", "password": PASSWORD, "latitude": "95.0" })),
        account(503, "50588880003", json!({ "role": "consumer", "is_active": false })),
        account(504, "12", json!({})),
        account(506, "50588887777", json!({})),
        account(507, "50570000001", json!({})),
        account(508, "50588880008", staff),
        account(509, "50588880009", json!({ "role": "Jefe" })),
    ];
    let file = world.dump("accounts.jsonl", &lines(&dump));
    world.settled().await;
    let empty = world.state().await;
    let told = "select count(*) from outbox where type like 'user.%'";
    let mut auth = world.database("auth").await;
    let before: i64 = sqlx::query_scalar(told).fetch_one(&mut auth).await.unwrap();

    let (code, checked) = world.import(&file, &["--dry-run"]);
    assert_eq!(code, Some(1), "{checked}");
    assert_eq!(world.state().await, empty);
    let (code, said) = world.import(&file, &[]);
    assert_eq!(code, Some(1), "there are conflicts: {said}");
    assert!(table(&checked).starts_with(&table(&said)), "{checked}\n{said}");
    assert_eq!((counts(&said, "accounts"), counts(&said, "people")), (vec![5, 2, 3], vec![5, 2, 3]), "{said}");
    for told in [
        "1  without a valid phone",
        "1 accounts have no usable password",
        "1 accounts have a role that is none here",
        "1 people are nowhere on the map",
        "1 people have no picture",
        "2 in conflict",
        "account 506 of the dump has the phone of account 501",
        &format!("account 507 of the dump has the phone of user {} here", ana.number),
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert_eq!(sqlx::query_scalar::<_, i64>(told).fetch_one(&mut auth).await.unwrap(), before, "nobody is told");
    let imported = world.state().await;
    world.import(&file, &[]);
    assert_eq!(world.state().await, imported);
    // As if it had been killed between the accounts and their people.
    let mut users = world.database("users").await;
    sqlx::query("delete from people where number in (501, 502)").execute(&mut users).await.unwrap();
    let (_, said) = world.import(&file, &[]);
    assert_eq!((counts(&said, "accounts"), counts(&said, "people")), (vec![0, 7, 3], vec![2, 5, 3]), "{said}");
    let people = |state: &[(String, i64, Option<String>)]| -> Vec<_> {
        state.iter().filter(|(table, ..)| table == "users.people").cloned().collect()
    };
    assert_eq!(people(&world.state().await), people(&imported));

    // As ever, and then by a hash of our own.
    for _ in 0..2 {
        let rosa = world.login("50588887777").await;
        let me = world.read("/api/auth/users/me/", &rosa).await;
        for (key, value) in [
            ("id", json!(501)),
            ("full_name", json!("Rosa")),
            ("last_name", json!("Mejía")),
            ("bio", json!("Clínica mayor")),
            ("phone_number", json!("+50588887777")),
            ("role", json!("Specialist")),
            ("latitude", json!("12.1363890")),
            ("date_joined", json!("2024-01-02T03:04:05.678000Z")),
            ("profile_picture", Value::Null),
        ] {
            assert_eq!(me[key], value, "{key}: {me}");
        }
    }
    let refused = (StatusCode::UNAUTHORIZED, json!({ "error": "Credenciales inválidas" }));
    assert_eq!(world.try_login("+505 8888 7777", "Toro-bravo-8").await, refused);
    // What was stored in clear is no password, whoever read it; banned; left out.
    assert_eq!(world.try_login("50588880002", PASSWORD).await, refused);
    assert_eq!(world.try_login("50588880003", PASSWORD).await, refused);
    let ana_again = world.login("50570000001").await;
    let me = world.read("/api/auth/users/me/", &ana_again).await;
    assert_eq!((&me["id"], &me["full_name"], &me["role"]), (&json!(ana.number), &json!("Ana"), &json!("consumer")));
    let other = world.read("/api/auth/users/502/", &ana.token).await;
    assert_eq!((&other["latitude"], &other["is_active"]), (&Value::Null, &json!(true)), "{other}");
    let banned = world.read("/api/auth/users/503/", &ana.token).await;
    assert_eq!(banned["is_active"], false, "{banned}");
    let staff = world.login("50588880008").await;
    assert_eq!(world.read("/api/profiles/verifications/", &staff).await["count"], 0);
    let nobody = world.login("50588880009").await;
    assert_eq!(world.read("/api/auth/users/me/", &nobody).await["role"], Value::Null);

    // Who comes now gets a number behind all of the dump's.
    assert_eq!(world.register("Eva", "50570000003", None).await.number, 510);

    // Somebody else's number is nobody's to take, unless one is sure.
    let stranger = account(ana.number, "50579999999", json!({}));
    let file = world.dump("stranger.jsonl", &lines(&[stranger]));
    let (code, said) = world.import(&file, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("another phone than those with their numbers in the dump ({})", ana.number)),
        "{said}"
    );
    let (code, said) = world.import(&file, &["--trust-numbers"]);
    assert_eq!((code, counts(&said, "accounts")), (Some(0), vec![0, 1, 0]), "{said}");
    assert_eq!(world.read("/api/auth/users/me/", &ana.token).await["phone_number"], "50570000001");

    // Who deleted the account here does not come back by an import.
    world.delete(&format!("/api/auth/users/{}/", luis.number), &luis.token).await;
    let (code, said) = world.import(&world.dump("deleted.jsonl", &lines(&[user(&luis)])), &[]);
    assert_eq!((code, counts(&said, "accounts")), (Some(0), vec![0, 0, 1]), "{said}");
    assert!(said.contains("deleted here"), "{said}");
}

#[tokio::test]
async fn a_person_gets_one_profile_with_the_files_that_are_here() {
    let world = World::start("import-profiles");
    let ana = world.person("Ana", "50570000001").await;
    let luis = world.register("Luis", "50570000002", None).await;
    let (picture, second) = (world.picture(&ana.token).await, world.picture(&ana.token).await);
    let work = world.picture(&luis.token).await;
    world.bring(601, &[picture, second]).await;
    let (title, foreign) =
        (world.file(&luis.token, "verification").await, world.file(&ana.token, "verification").await);
    let (a, l) = (ana.number, luis.number);
    let specialist = json!({
        "profession": "AGRONOMO", "experience_years": 6, "about_us": "Café y cacao", "puntuations": 4.5, "point": 9,
        "can_give_consultations": true, "can_offer_online_services": false,
    });
    let business = json!({
        "business_type": "Empresa Agropecuaria", "business_name": "La Vaca", "descriptions": "d", "contact": "c",
        "offers_local_products": false, "products_and_services_ids": [second, picture, second, 99_999, title],
    });
    // The microservices': with a number of its own.
    let of_luis = json!({
        "user_id": l, "profession": "Apicultor", "work_images_ids": format!("[{picture}, {work}]"),
        "verification_title_id": title, "verification_student_card_id": foreign, "verification_graduation_letter_id": picture,
    });
    let dump = [
        user(&ana),
        user(&luis),
        account(601, "50588880001", json!({ "role": "businessman", "full_name": "Rosa" })),
        account(602, "50588880002", json!({ "full_name": "Eva" })),
        account(603, "12", json!({ "role": "consumer" })),
        profile("specialist", a, specialist.clone()),
        object("profiles.specialistprofile", 4, of_luis),
        // The role decides.
        profile("specialist", 601, specialist.clone()),
        profile("businessman", 601, business),
        // The later of one kind, of an unknown type.
        profile("businessman", 604, json!({ "business_name": "Antes" })),
        profile("businessman", 604, json!({ "business_type": "Feria", "descriptions": "x".repeat(5_001) })),
        account(604, "50588880004", json!({ "role": "businessman" })),
        // Without one the first kind.
        profile("consumer", 602, json!({})),
        profile("specialist", 602, specialist),
        profile("consumer", 603, json!({})),
    ];
    let file = world.dump("profiles.jsonl", &lines(&dump));
    world.settled().await;
    let empty = world.state().await;
    let (code, checked) = world.import(&file, &["--dry-run"]);
    assert_eq!(code, Some(0), "{checked}");
    assert_eq!(world.state().await, empty);
    let (code, said) = world.import(&file, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(table(&checked).starts_with(&table(&said)), "{checked}\n{said}");
    assert_eq!(counts(&said, "profiles"), [4, 1, 4], "{said}");
    for told in [
        "1  twice in the dump",
        "1 businesses are of a type that is none here",
        "1 profiles said more",
        "2  of a person with another",
        "1  whose person has no account here",
        "1 specialists wrote a profession that is none here",
        "3 files of galleries are missing here or somebody else's",
        "2 documents are missing here",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    // A role that is new brings another community, and ends sessions.
    world.settled().await;
    world.joined(l, 2).await;
    world.joined(602, 2).await;
    let luis = world.login("50570000002").await;
    let imported = world.state().await;
    let outbox = |state: &[(String, i64, Option<String>)]| -> Vec<_> {
        state.iter().filter(|(table, ..)| table == "profiles.outbox").cloned().collect()
    };
    assert_eq!(outbox(&imported), outbox(&empty), "nobody is told of history");
    let (code, said) = world.import(&file, &[]);
    assert_eq!((code, counts(&said, "profiles")), (Some(0), vec![0, 5, 4]), "{said}");
    assert_eq!(world.state().await, imported);

    let kept = world.try_read(&format!("/api/profiles/specialists/by-user/{a}/"), &ana.token).await;
    assert_eq!(kept.0, StatusCode::NOT_FOUND, "ana is a consumer here: {}", kept.1);
    let own = world.read(&format!("/api/profiles/specialists/by-user/{l}/"), &luis).await;
    for (key, value) in [
        ("user_display", json!("Luis")),
        ("profession", json!("")),
        // The other is somebody else's here.
        ("work_images_ids", json!([work])),
        ("verification_title_id", json!(title)),
        ("verification_student_card_id", Value::Null),
        ("verification_graduation_letter_id", Value::Null),
        ("is_verified", json!(false)),
    ] {
        assert_eq!(own[key], value, "{key}: {own}");
    }
    assert_eq!((&own["verification"]["state"], &own["verification"]["submission"]), (&json!("pending"), &json!(1)));
    let shop = world.read("/api/profiles/businessmen/by-user/601/", &ana.token).await;
    for (key, value) in [
        ("user_display", json!("Rosa")),
        ("business_type", json!("Empresa Agropecuaria")),
        ("business_name", json!("La Vaca")),
        ("offers_local_products", json!(false)),
        ("products_and_services_ids", json!([second, picture])),
    ] {
        assert_eq!(shop[key], value, "{key}: {shop}");
    }
    let fair = world.read("/api/profiles/businessmen/by-user/604/", &ana.token).await;
    assert_eq!((&fair["business_type"], &fair["business_name"]), (&json!("Agroveterinaria"), &json!("")), "{fair}");
    assert_eq!(fair["descriptions"].as_str().unwrap().len(), 5_000);
    // The profile is the role's, as of everybody; stars that nobody gave are none.
    let eva = world.login("50588880002").await;
    let me = world.read("/api/auth/users/me/", &eva).await;
    let told = &me["specialist_profile"];
    assert_eq!(
        (&me["role"], &told["profession"], &told["experience_years"]),
        (&json!("Specialist"), &json!("Agrónomo"), &json!(6))
    );
    assert_eq!((&told["point"], &told["puntuations"]), (&json!(0), &json!(0.0)), "{told}");
    let found = world.read("/api/profiles/businessmen/?search=rosa", &ana.token).await;
    assert_eq!(found["count"], 1, "{found}");

    // What somebody removed here does not come back.
    world.delete("/api/profiles/specialists/602/", &eva).await;
    let (code, said) = world.import(&file, &[]);
    assert_eq!((code, counts(&said, "profiles")), (Some(0), vec![0, 4, 5]), "{said}");
    assert!(said.contains("removed here"), "{said}");
}
