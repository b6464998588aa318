use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::json;

use crate::platform::{Folder, Platform, plaza};

const PASSWORD: &str = "Toro-bravo-7";
const ALBA: &str = "50588880001";
const BENITO: &str = "50588880002";

/// A `plaza chat` in two pipes.
struct Chat {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Chat {
    fn start(dir: &Path, who: &str, with: &str) -> Self {
        let mut command = plaza(&["chat", "--data-dir", dir.to_str().unwrap(), "--as", who, "--with", with]);
        command.env("PLAZA_PASSWORD", PASSWORD).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let other = send.clone();
        spawn(move || BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        spawn(move || BufReader::new(errors).lines().map_while(Result::ok).try_for_each(|line| other.send(line)));
        Self { input: child.stdin.take(), child, lines, seen: Vec::new() }
    }

    fn write(&mut self, text: &str) {
        writeln!(self.input.as_ref().unwrap(), "{text}").unwrap();
    }

    /// Waits for a line that ends like this, whatever comes before it. What was said before one was connected again is
    /// marked, and who is first after a restart is anybody's guess.
    fn sees(&mut self, end: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        let there = |line: &String| line.strip_suffix(" (missed)").unwrap_or(line).ends_with(end);
        while !self.seen.last().is_some_and(there) {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("`{end}` is not in:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Closes the input; the exit code, and everything that was said.
    fn ends(mut self) -> (Option<i32>, String) {
        self.input = None;
        let code = self.child.wait().unwrap().code();
        self.seen.extend(self.lines.iter());
        (code, self.seen.join("\n"))
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn register(platform: &Platform, phone: &str, name: &str) {
    let form = json!({
        "phone_number": phone, "password": PASSWORD, "role": "consumer", "full_name": name, "last_name": "Ensayo",
    });
    let answer = Client::new().post(platform.url("/api/auth/register/")).json(&form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_chat_in_pipes_and_a_restart_of_the_platform_loses_and_doubles_nothing() {
    let folder = Folder::new("chat");
    let dir = folder.0.join("data");
    let args = ["--data-dir", dir.to_str().unwrap(), "--port", "0", "--no-demo"];
    let mut platform = Platform::start(&folder.0, &args);
    register(&platform, ALBA, "Alba").await;
    register(&platform, BENITO, "Benito").await;

    let mut alba = Chat::start(&dir, ALBA, BENITO);
    alba.sees("Room 1 with Benito Ensayo");
    alba.sees("Benito Ensayo is offline");
    alba.write("¿Hay alguien?");
    alba.sees("Alba Ensayo: ¿Hay alguien? · sent");

    let mut benito = Chat::start(&dir, BENITO, ALBA);
    benito.sees("Alba Ensayo: ¿Hay alguien?");
    benito.sees("Alba Ensayo is online");
    alba.sees("Benito Ensayo has read #1");
    benito.write("Aquí estoy");
    alba.sees("Benito Ensayo: Aquí estoy");

    // What is written while nobody serves waits, and arrives when somebody does.
    platform.signal("TERM");
    assert_eq!(platform.ended(), Some(0), "{}", platform.output());
    for chat in [&mut alba, &mut benito] {
        chat.sees("… the connection is gone; trying again");
    }
    for text in ["uno", "dos", "tres"] {
        benito.write(text);
        benito.sees("… no connection: this waits");
        benito.seen.push(String::new());
    }
    let _platform = Platform::start(&folder.0, &args);
    benito.sees("Benito Ensayo: tres · sent");
    alba.sees("Benito Ensayo: tres");
    alba.write("Todo llegó");
    benito.sees("Alba Ensayo: Todo llegó");

    let (code, said) = benito.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("… connected again"), "{said}");
    let (code, said) = alba.ends();
    assert_eq!(code, Some(0), "{said}");
    let messages: Vec<_> = said.lines().filter(|line| line.starts_with('#')).map(|line| &line[..2]).collect();
    assert_eq!(messages, ["#1", "#2", "#3", "#4", "#5", "#6"], "{said}");

    // Later, what was said before is there, and somebody who is not asked cannot come in.
    let again = Chat::start(&dir, BENITO, ALBA);
    let (code, said) = again.ends();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("#1 ") && said.contains("Alba Ensayo: Todo llegó"), "{said}");
    let stranger = plaza(&["chat", "--data-dir", dir.to_str().unwrap(), "--as", ALBA, "--room", "7"])
        .env("PLAZA_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert_eq!(stranger.status.code(), Some(1));
    let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(said.contains("opening room 7: ") && said.contains("(ROOM_NOT_FOUND)"), "{said}");
}
