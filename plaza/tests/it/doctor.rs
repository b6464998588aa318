use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use crate::platform::{Folder, said};

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let folder = Folder::new("doctor");
    let dir = folder.0.join("data");
    fs::create_dir_all(&dir).unwrap();
    // Data of a PostgreSQL long gone, and a secret that was lost.
    fs::create_dir_all(dir.join("postgres")).unwrap();
    fs::write(dir.join("postgres/PG_VERSION"), "9\n").unwrap();
    fs::write(dir.join("state.json"), r#"{"ports":{},"secret":"0123456789abcdef"}"#).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dir = dir.to_str().unwrap();

    let (code, text) = said(&["doctor", "--data-dir", dir, "--port", &port, "--redis-url", "redis://127.0.0.1:1"]);
    assert_eq!(code, Some(1), "{text}");
    for words in [
        "was made by PostgreSQL 9, which is not installed any more: apt install postgresql-9",
        "restore this file from a backup",
        &format!("port {port} is used by it-"),
        "does Redis run there, and are host, port and password right?",
        "4 things are wrong.",
    ] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }

    let nowhere = "postgres://nobody:none@127.0.0.1:1/postgres";
    let (code, json) = said(&["doctor", "--data-dir", dir, "--port", "0", "--database-url", nowhere, "--json"]);
    assert_eq!(code, Some(1));
    let findings: Value = serde_json::from_str(&json).unwrap();
    let database = findings.as_array().unwrap().iter().find(|finding| finding["what"] == "database").unwrap();
    assert_eq!(database["health"], "wrong");
    assert_eq!(database["advice"], "does PostgreSQL run on 127.0.0.1:1, and may this machine connect to it?");
}

#[test]
fn the_doctor_is_content_with_this_machine() {
    let (code, text) = said(&["doctor", "--ephemeral"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Nothing is wrong."), "{text}");
}
