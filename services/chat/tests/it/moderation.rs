//! Contact details in rooms where they may not be told.

use std::collections::HashSet;
use std::time::Duration;

use chat::Chat;
use chat::moderation::{CENSORED, Settings};
use kit::Peer;
use proto::chat::v1::moderation_service_client::ModerationServiceClient;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::*;
use proto::events::v1::UserDeleted;
use serde_json::{Value, json};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{Somebody, World, closing, key, refused};

/// Tokens of before have expired then.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const PHONE: &str = "mi cel es 11 5550 0142";

impl Somebody {
    fn moderation(&self) -> ModerationServiceClient<Peer> {
        ModerationServiceClient::new(self.peer.clone())
    }

    pub(crate) async fn deal(&self, other: &Somebody) -> Room {
        self.job(other, "").await
    }

    /// Their deal about something.
    pub(crate) async fn job(&self, other: &Somebody, subject: &str) -> Room {
        let (kind, users) = (RoomKind::Deal.into(), vec![other.key()]);
        let request = OpenPairRequest { kind, users, subject: subject.into(), ..Default::default() };
        self.rooms().open_pair(request).await.unwrap().into_inner().room.unwrap()
    }

    pub(crate) async fn say(&self, room: &Room, text: &str) -> Result<Message, Status> {
        let draft = Draft { text: text.into(), ..Draft::default() };
        Ok(self.try_send(room, draft).await?.message.unwrap())
    }

    /// Infractions, and whether they are banned.
    pub(crate) async fn standing(&self) -> (i32, bool) {
        let standing = self.moderation().get_standing(GetStandingRequest::default()).await.unwrap().into_inner();
        assert_eq!(standing.banned, standing.banned_until.is_some());
        (standing.infractions, standing.banned)
    }

    async fn review(&self, message: &Message, verdict: Verdict) -> Result<Standing, Status> {
        let request =
            ReviewMessageRequest { message_id: message.id.clone(), verdict: verdict.into(), reason: "lo leí".into() };
        Ok(self.moderation().review_message(request).await?.into_inner().standing.unwrap())
    }

    async fn infractions(&self, request: ListInfractionsRequest) -> ListInfractionsResponse {
        self.moderation().list_infractions(request).await.unwrap().into_inner()
    }
}

impl World {
    /// One replica that moderates rooms of these kinds, and bans for so many days.
    async fn moderating(rooms: &[&str], ban_days: u16) -> Self {
        let mut world = Self::start().await;
        let settings = Settings { moderated_rooms: rooms.iter().map(|&kind| kind.to_owned()).collect(), ban_days };
        // In the place of the one with the usual settings, whom nobody has called yet.
        world.chat = Chat::start(&world.harness.service, "off".parse().unwrap(), settings);
        world.harness.serve(world.chat.routes());
        world
    }

    pub(crate) async fn dealers(&self) -> (Somebody, Somebody, Room) {
        let (ana, ben) = (self.person(1), self.person(2));
        let room = ana.deal(&ben).await;
        self.published().await;
        (ana, ben, room)
    }

    async fn report(&self, user: Uuid, external_id: &str) -> Result<Standing, Status> {
        let request = ReportInfractionRequest {
            user_id: user.to_string(),
            reason: "phone:true".into(),
            external_id: external_id.into(),
        };
        let mut edge = ModerationServiceClient::new(self.harness.as_peer("edge-gateway"));
        Ok(edge.report_infraction(request).await?.into_inner())
    }

    /// What was told of standings since the last call.
    async fn moderated(&self) -> Vec<Value> {
        let told = self.published().await.into_iter().filter(|(kind, ..)| kind == "chat.moderado");
        told.map(|(_, key, data)| {
            assert_eq!(key, data["user_id"]);
            data
        })
        .collect()
    }
}

#[tokio::test]
async fn contact_details_are_censored_where_they_may_not_be_told() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let mut line = ben.connect(&room).await;
    let sent = ana.say(&room, PHONE).await.unwrap();
    assert_eq!((sent.text.as_str(), sent.censored), (CENSORED, true));
    assert_eq!(line.message().await, sent, "the other hears the same");
    assert_eq!(ben.history(&room).await[0].text, CENSORED);
    assert_eq!(ana.standing().await, (1, false));
    let told = json!({
        "chat_id": room.id, "message_id": sent.id, "user_id": ana.id, "razones": ["PHONE"], "infracciones": 1,
        "baneado": false, "version": 1,
    });
    assert_eq!(world.moderated().await, [told]);
    let admin = world.admin();
    assert_eq!(admin.versions(&sent).await.unwrap(), [(PHONE.into(), "CENSORED".into())]);
    let noted = &admin.infractions(ListInfractionsRequest::default()).await.infractions[0];
    assert_eq!((&noted.message_id, &*noted.text, &noted.reasons[..]), (&sent.id, PHONE, &["PHONE".to_owned()][..]));
    assert_eq!((noted.message_number, noted.verdict()), (sent.number, Verdict::Pending));

    let harmless = ana.say(&room, "sale $ 15.000 con materiales").await.unwrap();
    assert!(!harmless.censored);
    let elsewhere = ana.open_pair(&ben).await;
    assert_eq!(ana.say(&elsewhere, PHONE).await.unwrap().text, PHONE, "elsewhere they may");
    assert_eq!((ana.standing().await, ben.standing().await), ((1, false), (0, false)));
}

#[tokio::test]
async fn an_edit_is_read_like_a_message_and_one_message_is_one_infraction() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let sent = ana.say(&room, "hola").await.unwrap();
    let mut line = ben.connect(&room).await;
    for _ in 0..2 {
        let edited = ana.edit(&sent, PHONE).await.unwrap();
        assert_eq!((edited.text.as_str(), edited.censored), (CENSORED, true));
        assert_eq!(edited.change, 2, "a repeat changes nothing");
    }
    let changed = line.find(|frame| if let Frame::Changed(message) = frame { Some(message) } else { None }).await;
    assert_eq!(changed.text, CENSORED);
    ana.edit(&sent, "o a ana@example.com").await.unwrap();
    assert_eq!(ana.standing().await, (1, false));
    let clean = ana.edit(&sent, "mejor por acá").await.unwrap();
    assert_eq!((clean.text.as_str(), clean.censored), ("mejor por acá", false));
    assert_eq!(ana.standing().await, (1, false), "it was told all the same");
    let causes: Vec<_> = world.admin().versions(&sent).await.unwrap().into_iter().map(|(_, cause)| cause).collect();
    assert_eq!(causes, ["EDITED", "CENSORED", "EDITED", "CENSORED", "EDITED"]);
}

#[tokio::test]
async fn the_third_infraction_closes_deals_for_a_week_and_nothing_else() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let first = ana.say(&room, "hola").await.unwrap();
    for count in 1..=3 {
        ana.say(&room, PHONE).await.unwrap();
        assert_eq!(ana.standing().await, (count, count == 3));
    }
    assert_eq!(refused(ana.say(&room, "hola").await), (Code::PermissionDenied, "CHAT_BANNED".into()));
    assert_eq!(refused(ana.edit(&first, "chau").await), (Code::PermissionDenied, "CHAT_BANNED".into()));
    let new = |subject: &str| OpenPairRequest {
        kind: RoomKind::Deal.into(),
        users: vec![ben.key()],
        subject: subject.into(),
        ..OpenPairRequest::default()
    };
    assert_eq!(refused(ana.rooms().open_pair(new("otra")).await), (Code::PermissionDenied, "CHAT_BANNED".into()));
    assert_eq!(ana.deal(&ben).await.id, room.id, "the one that there is");
    assert_eq!(ben.say(&room, "¿estás?").await.unwrap().text, "¿estás?");
    assert_eq!(ana.history(&room).await.len(), 5, "they may read");
    let elsewhere = ana.open_pair(&ben).await;
    ana.say(&elsewhere, "hola").await.unwrap();
    let told = world.moderated().await;
    assert_eq!(told.len(), 3);
    assert_eq!(
        (&told[2]["infracciones"], &told[2]["baneado"], &told[2]["version"]),
        (&json!(3), &json!(true), &json!(3))
    );

    // It ends by itself, also for those who only look.
    world.harness.clock.advance(7 * DAY - Duration::from_secs(1));
    let ana = world.person(1);
    assert_eq!(ana.standing().await, (3, true));
    world.chat.end_bans().await.unwrap();
    assert_eq!(world.moderated().await, Vec::<Value>::new());
    world.harness.clock.advance(Duration::from_secs(1));
    assert_eq!(ana.standing().await, (0, false));
    for _ in 0..2 {
        world.chat.end_bans().await.unwrap();
    }
    let told = world.moderated().await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["infracciones"], &told[0]["baneado"], &told[0]["version"]),
        (&json!(0), &json!(false), &json!(4))
    );
    ana.say(&room, PHONE).await.unwrap();
    assert_eq!(ana.standing().await, (1, false), "counting begins anew");
}

#[tokio::test]
async fn what_was_condemned_is_not_shown_again_in_other_words() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let admin = world.admin();
    let sent = ana.say(&room, "una grosería").await.unwrap();
    admin.review(&sent, Verdict::Blocked).await.unwrap();
    let edited = ana.edit(&sent, "una grosería!").await.unwrap();
    assert_eq!((edited.text.as_str(), edited.censored), (CENSORED, true));
    assert_eq!(ben.history(&room).await[0].text, CENSORED);
    admin.review(&sent, Verdict::Approved).await.unwrap();
    assert_eq!(ana.edit(&sent, "perdón").await.unwrap().text, "perdón");
}

#[tokio::test]
async fn what_a_deal_is_about_tells_no_contact_details() {
    let world = World::start().await;
    let (ana, ben, _) = world.dealers().await;
    let open = async |subject: &str| {
        let users = vec![ben.key()];
        let request =
            OpenPairRequest { kind: RoomKind::Deal.into(), users, subject: subject.into(), ..Default::default() };
        ana.rooms().open_pair(request).await
    };
    assert_eq!(refused(open("llamame al 11 5555 0142").await.map(drop)).0, Code::InvalidArgument);
    for fine in ["pintura", "11555501-4211-4555-8014-211555501421"] {
        assert_eq!(open(fine).await.unwrap().into_inner().room.unwrap().subject, fine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_closes_the_streams_on_deals_wherever_they_are() {
    let mut world = World::with_redis().await;
    let (ana, ben, room) = world.dealers().await;
    let _process = world.process("chat-2").await;
    let there = world.at("chat-2", &ana);
    let pair = ana.open_pair(&ben).await;
    let (mut here, mut deal, mut at_ben) =
        (ana.connect(&room).await, there.connect(&room).await, ben.connect(&room).await);
    let (mut elsewhere, mut inbox) = (there.connect(&pair).await, there.inbox(true).await);
    for n in 1..=3 {
        ana.say(&room, PHONE).await.unwrap();
        assert_eq!((here.message().await.sequence, deal.message().await.sequence), (n, n), "also the last one");
    }
    assert_eq!((here.find(closing).await, deal.find(closing).await), (ClosingReason::Banned, ClosingReason::Banned));
    let open = || Open { room: Some(key(&room)), ..Open::default() };
    assert_eq!(refused(ana.try_connect(open()).await.map(drop)), (Code::PermissionDenied, "CHAT_BANNED".into()));
    ben.say(&room, "¿estás?").await.unwrap();
    assert_eq!(at_ben.find(|frame| matches!(frame, Frame::Message(m) if m.sequence == 4).then_some(())).await, ());
    ben.send(&pair, "acá sí").await;
    assert_eq!(elsewhere.message().await.text, "acá sí");
    inbox.find(|frame| matches!(frame, Frame::Message(m) if m.text == "acá sí").then_some(())).await;

    // Without Redis other replicas learn of it when they compare their rooms.
    let (carla, dora) = (world.person(3), world.person(4));
    let room = carla.deal(&dora).await;
    let mut deal = world.at("chat-2", &carla).connect(&room).await;
    world.redis.as_mut().unwrap().kill().await;
    for _ in 0..3 {
        carla.say(&room, PHONE).await.unwrap();
    }
    assert_eq!(deal.find(closing).await, ClosingReason::Banned);
}

#[tokio::test]
async fn who_writes_before_anybody_noticed_that_the_ban_ended_begins_anew_too() {
    let world = World::start().await;
    let (ana, _, room) = world.dealers().await;
    for _ in 0..3 {
        ana.say(&room, PHONE).await.unwrap();
    }
    world.harness.clock.advance(7 * DAY);
    let ana = world.person(1);
    ana.say(&room, PHONE).await.unwrap();
    assert_eq!(ana.standing().await, (1, false));
    let told = world.moderated().await;
    let counts: Vec<_> = told
        .iter()
        .map(|told| (&told["infracciones"], &told["version"]))
        .map(|(c, v)| (c.as_i64(), v.as_i64()))
        .collect();
    assert_eq!(counts, [(1, 1), (2, 2), (3, 3), (0, 4), (1, 5)].map(|(c, v)| (Some(c), Some(v))));
}

#[tokio::test]
async fn other_channels_count_too_and_their_repeats_do_not() {
    let world = World::start().await;
    let (ana, _, room) = world.dealers().await;
    for _ in 0..2 {
        assert_eq!(world.report(ana.id, "firebase:1").await.unwrap().infractions, 1);
    }
    ana.say(&room, PHONE).await.unwrap();
    let third = world.report(ana.id, "").await.unwrap();
    assert_eq!((third.infractions, third.banned, third.newly_banned), (3, true, true));
    let fourth = world.report(ana.id, "").await.unwrap();
    assert_eq!((fourth.infractions, fourth.banned, fourth.newly_banned), (4, true, false));
    assert_eq!(refused(ana.say(&room, "hola").await).1, "CHAT_BANNED");
    assert_eq!(refused(world.report(Uuid::now_v7(), "").await), (Code::NotFound, "USER_NOT_FOUND".into()));
    let of_ana = ListInfractionsRequest { user_id: ana.id.to_string(), ..Default::default() };
    let noted = world.admin().infractions(of_ana).await.infractions;
    assert_eq!(noted.len(), 4);
    assert_eq!((&*noted[3].message_id, &noted[3].reasons[..]), ("", &["phone:true".to_owned()][..]));
}

#[tokio::test]
async fn a_review_that_finds_nothing_shows_the_words_and_takes_the_infraction_back() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let admin = world.admin();
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(ana.say(&room, PHONE).await.unwrap());
    }
    world.moderated().await;
    let mut line = ben.connect(&room).await;
    for _ in 0..2 {
        let standing = admin.review(&sent[0], Verdict::Approved).await.unwrap();
        assert_eq!((standing.infractions, standing.banned), (2, false), "fewer than three are no ban");
    }
    let shown = line.find(|frame| if let Frame::Changed(message) = frame { Some(message) } else { None }).await;
    assert_eq!((shown.text.as_str(), shown.censored, shown.change), (PHONE, false, 4));
    assert_eq!(ben.history(&room).await[0].text, PHONE);
    let told = world.moderated().await;
    assert_eq!((told.len(), &told[0]["infracciones"], &told[0]["baneado"]), (1, &json!(2), &json!(false)));

    // And back again.
    for _ in 0..2 {
        let standing = admin.review(&sent[0], Verdict::Rejected).await.unwrap();
        assert_eq!((standing.infractions, standing.banned), (3, true));
    }
    assert_eq!(ben.history(&room).await[0].text, CENSORED);
    assert_eq!(admin.review(&sent[0], Verdict::Blocked).await.unwrap().infractions, 3);
    assert_eq!(admin.review(&sent[0], Verdict::Pending).await.unwrap().infractions, 3);
    assert_eq!(admin.review(&sent[0], Verdict::Approved).await.unwrap().infractions, 2);
    assert_eq!(ben.history(&room).await[0].text, PHONE);

    // Edited after the review it is a new case.
    ana.edit(&sent[0], "mejor: 11 5550 0143").await.unwrap();
    assert_eq!(ana.standing().await, (3, true));
    let pending = ListInfractionsRequest { verdict: Verdict::Pending.into(), ..Default::default() };
    assert_eq!(admin.infractions(pending).await.infractions.len(), 3);
}

#[tokio::test]
async fn a_review_finds_what_nobody_noticed_and_leaves_what_is_gone() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let admin = world.admin();
    let sent = ana.say(&room, "buscá mi nombre en la guía").await.unwrap();
    assert_eq!(admin.review(&sent, Verdict::Pending).await.unwrap().infractions, 0, "only noted, to be decided");
    assert_eq!(admin.review(&sent, Verdict::Blocked).await.unwrap().infractions, 1);
    assert_eq!(ben.history(&room).await[0].text, CENSORED);

    let gone = ana.say(&room, PHONE).await.unwrap();
    ana.delete(&gone).await.unwrap();
    assert_eq!(admin.review(&gone, Verdict::Approved).await.unwrap().infractions, 1);
    assert_eq!(ben.history(&room).await[1].text, "", "what was deleted stays so");

    // What led to a ban that is over never counts again.
    for _ in 0..2 {
        world.report(ana.id, "").await.unwrap();
    }
    world.harness.clock.advance(7 * DAY);
    let admin = world.admin();
    assert_eq!(admin.review(&sent, Verdict::Approved).await.unwrap().infractions, 0);
    assert_eq!(admin.review(&sent, Verdict::Rejected).await.unwrap().infractions, 0);
}

#[tokio::test]
async fn only_administrators_review() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let sent = ana.say(&room, PHONE).await.unwrap();
    let denied = |status: (Code, String)| assert_eq!(status, (Code::PermissionDenied, "ROLE_MISSING".into()));
    denied(refused(ana.review(&sent, Verdict::Approved).await));
    denied(refused(ben.moderation().list_infractions(ListInfractionsRequest::default()).await));
    denied(refused(ben.moderation().lift_ban(LiftBanRequest { user_id: ana.id.to_string() }).await));
    let of_ana = GetStandingRequest { user_id: ana.id.to_string() };
    assert_eq!(
        refused(ben.moderation().get_standing(of_ana.clone()).await),
        (Code::PermissionDenied, "NOT_YOURS".into())
    );
    assert_eq!(world.admin().moderation().get_standing(of_ana).await.unwrap().into_inner().infractions, 1);
    let report = ReportInfractionRequest { user_id: ana.id.to_string(), ..Default::default() };
    assert_eq!(refused(ana.moderation().report_infraction(report).await).0, Code::PermissionDenied);
    let mut nobody = ModerationServiceClient::new(Peer::new("chat", world.harness.network.stranger("chat")));
    assert_eq!(refused(nobody.get_standing(GetStandingRequest::default()).await).0, Code::Unauthenticated);
    let unknown = Message { id: Uuid::now_v7().to_string(), ..Message::default() };
    assert_eq!(
        refused(world.admin().review(&unknown, Verdict::Approved).await),
        (Code::NotFound, "MESSAGE_NOT_FOUND".into())
    );
}

#[tokio::test]
async fn a_lifted_ban_begins_anew() {
    let world = World::start().await;
    let (ana, _, room) = world.dealers().await;
    let admin = world.admin();
    let lift = LiftBanRequest { user_id: ana.id.to_string() };
    ana.say(&room, PHONE).await.unwrap();
    assert_eq!(admin.moderation().lift_ban(lift.clone()).await.unwrap().into_inner().infractions, 1, "there is none");
    for _ in 0..2 {
        ana.say(&room, PHONE).await.unwrap();
    }
    world.moderated().await;
    for _ in 0..2 {
        let standing = admin.moderation().lift_ban(lift.clone()).await.unwrap().into_inner();
        assert_eq!((standing.infractions, standing.banned), (0, false));
    }
    assert_eq!(world.moderated().await.len(), 1);
    assert!(ana.say(&room, PHONE).await.unwrap().censored);
    assert_eq!(ana.standing().await, (1, false));
}

#[tokio::test]
async fn infractions_and_reviews_at_once_are_all_counted() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let (admin, other) = (world.admin(), ana.deal(&world.person(3)).await);
    let sent = ana.say(&room, PHONE).await.unwrap();
    let approved = tokio::join!(
        admin.review(&sent, Verdict::Approved),
        admin.review(&sent, Verdict::Approved),
        admin.review(&sent, Verdict::Approved),
    );
    for standing in [approved.0, approved.1, approved.2] {
        assert_eq!(standing.unwrap().infractions, 0);
    }
    let (one, two, three, four) = tokio::join!(
        ana.say(&room, PHONE),
        ana.say(&other, PHONE),
        world.report(ana.id, "same"),
        world.report(ana.id, "same"),
    );
    // Whoever comes after the third may find the room closed.
    let banned = [one.is_err(), two.is_err()].into_iter().filter(|refused| *refused).count();
    assert_eq!((banned, three.is_ok(), four.is_ok()), (0, true, true));
    assert_eq!(ana.standing().await, (3, true));
    assert_eq!(ben.standing().await, (0, false));
    let versions: HashSet<_> = world.moderated().await.iter().map(|told| told["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, (1..=5).collect());
}

#[tokio::test]
async fn the_sender_is_warned_on_every_screen_and_nobody_else() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let mut screens = [ana.connect(&room).await, ana.connect(&room).await];
    let mut at_ben = ben.connect(&room).await;
    for infractions in 1..=3 {
        let sent = ana.say(&room, PHONE).await.unwrap();
        for screen in &mut screens {
            let warned = screen.find(|frame| match frame {
                Frame::Warning(warning) => Some(warning),
                _ => None,
            });
            let warning = warned.await;
            assert_eq!((&warning.message_id, warning.message_number), (&sent.id, sent.number));
            assert_eq!((warning.infractions, warning.limit), (infractions, 3));
            assert_eq!(warning.reasons, ["PHONE"]);
            assert_eq!(warning.banned_until.is_some(), infractions == 3);
        }
    }
    ben.say(&room, "fin").await.unwrap();
    let warned = at_ben.find(|frame| match frame {
        Frame::Warning(_) => Some(true),
        Frame::Message(message) if message.text == "fin" => Some(false),
        _ => None,
    });
    assert!(!warned.await);
}

#[tokio::test]
async fn infractions_are_listed_in_pages() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let admin = world.admin();
    for n in 0..5 {
        world.harness.clock.advance(Duration::from_secs(1));
        let who = if n % 2 == 0 { &ana } else { &ben };
        who.say(&room, &format!("11 5550 014{n}")).await.unwrap();
    }
    for (user_id, count) in [(String::new(), 5), (ana.id.to_string(), 3)] {
        let mut request = ListInfractionsRequest { user_id, page_size: 2, ..Default::default() };
        let mut seen = Vec::new();
        loop {
            let page = admin.infractions(request.clone()).await;
            seen.extend(page.infractions.into_iter().map(|infraction| infraction.text));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), count);
        assert!(seen.is_sorted_by(|a, b| a > b), "newest first: {seen:?}");
    }
    let approved = ListInfractionsRequest { verdict: Verdict::Approved.into(), ..Default::default() };
    assert_eq!(admin.infractions(approved).await.infractions, []);
}

#[tokio::test]
async fn only_rooms_of_the_kinds_that_are_set_are_moderated() {
    for moderated in [&["pair"][..], &["group"], &["deal"], &["pair", "group"]] {
        let world = World::moderating(moderated, 7).await;
        let (ana, ben, deal) = world.dealers().await;
        let (pair, group) = (ana.open_pair(&ben).await, ana.group(&[&ben]).await);
        for (kind, room) in [("pair", &pair), ("group", &group), ("deal", &deal)] {
            let sent = ana.say(room, PHONE).await.unwrap();
            let text = if moderated.contains(&kind) { CENSORED } else { PHONE };
            assert_eq!((sent.text.as_str(), sent.censored), (text, text == CENSORED), "{kind} of {moderated:?}");
        }
        assert_eq!(ana.standing().await, (moderated.len() as i32, false), "{moderated:?}");
    }
}

#[tokio::test]
async fn a_ban_closes_the_rooms_that_are_moderated_and_no_others() {
    let world = World::moderating(&["group"], 7).await;
    let (ana, ben, deal) = world.dealers().await;
    let group = ana.group(&[&ben]).await;
    let (mut in_group, mut in_deal) = (ana.connect(&group).await, ana.connect(&deal).await);
    for count in 1..=3 {
        ana.say(&group, PHONE).await.unwrap();
        assert_eq!(ana.standing().await, (count, count == 3));
    }
    assert_eq!(in_group.find(closing).await, ClosingReason::Banned);
    assert_eq!(refused(ana.say(&group, "hola").await), (Code::PermissionDenied, "CHAT_BANNED".into()));
    let open = Open { room: Some(key(&group)), ..Open::default() };
    assert_eq!(refused(ana.try_connect(open).await.map(drop)), (Code::PermissionDenied, "CHAT_BANNED".into()));
    assert_eq!(ana.say(&deal, PHONE).await.unwrap().text, PHONE);
    assert_eq!(in_deal.message().await.text, PHONE, "what is open stays so");
    ana.connect(&deal).await;
}

#[tokio::test]
async fn where_nothing_is_moderated_nobody_is_censored_or_kept_out() {
    let world = World::moderating(&["none"], 7).await;
    let (ana, ben, room) = world.dealers().await;
    for piece in ["once", "cinco cinco cinco cero", "cero uno cuatro dos", PHONE] {
        let sent = ana.say(&room, piece).await.unwrap();
        assert!(!sent.censored && !ana.edit(&sent, PHONE).await.unwrap().censored);
    }
    assert_eq!((ana.standing().await, world.moderated().await), ((0, false), Vec::new()));
    let subject = "llamame al 11 5550 0142".to_owned();
    let request =
        OpenPairRequest { kind: RoomKind::Deal.into(), users: vec![ben.key()], subject, ..Default::default() };
    ana.rooms().open_pair(request).await.unwrap();

    // What other channels notice is counted all the same, and they may keep to it.
    let mut line = ana.connect(&room).await;
    for count in 1..=3 {
        assert_eq!(world.report(ana.id, "").await.unwrap().infractions, count);
    }
    assert_eq!(ana.standing().await, (3, true));
    assert_eq!(ana.say(&room, PHONE).await.unwrap().text, PHONE);
    assert_eq!(line.message().await.text, PHONE);
}

#[tokio::test]
async fn a_ban_lasts_as_many_days_as_are_set() {
    for days in [1, 30] {
        let world = World::moderating(&["deal"], days).await;
        let (ana, _, room) = world.dealers().await;
        for _ in 0..3 {
            ana.say(&room, PHONE).await.unwrap();
        }
        let standing = ana.moderation().get_standing(GetStandingRequest::default()).await.unwrap().into_inner();
        let left = standing.banned_until.unwrap().seconds - world.harness.clock.now().timestamp();
        assert_eq!(left, 86_400 * i64::from(days));
        world.harness.clock.advance(u32::from(days) * DAY - Duration::from_secs(1));
        assert_eq!(refused(world.person(1).say(&room, "hola").await).1, "CHAT_BANNED", "{days} days");
        world.harness.clock.advance(Duration::from_secs(1));
        let ana = world.person(1);
        assert_eq!(ana.say(&room, "hola").await.unwrap().text, "hola", "{days} days");
        assert_eq!(ana.standing().await, (0, false), "{days} days");
    }
}

#[tokio::test]
async fn who_leaves_for_good_is_forgotten() {
    let world = World::start().await;
    let (ana, _, room) = world.dealers().await;
    ana.say(&room, PHONE).await.unwrap();
    world.deliver(&UserDeleted { user_uuid: ana.id.to_string(), ..UserDeleted::default() }).await;
    assert_eq!(ana.standing().await, (0, false));
    assert_eq!(world.admin().infractions(ListInfractionsRequest::default()).await.infractions, []);
}
