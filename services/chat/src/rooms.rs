//! Rooms and who is in them. A pair's room exists once, because a unique key holds both ids; nobody can leave it, only
//! hide it until the other one writes. A group has administrators, and at least one while it has members.

pub(crate) mod sql;

use std::collections::HashMap;

use chrono::DateTime;
use kit::error::{denied, invalid, invalid_because, not_found, refused};
use kit::identity::{Caller, caller};
use kit::outbox::publish;
use kit::page::size;
use kit::wire::timestamp;
use proto::chat::v1::room_service_server::RoomService;
use proto::chat::v1::server_frame::Frame;
use proto::chat::v1::*;
use proto::events::v1::ChatRoomCreated;
use sqlx::{PgConnection, PgTransaction};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use self::sql::*;
use crate::hub::{Audience, Line, News, Packet};
use crate::members::{
    LockedRoom, fetch_membership, insert_members, is_blocked, is_blocked_by_any, list_people, lock_room, remove_members,
};
use crate::messages::sql::list_latest;
use crate::messages::with_receipts;
use crate::people::Person;
use crate::queue::Parcel;
use crate::{Chat, blocked, moment, no_such_room};

/// People in a group.
const MOST_MEMBERS: usize = 2_000;
/// Members that a room in a list shows.
const LISTED_MEMBERS: i64 = 100;

/// Who opens a room of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    First,
    /// One of them, Firestore does not say which.
    Unknown,
}

#[tonic::async_trait]
impl RoomService for Chat {
    async fn open_pair(&self, request: Request<OpenPairRequest>) -> Result<Response<OpenPairResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let people = self.people(&request.users).await?;
        let me = Person { id: caller.id, number: caller.number };
        let other = match (request.users.len(), people.as_slice()) {
            (1, [other]) if other.id != me.id => *other,
            (2, [a, b]) if a.id == me.id => *b,
            (2, [a, b]) if b.id == me.id => *a,
            (1 | 2, [_]) => return Err(self_chat().into()),
            (2, [_, _]) => return Err(crate::not_a_member().into()),
            _ => return Err(invalid_because("users", "NOT_A_PAIR", "two people").into()),
        };
        // An id of a job is one, and may look like a phone.
        if request.subject.parse::<Uuid>().is_err() && self.moderation.forbids(request.kind(), &request.subject) {
            return Err(invalid("subject", "must not tell contact details").into());
        }
        let (room, created) = self.pair(me, other, request.kind(), &request.subject, Opener::First).await?;
        let room = Some(self.room(caller, room, request.messages.into()).await?);
        Ok(Response::new(OpenPairResponse { room, created }))
    }

    async fn create_group(&self, request: Request<CreateGroupRequest>) -> Result<Response<Room>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let me = Person { id: caller.id, number: caller.number };
        let mut people = vec![me];
        people.extend(self.people(&request.users).await?.into_iter().filter(|person| person.id != me.id));
        if people.len() > MOST_MEMBERS {
            return Err(too_many().into());
        }
        let (now, id) = (self.now(), Uuid::now_v7());
        let mut tx = kit::db::begin(&self.db).await?;
        let new = NewRoom {
            id,
            kind: "GROUP",
            name: &request.name,
            subject: "",
            pair: None,
            created_by: (me.id, me.number),
            now,
        };
        self.must_be_welcome(&mut tx, me.id, &people).await?;
        let number = insert_room(&mut tx, &new).await?.ok_or_else(no_such_room)?;
        insert_members(&mut tx, id, &people, Some(me.id), now).await?;
        publish_created(&mut tx, &new, number, &people).await?;
        kit::db::commit(tx).await?;
        self.tell_entered(id, people.iter().map(|person| person.id));
        Ok(Response::new(self.room(caller, id, 0).await?))
    }

    async fn get_room(&self, request: Request<GetRoomRequest>) -> Result<Response<Room>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let room = self.room_id(request.room.as_ref()).await?;
        Ok(Response::new(self.room(caller, room, request.messages.into()).await?))
    }

    async fn list_rooms(&self, request: Request<ListRoomsRequest>) -> Result<Response<ListRoomsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let kinds = kind_names(&request.kinds);
        let scope = format!("ListRooms {} {kinds:?} {:?}", caller.id, request.archived);
        let after: Option<(Option<i64>, i64)> = self.pager.open(&scope, &request.page_token)?;
        let limit = size(request.page_size, 20, 100);
        let filter = Filter {
            kinds,
            archived: request.archived,
            after: after.map(|(micros, number)| (micros.and_then(DateTime::from_timestamp_micros), number)),
            // The token is behind what was skipped.
            skip: if after.is_none() { request.skip.into() } else { 0 },
            limit: limit + 1,
        };
        let mut conn = self.db.acquire().await.map_err(kit::Error::from)?;
        let mut rows = list_rooms(&mut *conn, caller.id, &filter).await?;
        let total = match rows.first() {
            Some(row) => row.total,
            // Behind the end there are as many as before it.
            None if filter.skip > 0 || filter.after.is_some() => {
                let first = Filter { after: None, skip: 0, limit: 1, ..filter };
                list_rooms(&mut *conn, caller.id, &first).await?.first().map_or(0, |row| row.total)
            }
            None => 0,
        };
        let total_size = total.min(10_000) as i32;
        let next_page_token = self.pager.cut(&scope, &mut rows, limit, |last| {
            (last.last_activity_at.map(|at| at.timestamp_micros()), last.number)
        })?;
        let rooms = fill(&mut conn, rows, request.messages.into(), LISTED_MEMBERS).await?;
        Ok(Response::new(ListRoomsResponse { rooms, next_page_token, total_size }))
    }

    async fn update_room(&self, request: Request<UpdateRoomRequest>) -> Result<Response<Room>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = self.room_id(request.room.as_ref()).await?;
        let people = if request.replace_users { Some(self.people(&request.users).await?) } else { None };
        let (mut tx, room) = self.lock_own(caller, id).await?;
        if is_blocked(&mut *tx, id, caller.id).await? {
            return Err(blocked().into());
        }
        let before = list_people(&mut *tx, id).await?;
        let (mut came, mut went) = (Vec::new(), Vec::new());
        if let Some(people) = people {
            came = people.iter().filter(|person| !before.contains(person)).copied().collect();
            went = before.iter().filter(|person| !people.contains(person)).map(|person| person.id).collect();
            if room.kind != "GROUP" {
                if !came.is_empty() || !went.is_empty() {
                    return Err(pair_is_fixed().into());
                }
            } else if !came.is_empty() || !went.is_empty() {
                self.must_administer(&mut tx, caller, id).await?;
                if people.len() > MOST_MEMBERS {
                    return Err(too_many().into());
                }
                if people.is_empty() {
                    return Err(invalid("users", "a group has members; leave it instead").into());
                }
                self.must_be_welcome(&mut tx, caller.id, &came).await?;
                remove_members(&mut tx, id, &went, self.now()).await?;
                insert_members(&mut tx, id, &came, None, self.now()).await?;
                if count_other_admins(&mut tx, id, Uuid::nil()).await? == 0 {
                    promote_first(&mut tx, id).await?;
                }
            }
        }
        if let Some(name) = &request.name {
            update_name(&mut tx, id, name).await?;
        }
        kit::db::commit(tx).await?;
        self.tell_entered(id, came.iter().map(|person| person.id));
        self.tell_removed(id, &went);
        if went.contains(&caller.id) {
            self.tell_room_to_the_rest(id).await;
            // Who took themselves out sees the room a last time.
            return Ok(Response::new(Room { id: id.to_string(), number: room.number, ..Room::default() }));
        }
        let room = self.room(caller, id, 0).await?;
        self.tell_room(id, &room);
        Ok(Response::new(room))
    }

    async fn set_member_role(&self, request: Request<SetMemberRoleRequest>) -> Result<Response<Room>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = self.room_id(request.room.as_ref()).await?;
        let person = self.person(request.user.as_ref()).await?;
        let (mut tx, room) = self.lock_own(caller, id).await?;
        if room.kind != "GROUP" {
            return Err(pair_is_fixed().into());
        }
        self.must_administer(&mut tx, caller, id).await?;
        if !request.admin && count_other_admins(&mut tx, id, person.id).await? == 0 {
            return Err(refused("LAST_ADMINISTRATOR", "a group needs one").into());
        }
        if !update_admin(&mut tx, id, person.id, request.admin).await? {
            return Err(not_found("MEMBER_NOT_FOUND", "they are not in this group").into());
        }
        kit::db::commit(tx).await?;
        let room = self.room(caller, id, 0).await?;
        self.tell_room(id, &room);
        Ok(Response::new(room))
    }

    async fn leave_room(&self, request: Request<LeaveRoomRequest>) -> Result<Response<LeaveRoomResponse>, Status> {
        let caller = caller(&request)?;
        let id = self.room_id(request.get_ref().room.as_ref()).await?;
        let (mut tx, room) = self.lock_own(caller, id).await?;
        if room.kind == "GROUP" {
            remove_members(&mut tx, id, &[caller.id], self.now()).await?;
            if count_other_admins(&mut tx, id, caller.id).await? == 0 {
                promote_first(&mut tx, id).await?;
            }
        } else {
            hide(&mut tx, id, caller.id).await?;
        }
        let abandoned = delete_if_abandoned(&mut tx, id).await?;
        kit::db::commit(tx).await?;
        if abandoned {
            self.room_ids.invalidate(&room.number);
        }
        self.tell_removed(id, &[caller.id]);
        if room.kind == "GROUP" && !abandoned {
            self.tell_room_to_the_rest(id).await;
        }
        Ok(Response::new(LeaveRoomResponse {}))
    }

    async fn update_membership(&self, request: Request<UpdateMembershipRequest>) -> Result<Response<Room>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = self.room_id(request.room.as_ref()).await?;
        let muted_until = request.muted_until.map(|at| moment("muted_until", at)).transpose()?;
        if !update_membership(&self.db, id, caller.id, muted_until, request.archived, self.now()).await? {
            return Err(no_such_room().into());
        }
        Ok(Response::new(self.room(caller, id, 0).await?))
    }

    async fn mark_read(&self, request: Request<MarkReadRequest>) -> Result<Response<MarkReadResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let room = self.room_id(request.room.as_ref()).await?;
        let read = Read { numbers: request.numbers, ids: request.ids, through: request.through, room: None };
        Ok(Response::new(self.read(caller, room, &read).await?))
    }

    async fn count_unread(
        &self,
        request: Request<CountUnreadRequest>,
    ) -> Result<Response<CountUnreadResponse>, Status> {
        let caller = caller(&request)?;
        let kinds = kind_names(&request.get_ref().kinds);
        let unread = count_unread(&self.db, caller.id, &kinds, self.now()).await?;
        Ok(Response::new(CountUnreadResponse { messages: unread.messages as i32, rooms: unread.rooms as i32 }))
    }

    async fn block_user(&self, request: Request<BlockUserRequest>) -> Result<Response<BlockUserResponse>, Status> {
        let caller = caller(&request)?;
        let person = self.person(request.get_ref().user.as_ref()).await?;
        if person.id == caller.id {
            return Err(self_chat().into());
        }
        let me = Person { id: caller.id, number: caller.number };
        let parted = self.are_parted(me, person).await?;
        if !insert_block(&self.db, caller.id, person.id, person.number, self.now()).await? {
            return Err(refused("TOO_MANY_BLOCKS", "at most 1,000 people").into());
        }
        if !parted {
            self.tell_each_other(me, person, false).await;
        }
        Ok(Response::new(BlockUserResponse {}))
    }

    async fn unblock_user(
        &self,
        request: Request<UnblockUserRequest>,
    ) -> Result<Response<UnblockUserResponse>, Status> {
        let caller = caller(&request)?;
        let person = self.person(request.get_ref().user.as_ref()).await?;
        if delete_block(&self.db, caller.id, person.id).await? {
            let me = Person { id: caller.id, number: caller.number };
            if !self.are_parted(me, person).await? {
                self.tell_each_other(me, person, true).await;
            }
        }
        Ok(Response::new(UnblockUserResponse {}))
    }

    async fn list_blocks(&self, request: Request<ListBlocksRequest>) -> Result<Response<ListBlocksResponse>, Status> {
        let caller = caller(&request)?;
        let rows = list_blocks(&self.db, caller.id).await?;
        Ok(Response::new(ListBlocksResponse {
            user_ids: rows.iter().map(|row| row.blocked_id.to_string()).collect(),
            user_numbers: rows.iter().map(|row| row.blocked_number).collect(),
        }))
    }
}

impl Chat {
    /// The room of two people, and whether it is new.
    pub(crate) async fn pair(
        &self,
        me: Person,
        other: Person,
        kind: RoomKind,
        subject: &str,
        opener: Opener,
    ) -> kit::Result<(Uuid, bool)> {
        let subject = if kind == RoomKind::Deal { subject } else { "" };
        let pair = format!("{} {} {} {subject}", kind_name(kind), me.id.min(other.id), me.id.max(other.id));
        let (now, id) = (self.now(), Uuid::now_v7());
        let name = format!("Chat: User {} & User {}", me.number, other.number);
        let new = NewRoom {
            id,
            kind: kind_name(kind),
            name: if kind == RoomKind::Pair { &name } else { "" },
            subject,
            pair: Some(pair.clone()),
            created_by: (me.id, me.number),
            now,
        };
        let mut tx = kit::db::begin(&self.db).await?;
        if let Some(room) = fetch_pair(&mut *tx, &pair).await? {
            show(&mut tx, room, me.id).await?;
            kit::db::commit(tx).await?;
            return Ok((room, false));
        }
        if has_blocked(&mut *tx, other.id, me.id).await? {
            return Err(blocked());
        }
        if opener == Opener::First {
            self.admit_to_new(&mut tx, kind, me.id).await?;
        }
        let Some(number) = insert_room(&mut tx, &new).await? else {
            // Somebody was faster, and has committed.
            drop(tx);
            let room = fetch_pair(&self.db, &pair).await?.ok_or_else(no_such_room)?;
            return Ok((room, false));
        };
        let people = [me, other];
        insert_members(&mut tx, id, &people, None, now).await?;
        publish_created(&mut tx, &new, number, &people).await?;
        kit::db::commit(tx).await?;
        self.tell_entered(id, [me.id, other.id]);
        Ok((id, true))
    }

    /// Whether one of them has blocked the other.
    async fn are_parted(&self, one: Person, other: Person) -> kit::Result<bool> {
        Ok(has_blocked(&self.db, one.id, other.id).await? || has_blocked(&self.db, other.id, one.id).await?)
    }

    /// A room of the caller's with all its members. Reason: `ROOM_NOT_FOUND`.
    pub(crate) async fn room(&self, caller: Caller, room: Uuid, messages: i64) -> kit::Result<Room> {
        self.room_of(caller.id, room, messages).await
    }

    async fn room_of(&self, member: Uuid, room: Uuid, messages: i64) -> kit::Result<Room> {
        let mut conn = self.db.acquire().await?;
        let row = fetch_room(&mut *conn, room, member).await?.ok_or_else(no_such_room)?;
        fill(&mut conn, vec![row], messages, MOST_MEMBERS as i64).await?.pop().ok_or_else(no_such_room)
    }

    /// Nobody is brought together with who does not want to hear from them. Reason: `BLOCKED`.
    async fn must_be_welcome(&self, tx: &mut PgConnection, user: Uuid, people: &[Person]) -> kit::Result<()> {
        let people: Vec<_> = people.iter().map(|person| person.id).collect();
        if is_blocked_by_any(tx, &people, user).await? { Err(blocked()) } else { Ok(()) }
    }

    /// The room under lock. Whoever is not in it, or has hidden it, finds none.
    async fn lock_own(&self, caller: Caller, room: Uuid) -> kit::Result<(PgTransaction<'static>, LockedRoom)> {
        let mut tx = kit::db::begin(&self.db).await?;
        let locked = lock_room(&mut tx, room).await?.ok_or_else(no_such_room)?;
        let member = fetch_membership(&mut *tx, room, caller.id).await?;
        match member {
            Some(member) if !member.hidden => Ok((tx, locked)),
            _ => Err(no_such_room()),
        }
    }

    async fn must_administer(&self, tx: &mut PgConnection, caller: Caller, room: Uuid) -> kit::Result<()> {
        match fetch_membership(&mut *tx, room, caller.id).await? {
            Some(member) if member.admin => Ok(()),
            _ => Err(denied("NOT_YOURS", "only the group's administrators")),
        }
    }

    fn tell_entered(&self, room: Uuid, users: impl IntoIterator<Item = Uuid>) {
        for user in users {
            let line = Line::Person(user);
            self.hub.tell(Packet { line, audience: Audience::All, news: News::RoomsChanged });
        }
        tracing::debug!(room.id = %room, "people entered");
    }

    pub(crate) fn tell_removed(&self, room: Uuid, users: &[Uuid]) {
        for user in users {
            let (line, audience) = (Line::Room(room), Audience::Only(*user));
            self.hub.tell(Packet { line, audience, news: News::Removed });
        }
    }

    /// Tells those in a room what it is after somebody has left. The leaving holds, whatever becomes of this.
    async fn tell_room_to_the_rest(&self, id: Uuid) {
        let told: kit::Result<()> = async {
            if let Some(first) = list_people(&self.db, id).await?.first() {
                self.tell_room(id, &self.room_of(first.id, id, 0).await?);
            }
            Ok(())
        }
        .await;
        if let Err(error) = told {
            tracing::debug!(room.id = %id, %error, "those in the room were not told who left");
        }
    }

    /// Tells those in a room what it is now; what is the caller's own stays out.
    fn tell_room(&self, id: Uuid, room: &Room) {
        let shown = Room { unread_count: 0, muted_until: None, archived: false, ..room.clone() };
        let frame = ServerFrame {
            room_id: room.id.clone(),
            room_number: room.number,
            change: 0,
            frame: Some(Frame::Room(shown)),
        };
        let news = News::Frame(Parcel::new(id, frame));
        self.hub.tell(Packet { line: Line::Room(id), audience: Audience::All, news });
    }
}

async fn publish_created(tx: &mut PgConnection, room: &NewRoom<'_>, number: i64, people: &[Person]) -> kit::Result<()> {
    let event = ChatRoomCreated {
        room_id: number,
        chat_id: room.id.to_string(),
        participants_ids: people.iter().map(|person| person.number).collect(),
        participantes: people.iter().map(|person| person.id.to_string()).collect(),
        trabajo_id: Some(room.subject.to_owned()).filter(|subject| !subject.is_empty()),
    };
    publish(tx, &number.to_string(), &event).await
}

/// Rows with their members and latest messages: at most three more statements, however many rooms.
async fn fill(conn: &mut PgConnection, rows: Vec<RoomRow>, messages: i64, most_members: i64) -> kit::Result<Vec<Room>> {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut members: HashMap<Uuid, Vec<Member>> = HashMap::new();
    for row in list_members(&mut *conn, &ids, most_members).await? {
        members.entry(row.room_id).or_default().push(row.into());
    }
    let mut latest: HashMap<String, Vec<Message>> = HashMap::new();
    if messages > 0 {
        let cleared: Vec<_> = rows.iter().map(|row| row.cleared_through).collect();
        let found = list_latest(&mut *conn, &ids, &cleared, messages).await?;
        for message in with_receipts(conn, found).await? {
            latest.entry(message.room_id.clone()).or_default().push(message);
        }
    }
    let room = |row: RoomRow| Room {
        kind: kind(&row.kind).into(),
        members: members.remove(&row.id).unwrap_or_default(),
        messages: latest.remove(&row.id.to_string()).unwrap_or_default(),
        id: row.id.to_string(),
        number: row.number,
        name: row.name,
        subject: row.subject,
        created_by_id: row.created_by_id.to_string(),
        created_by_number: row.created_by_number,
        created_at: Some(timestamp(row.created_at)),
        last_activity_at: row.last_activity_at.map(timestamp),
        last_sequence: row.last_sequence,
        last_change: row.last_change,
        unread_count: row.unread as i32,
        muted_until: row.muted_until.map(timestamp),
        archived: row.archived,
    };
    Ok(rows.into_iter().map(room).collect())
}

impl From<MemberRow> for Member {
    fn from(row: MemberRow) -> Self {
        Self {
            user_id: row.user_id.to_string(),
            user_number: row.user_number,
            admin: row.admin,
            joined_at: Some(timestamp(row.joined_at)),
            delivered_through: row.delivered_through,
            read_through: row.read_through,
        }
    }
}

pub(crate) fn kind(name: &str) -> RoomKind {
    RoomKind::from_str_name(&format!("ROOM_KIND_{name}")).unwrap_or_default()
}

fn kind_name(kind: RoomKind) -> &'static str {
    kind.as_str_name().trim_start_matches("ROOM_KIND_")
}

/// Kinds that we do not know stay in the list, where no room has them: without any it would mean all.
pub(crate) fn kind_names(kinds: &[i32]) -> Vec<String> {
    kinds.iter().map(|kind| RoomKind::try_from(*kind).map_or_else(|_| String::new(), |k| kind_name(k).into())).collect()
}

fn self_chat() -> kit::Error {
    invalid_because("users", "SELF_CHAT", "nobody chats with themselves")
}

fn pair_is_fixed() -> kit::Error {
    refused("PAIR_IS_FIXED", "a pair has no other members and no administrators")
}

fn too_many() -> kit::Error {
    invalid_because("users", "TOO_MANY_MEMBERS", "at most 2,000 people")
}
