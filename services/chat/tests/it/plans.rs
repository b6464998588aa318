//! How PostgreSQL runs what is asked often, on tables of some size, with the statements as the service prepared them.

use sqlx::PgPool;
use testkit::plans;

use super::*;

/// 2,000 rooms, among them one of 30,000 messages; 70,000 messages, 400,000 marks. The person with the id 1 is in 500
/// rooms and in the large one, those with 20001 and 20002 have 30 deals.
async fn fill(db: &PgPool) {
    for statement in [
        "insert into rooms (id, kind, created_by_id, created_by_number, created_at, last_activity_at, last_sequence,
             last_change, members_count)
         select ('a' || lpad(to_hex(n), 31, '0'))::uuid, 'GROUP', lpad('1', 32, '0')::uuid, 1, '2026-01-01',
             timestamptz '2026-02-01' - n * interval '1 minute', size, size, 5
         from generate_series(1, 2000) n, lateral (select case when n = 1 then 30000 else 20 end as size) s",
        // The first five people of the large room, and five of 10,000 in each other one.
        "insert into members (room_id, user_id, user_number, position, joined_at)
         select ('a' || lpad(to_hex(n), 31, '0'))::uuid, lpad(to_hex(p), 32, '0')::uuid, p, p, '2026-01-01'
         from generate_series(1, 2000) n, lateral (
             select case when k = 1 and n % 4 = 1 then 1 when n = 1 then k else 10 + (n * 7 + k * 1999) % 9990 end as p
             from generate_series(1, 5) k
         ) p on conflict do nothing",
        "insert into messages (id, room_id, sequence, sent_change, change, sender_id, sender_number, kind, text,
             client_msg_id, created_at)
         select gen_random_uuid(), r.id, s, s, s, m.user_id, m.user_number, 'TEXT',
             'vaca ' || md5(s::text) || ' ' || case when s % 3000 = 0 then 'toro' else 'ternero' end, s::text,
             timestamptz '2026-01-01' + s * interval '1 second'
         from rooms r cross join lateral generate_series(1, r.last_sequence) s
         join lateral (
             select user_id, user_number from members where room_id = r.id order by position offset s % 4 limit 1
         ) m on true",
        "update messages set change = 30000 + sequence
         where room_id = ('a' || lpad('1', 31, '0'))::uuid and sequence % 100 = 0",
        "update rooms set last_change = 60000 where id = ('a' || lpad('1', 31, '0'))::uuid",
        "insert into marks (room_id, user_id, read, through, at)
         select m.room_id, m.user_id, read, s, '2026-01-02'
         from members m join rooms r on r.id = m.room_id
             cross join lateral generate_series(1, r.last_sequence - 10, 3) s, (values (false), (true)) as v (read)",
        "update members m set delivered_through = r.last_sequence - 10, read_through = r.last_sequence - 10
         from rooms r where r.id = m.room_id",
        "insert into read_ahead (room_id, user_id, sequence, at)
         select m.room_id, m.user_id, r.last_sequence - 1, '2026-01-02' from members m join rooms r on r.id = m.room_id",
        "insert into rooms (id, kind, subject, pair, created_by_id, created_by_number, created_at, last_sequence,
             last_change, members_count)
         select ('d' || lpad(to_hex(n), 31, '0'))::uuid, 'DEAL', n::text,
             'DEAL ' || lpad(to_hex(20001), 32, '0')::uuid || ' ' ||
                 lpad(to_hex(20002 + greatest(0, n - 30)), 32, '0')::uuid || ' ' || n,
             lpad(to_hex(20001), 32, '0')::uuid, 20001, '2026-01-01', 20, 40, 2
         from generate_series(1, 1000) n",
        "insert into members (room_id, user_id, user_number, position, joined_at)
         select r.id, lpad(to_hex(p), 32, '0')::uuid, p, p, '2026-01-01'
         from rooms r, unnest(array[20001, 20002 + greatest(0, r.subject::int - 30)]) p where r.kind = 'DEAL'",
        "insert into messages (id, room_id, sequence, sent_change, change, sender_id, sender_number, kind, text,
             client_msg_id, created_at)
         select gen_random_uuid(), r.id, s, s, case when s % 5 = 0 then 20 + s else s end, r.created_by_id, 20001,
             'TEXT', 'vaca', s::text, timestamptz '2026-01-01' + s * interval '1 second'
         from rooms r cross join generate_series(1, 20) s where r.kind = 'DEAL'",
        "insert into blocks (blocker_id, blocked_id, blocked_number, created_at)
         select lpad(to_hex(n % 300), 32, '0')::uuid, lpad(to_hex(300 + n / 300), 32, '0')::uuid, 300 + n / 300, now()
         from generate_series(1, 50000) n",
        "vacuum analyze",
    ] {
        // Not prepared: `plans` looks among the prepared ones, and these are not the service's.
        sqlx::raw_sql(statement).execute(db).await.unwrap();
    }
}

#[tokio::test]
async fn no_question_reads_a_whole_table() {
    let world = World::with_redis().await;
    let db = &world.harness.service.db;
    fill(db).await;
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let somebody = |id: Uuid, number| {
        let claims = token_claims(id, number, &[Role::Consumer], world.harness.clock.now().timestamp());
        let token = world.harness.signer.sign(&claims);
        Somebody { id, number, peer: world.harness.with_token(&token), token }
    };
    let (ana, ben) = (somebody(one, 1), somebody(two, 2));
    let large = Uuid::from_u128(0xa << 124 | 1);
    let room = Room { id: large.to_string(), ..Room::default() };
    use_everything(&ana, &ben, &room).await;
    world.users.knows(1, one);
    world.users.knows(2, two);
    ana.block(&ben).await.unwrap();
    ana.unblock(&ben).await.unwrap();
    let (dealer, deal) = (somebody(Uuid::from_u128(20_001), 20_001), Uuid::from_u128(0xd << 124 | 1));
    dealer.say(&Room { id: deal.to_string(), ..Room::default() }, "11 5550").await.unwrap();

    let (large, me) = (format!("'{large}'::uuid"), format!("'{one}'::uuid"));
    let moment = "timestamptz '2026-01-01 02:00:00+00'";
    // The n-th of 64 rooms.
    let rooms = "('a' || lpad(to_hex(#), 31, '0'))::uuid";
    let questions = [
        // Pages of history.
        (&["order by m.sequence offset $4"][..], format!("{large}, 20000, 30000, 0, 51")),
        (&["order by m.sequence desc offset $4"], format!("{large}, 0, 9223372036854775807, 0, 51")),
        (&["order by first.number offset $2"], format!("{me}, 0, 51, null, '{{}}'")),
        (&["order by last.number desc offset $2"], format!("{me}, 0, 51, {moment}, '{{GROUP}}'")),
        (&["select coalesce(sequence_at(r.id, $2)"], format!("{me}, {moment}, '{{}}'")),
        (&["select sequence_at($1, $2)"], format!("{large}, {moment}")),
        (&["latest on latest.room"], format!("array[{large}], array[0], 20")),
        (&["m.searched @@"], format!("{me}, null, 'vaca & toro:*', 9223372036854775807, 21, '{{GROUP}}'")),
        // Coming back.
        (&["m.sent_change > $2"], format!("{large}, 29000, 30000, 0, 200")),
        (&["m.change > $3 and m.sent_change <= $2"], format!("{large}, 29000, 50000, 0, 200")),
        (&["select sent_change from messages where room_id = $1"], format!("{large}, 29000")),
        (&["where r.id = any($1) and m.user_id = $2"], format!("{}, {me}", many(rooms))),
        (&["m.left_at is not null", "r.number = any($2)"], format!("{me}, {}, '{{}}'", many("#::bigint"))),
        // Unread counts.
        (&["count(*) filter (where unread.messages > 0)"], format!("{me}, '{{}}', now()")),
        (&["with mine as materialized"], format!("{me}, '{{}}', null, false, null, 0, 0, 21")),
        (
            &["where me.room_id = $1 and me.user_id = $2 and me.left_at is null and not me.hidden"],
            format!("{large}, {me}"),
        ),
        // Receipts.
        (&["with had as"], format!("array[{large}], {me}, array[29990], 100, {moment}")),
        (&["with had as"], format!("{}, {me}, {}, 100, {moment}", many(rooms), many("-1"))),
        (&["marked_at >= $2"], format!("{}, {moment}", many(rooms))),
        (&["m.room_id, m.position, mark.through"], format!("array[{large}], array[29950], array[30000], 100")),
        (
            &["sequence > moved.after"],
            format!("array[{large}], array[{me}], array[29990], array[30000], array[{moment}]"),
        ),
        (&["m.delivered_through < r.last_sequence"], format!("{me}, {moment}, '{{}}'")),
        (&["sender_id is distinct from $2", "sequence <= $4"], format!("{large}, {me}, 29990, 30000, 1000")),
        (&["insert into read_ahead"], format!("{large}, {me}, 29990, array[5, 6]::bigint[], '{{}}', {moment}")),
        (&["select m.sequence - 1 from messages m"], format!("{large}, {me}, 29990, 30000")),
        // Single messages.
        (&["(m.id = $1 or m.number = $2) and m.sequence > me.cleared_through"], format!("null, 500, {me}, '{{}}'")),
        (&["m.client_msg_id = $3"], format!("{large}, {me}, '400'")),
        // Pieces of contact details.
        (&["pair ~>=~"], format!("'{deal}'::uuid, '{{DEAL}}', '{}'::uuid, {moment}, ''", dealer.id)),
        // People.
        (&["order by \"number!\" limit 5000"], format!("{me}, '{{}}'")),
        (&["nulls last, r.number desc limit $2"], format!("{me}, 1000, '{{}}'")),
        // Sending, in one room and in many at once.
        (&["as \"notified!\""], format!("array[{large}], array[{me}], array['400'], {moment}")),
        (&["as \"notified!\""], format!("{}, {}, {}, {moment}", many(rooms), many(&me), many("'400'"))),
        (&["for update skip locked", "id = any($1)"], many(rooms)),
        (&["insert into messages"], new_messages(&large, &me, 1)),
        (&["insert into messages"], new_messages(rooms, &me, 64)),
        (&["as \"blocked!\"", "r.kind <> 'GROUP'"], format!("{large}, {me}")),
        (&["as \"divided!\""], large.clone()),
        (&["join members b on b.room_id = a.room_id"], format!("{me}, '{two}'::uuid")),
    ];
    let wrong = read_whole_tables(db, &questions).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // Deals of a pair are found without looking at others'.
    for plan in
        plans(db, &["pair ~>=~"], &format!("'{deal}'::uuid, '{{DEAL}}', '{}'::uuid, {moment}, ''", dealer.id)).await
    {
        assert!(plan.indexes().contains(&"rooms_of_pair") && !plan.whole_tables().contains(&"rooms"), "{plan}");
    }
    // A page of the large room costs what it shows: no sort, and no more rows than asked for.
    let page = &plans(db, &["order by m.sequence desc offset $4"], &format!("{large}, 0, 9223372036854775807, 0, 51"))
        .await[0];
    assert!(page.sorts().is_empty() && page.indexes().contains(&"messages_sequence_key"), "{page}");

    // After a crash PostgreSQL has forgotten how much was written, and may not look at tables for long.
    // The tables first: autovacuum holds one while it writes what it has counted.
    sqlx::raw_sql(
        "alter table messages set (fillfactor = 100); alter table members set (fillfactor = 100);
         alter table marks set (fillfactor = 100); alter table read_ahead set (fillfactor = 100);
         alter table rooms set (fillfactor = 100);
         delete from pg_statistic where starelid in (select oid from pg_class where relnamespace = 'public'::regnamespace);
         update pg_class set reltuples = -1, relpages = 0
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'i')",
    )
    .execute(db)
    .await
    .unwrap();
    let wrong = read_whole_tables(db, &questions).await;
    assert!(wrong.is_empty(), "without statistics: {}", wrong.join("\n\n"));
}

/// Plans in which a large table is read from its beginning to its end.
async fn read_whole_tables(db: &PgPool, questions: &[(&[&str], String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (parts, arguments) in questions {
        for plan in plans(db, parts, arguments).await {
            for table in plan.whole_tables() {
                // Of the rooms, this person has every fourth.
                if ["messages", "members", "marks", "read_ahead"].contains(&table) {
                    wrong.push(format!("{parts:?} reads all of {table}:\n{plan}"));
                }
            }
        }
    }
    wrong
}

/// An array of this 64 times, with the number of each for a `#`.
fn many(value: &str) -> String {
    array(value, 64)
}

fn array(value: &str, size: usize) -> String {
    let values: Vec<_> = (1..=size).map(|n| value.replace('#', &(n + 1).to_string())).collect();
    format!("array[{}]", values.join(", "))
}

/// What is stored of as many messages, in the order of the statement's parameters.
fn new_messages(room: &str, sender: &str, size: usize) -> String {
    let columns = [
        "gen_random_uuid()",
        room,
        sender,
        "1::bigint",
        "'TEXT'",
        "'hola'",
        "null::uuid",
        "null::bigint",
        "null::bigint",
        "'n#'",
        "false",
        "1",
        "0",
    ];
    let arrays: Vec<_> = columns.into_iter().map(|column| array(column, size)).collect();
    format!("{}, '{{}}'::real[], timestamptz '2026-03-01'", arrays.join(", "))
}

async fn use_everything(ana: &Somebody, ben: &Somebody, room: &Room) {
    let in_room = ListMessagesRequest { room_id: room.id.clone(), ..Default::default() };
    for newest_first in [false, true] {
        let request = ListMessagesRequest { newest_first, ..in_room.clone() };
        assert_eq!(ana.list(request).await.unwrap().messages.len(), 50);
        let everywhere = ListMessagesRequest { newest_first, ..Default::default() };
        assert_eq!(ana.list(everywhere).await.unwrap().total_size, 10_000);
    }
    let sent_before = Some(prost_types::Timestamp { seconds: 1_767_225_600 + 101, nanos: 0 });
    let before = ListMessagesRequest { sent_before, newest_first: true, ..in_room };
    assert_eq!(ana.list(before).await.unwrap().messages[0].sequence, 100);
    let search = SearchMessagesRequest { query: "vaca toro".into(), ..Default::default() };
    assert_eq!(ana.messages().search_messages(search).await.unwrap().into_inner().messages.len(), 10);
    let list = ListRoomsRequest { messages: 1, ..Default::default() };
    assert_eq!(ana.rooms().list_rooms(list).await.unwrap().into_inner().total_size, 500);
    assert_eq!(ana.see(room).await.unwrap().messages.len(), 50);
    ana.rooms().count_unread(CountUnreadRequest::default()).await.unwrap();
    for open in [
        Open { room: Some(key(room)), after: Some(29_990), ..Open::default() },
        Open { room: Some(key(room)), since: Some(59_000), ..Open::default() },
    ] {
        ana.try_connect(open).await.unwrap();
    }
    let rooms = [(1, i64::MAX), (1_000_000, 0)].map(|(room_number, change)| Position { room_number, change });
    let positions = Some(Positions { rooms: rooms.into() });
    let _inbox = ben.try_connect(Open { messages: true, positions, ..Open::default() }).await.unwrap();
    let draft = Draft { text: "hola".into(), client_msg_id: "x".into(), ..Draft::default() };
    let message = ana.try_send(room, draft.clone()).await.unwrap().message.unwrap();
    ana.try_send(room, draft).await.unwrap();
    ben.mark_read(MarkReadRequest { room: Some(key(room)), numbers: vec![message.number], ..Default::default() })
        .await
        .unwrap();
    ben.read_all(room).await;
    ana.edit(&message, "otra").await.unwrap();
    let pair = OpenPairRequest { kind: RoomKind::Pair.into(), ..Default::default() };
    let _ = ana.rooms().open_pair(pair).await;
    ana.chat().list_presence(ListPresenceRequest::default()).await.unwrap();
}
