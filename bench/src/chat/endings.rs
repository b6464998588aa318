//! How soon sockets end whose sessions have ended, or whose people have left the room.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use proto::auth::v1::LogOutRequest;
use proto::auth::v1::session_service_client::SessionServiceClient;
use proto::chat::v1::room_service_client::RoomServiceClient;
use proto::chat::v1::{LeaveRoomRequest, RoomKey, room_key};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::client::Socket;
use super::ground::Ground;
use super::people::Member;
use super::soak::open_group;
use super::speed::{Line, line, percentiles};

/// Between two that end, so that each is measured for itself.
const PAUSE: Duration = Duration::from_millis(100);
const GOAL: f64 = 1_000.0;

/// Times from the request, at one edge, to the end of the socket at the other one, which hangs on another chat. Afterwards
/// some of these people are logged out.
pub(crate) async fn endings(ground: &Ground, edge: &Channel, people: &[Member]) -> anyhow::Result<Vec<Line>> {
    let room = open_group(edge, people).await?;
    let (_, others) = people.split_first().context("somebody made the room")?;
    let (leaving, logging_out) = others.split_at(others.len() / 2);
    let mut left = times(ground, room, leaving, 4403, async |member: &Member| {
        let room = Some(RoomKey { key: Some(room_key::Key::Number(room)), ..RoomKey::default() });
        RoomServiceClient::new(edge.clone()).leave_room(member.asks(LeaveRoomRequest { room })?).await?;
        Ok(())
    })
    .await?;
    let mut logged_out = times(ground, room, logging_out, 4401, async |member: &Member| {
        SessionServiceClient::new(edge.clone()).log_out(member.asks(LogOutRequest::default())?).await?;
        Ok(())
    })
    .await?;
    let row = |what: &str, times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        let met = times.last().is_some_and(|slowest| *slowest <= GOAL);
        line(what, percentiles(times), "1,000 each", Some(met))
    };
    Ok(vec![
        row("from logging out to 4401 at a socket of another edge: p50, p95, p99 ms", &mut logged_out),
        row("from leaving a room to 4403 there: p50, p95, p99 ms", &mut left),
    ])
}

async fn times(
    ground: &Ground,
    room: i64,
    people: &[Member],
    code: u16,
    act: impl AsyncFn(&Member) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<f64>> {
    let mut sockets = JoinSet::new();
    let mut times = Vec::new();
    for member in people {
        let mut socket = Socket::open(ground.edges()[1], None, room, &member.token, None).await?;
        socket.next().await?;
        sockets.spawn(async move { (socket.end().await, Instant::now()) });
        let began = Instant::now();
        act(member).await?;
        let (ended, at) = sockets.join_next().await.context("one ends")??;
        let ended = ended?;
        ensure!(ended == Some(code), "the socket ended with {ended:?} instead of {code}");
        times.push((at - began).as_secs_f64() * 1e3);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times)
}
