//! Where an inbox stands in its rooms, as it is told when its stream breaks. Kept by the rooms' numbers, so that a
//! position costs what it says and is found at once.

use proto::chat::v1::{Position, Positions};

/// As many as `chat` takes. Who is told more rooms than that loses their oldest.
const MOST: usize = 1_000;

/// As they came.
pub(super) fn sorted(mut positions: Positions) -> Positions {
    positions.rooms.sort_unstable_by_key(|position| position.room_number);
    positions.rooms.shrink_to_fit();
    positions
}

/// The last change that was told of a room.
pub(super) fn change(positions: &Positions, room: i64) -> i64 {
    at(positions, room).map_or(0, |at| positions.rooms[at].change)
}

/// Something was told of a room, perhaps a new one.
pub(super) fn reach(positions: &mut Positions, room: i64, change: i64) {
    match at(positions, room) {
        Ok(at) => positions.rooms[at].change = change.max(positions.rooms[at].change),
        Err(mut at) => {
            if positions.rooms.len() >= MOST {
                positions.rooms.remove(0);
                at = at.saturating_sub(1);
            }
            positions.rooms.insert(at, Position { room_number: room, change });
        }
    }
}

/// A room is not the person's any more.
pub(super) fn leave(positions: &mut Positions, room: i64) {
    if let Ok(at) = at(positions, room) {
        positions.rooms.remove(at);
    }
}

/// Its place, or where it would have one.
fn at(positions: &Positions, room: i64) -> Result<usize, usize> {
    positions.rooms.binary_search_by_key(&room, |position| position.room_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(positions: &Positions) -> Vec<(i64, i64)> {
        positions.rooms.iter().map(|position| (position.room_number, position.change)).collect()
    }

    #[test]
    fn positions_rise_and_rooms_come_and_go() {
        let rooms = [(9, 4), (2, 0), (5, 7)].map(|(room_number, change)| Position { room_number, change });
        let mut positions = sorted(Positions { rooms: rooms.into() });
        for (room, to) in [(5, 8), (5, 6), (7, 1), (2, 3)] {
            reach(&mut positions, room, to);
        }
        leave(&mut positions, 9);
        leave(&mut positions, 1);
        assert_eq!(told(&positions), [(2, 3), (5, 8), (7, 1)]);
        assert_eq!((change(&positions, 5), change(&positions, 9)), (8, 0));
    }

    #[test]
    fn no_more_are_kept_than_may_be_said() {
        let mut positions = Positions::default();
        for room in (1..=1_500).rev() {
            reach(&mut positions, room, 1);
        }
        assert_eq!(positions.rooms.len(), MOST);
        assert!(positions.rooms.is_sorted_by_key(|position| position.room_number));
        assert_eq!(change(&positions, 1), 1, "the last one that was told");
    }
}
