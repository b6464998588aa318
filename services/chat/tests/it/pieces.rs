//! Contact details that are told in pieces: in several messages, by edits, in several rooms.

use std::time::Duration;

use chat::moderation::CENSORED;

use crate::World;

#[tokio::test]
async fn details_told_in_pieces_are_censored_with_the_last_piece() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    for piece in ["anotá", "once", "cinco cinco cinco cero"] {
        assert!(!ana.say(&room, piece).await.unwrap().censored);
        ben.say(&room, "dale").await.unwrap();
    }
    assert!(ana.say(&room, "cero uno cuatro dos").await.unwrap().censored);

    let world = World::start().await;
    let (ana, _, room) = world.dealers().await;
    for piece in ["once", "cinco cinco cinco cero"] {
        ana.say(&room, piece).await.unwrap();
    }
    world.harness.clock.advance(Duration::from_secs(900));
    assert!(!ana.say(&room, "cero uno cuatro dos").await.unwrap().censored, "later nobody puts them together");
}

#[tokio::test]
async fn an_edit_that_completes_a_detail_is_censored_wherever_it_stands() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let first = ana.say(&room, "hola").await.unwrap();
    let second = ana.say(&room, "50").await.unwrap();
    ben.say(&room, "dale").await.unwrap();
    let third = ana.say(&room, "0142").await.unwrap();
    assert!(!second.censored && !third.censored);
    let edited = ana.edit(&first, "mi cel 1155").await.unwrap();
    assert_eq!((edited.text.as_str(), edited.censored), (CENSORED, true), "the first of three");
    assert_eq!(ana.standing().await, (1, false));

    let between = world.person(3);
    let room = between.deal(&ben).await;
    let pieces = ["once", "hola", "cero uno cuatro dos"];
    let mut sent = Vec::new();
    for piece in pieces {
        sent.push(between.say(&room, piece).await.unwrap());
    }
    assert!(!between.edit(&sent[1], "buenas").await.unwrap().censored);
    assert!(between.edit(&sent[1], "cinco cinco cinco cero").await.unwrap().censored, "the one in the middle");

    // Who corrects a number tells no other one.
    let honest = world.person(4);
    let room = honest.deal(&ben).await;
    let sent = honest.say(&room, "4500").await.unwrap();
    for corrected in ["4550", "4555", "45550", "4 cuotas de 45550"] {
        assert!(!honest.edit(&sent, corrected).await.unwrap().censored, "{corrected}");
    }

    // Long ago nobody reads together, unless the rest is told now.
    let patient = world.person(5);
    let room = patient.deal(&ben).await;
    let old = patient.say(&room, "hola").await.unwrap();
    world.harness.clock.advance(Duration::from_secs(900));
    let other = patient.say(&room, "cero uno cuatro dos").await.unwrap();
    world.harness.clock.advance(Duration::from_secs(900));
    let patient = world.person(5);
    assert!(!patient.edit(&old, "once cinco cinco cinco cero").await.unwrap().censored);
    patient.edit(&old, "hola").await.unwrap();
    patient.edit(&other, "dale").await.unwrap();
    world.harness.clock.advance(Duration::from_secs(900));
    let patient = world.person(5);
    assert!(!patient.say(&room, "cero uno cuatro dos").await.unwrap().censored);
    assert!(patient.edit(&old, "once cinco cinco cinco cero").await.unwrap().censored);
}

#[tokio::test]
async fn what_a_message_said_one_after_the_other_is_read_together() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let sent = ana.say(&room, "11").await.unwrap();
    assert!(!ana.edit(&sent, "5550").await.unwrap().censored);
    let edited = ana.edit(&sent, "0142").await.unwrap();
    assert_eq!((edited.text.as_str(), edited.censored), (CENSORED, true));
    assert_eq!(ana.standing().await, (1, false));

    // Also with its neighbours, and after somebody has answered at length.
    let neighbours = world.person(3);
    let room = neighbours.deal(&ben).await;
    let first = neighbours.say(&room, "11").await.unwrap();
    neighbours.edit(&first, "dale").await.unwrap();
    neighbours.say(&room, "mañana paso a ver la obra con el material que falta").await.unwrap();
    let second = neighbours.say(&room, "5550").await.unwrap();
    neighbours.edit(&second, "ok").await.unwrap();
    assert!(neighbours.say(&room, "0142").await.unwrap().censored);

    // Of what was censored nobody has heard more than before.
    let third = world.person(4);
    let room = third.deal(&ben).await;
    let sent = third.say(&room, "mi cel es 11 5550 0142").await.unwrap();
    assert!(!third.edit(&sent, "0142").await.unwrap().censored);

    let mail = world.person(5);
    let room = mail.deal(&ben).await;
    let sent = mail.say(&room, "obras.norte").await.unwrap();
    assert!(mail.edit(&sent, "arroba gmail").await.unwrap().censored);

    // Long ago is not lately.
    let patient = world.person(6);
    let room = patient.deal(&ben).await;
    let sent = patient.say(&room, "11 5550").await.unwrap();
    world.harness.clock.advance(Duration::from_secs(900));
    let patient = world.person(6);
    assert!(!patient.edit(&sent, "0142").await.unwrap().censored);
}

#[tokio::test]
async fn details_told_in_pieces_in_several_rooms_of_two_people_are_censored() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let (second, third) = (ana.job(&ben, "techo").await, ana.job(&ben, "baño").await);
    assert!(!ana.say(&room, "11").await.unwrap().censored);
    assert!(!ana.say(&second, "5550").await.unwrap().censored);
    assert!(ana.say(&third, "0142").await.unwrap().censored);
    assert_eq!(ana.standing().await, (1, false));

    // Nobody puts together what was told different people, or what the other one said, or what was told where it may be.
    let (carla, dora) = (world.person(3), world.person(4));
    let with_dora = carla.deal(&dora).await;
    let with_ben = carla.deal(&ben).await;
    carla.say(&with_dora, "11 5550").await.unwrap();
    assert!(!carla.say(&with_ben, "0142").await.unwrap().censored);
    let other = ben.job(&carla, "techo").await;
    assert!(!ben.say(&other, "11 5550").await.unwrap().censored);
    assert!(!carla.say(&with_ben, "0142").await.unwrap().censored);
    let eva = world.person(5);
    let (pair, deal) = (eva.open_pair(&ben).await, eva.deal(&ben).await);
    eva.say(&pair, "11 5550").await.unwrap();
    assert!(!eva.say(&deal, "0142").await.unwrap().censored);
}

#[tokio::test]
async fn pieces_sent_at_once_in_two_rooms_find_each_other() {
    let world = World::start().await;
    let ben = world.person(2);
    for number in 10..16 {
        let ana = world.person(number);
        let room = ana.deal(&ben).await;
        let other = ana.job(&ben, "techo").await;
        let (one, two) = tokio::join!(ana.say(&room, "once cinco cinco"), ana.say(&other, "uno uno cinco cinco"));
        assert!(one.unwrap().censored != two.unwrap().censored, "whichever came second");
    }
}

#[tokio::test]
async fn only_pieces_in_moderated_rooms_are_looked_for_elsewhere() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    let db = &world.harness.service.db;
    let asked = async || {
        let mut connections = Vec::new();
        for _ in 0..db.options().get_max_connections() {
            connections.push(db.acquire().await.unwrap());
        }
        let mut asked = 0;
        for connection in &mut connections {
            let count = "select count(*) from pg_prepared_statements where statement like 'with near as%'";
            asked += sqlx::query_scalar::<_, i64>(count).fetch_one(&mut **connection).await.unwrap();
        }
        asked
    };
    for text in
        ["dale", "¿cuándo venís?", "sale $ 15.000", "te paso el presupuesto mañana a las 11 con los 5550 de seña"]
    {
        ana.say(&room, text).await.unwrap();
    }
    ana.say(&ana.open_pair(&ben).await, "11 5550").await.unwrap();
    assert_eq!(asked().await, 0);
    ana.say(&room, "11").await.unwrap();
    assert!(asked().await > 0);
}

#[tokio::test]
async fn sentences_between_pieces_do_not_hide_them() {
    let world = World::start().await;
    let (ana, ben, room) = world.dealers().await;
    for piece in ["11", "mañana paso a ver la obra con el material", "5550", "y después vemos el resto de lo tuyo"] {
        assert!(!ana.say(&room, piece).await.unwrap().censored);
    }
    assert!(ana.say(&room, "0142").await.unwrap().censored);

    let honest = world.person(3);
    let room = honest.deal(&ben).await;
    for answer in ["45", "son tres habitaciones con techo de cuatro metros", "3", "12500", "15", "2440", "1220"] {
        assert!(!honest.say(&room, answer).await.unwrap().censored, "{answer}");
    }
}

#[tokio::test]
async fn what_was_deleted_between_the_pieces_was_heard() {
    let world = World::start().await;
    let (ana, _, room) = world.dealers().await;
    for piece in ["once", "cinco cinco cinco cero"] {
        let said = ana.say(&room, piece).await.unwrap();
        ana.delete(&said).await.unwrap();
    }
    assert!(ana.say(&room, "cero uno cuatro dos").await.unwrap().censored);
}
