//! What may become of ads and of orders. Pure: whoever asks holds the row's lock.

use kit::error::refused;

/// Where an ad stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum AdState {
    /// For sale.
    Active,
    /// Not for sale for now.
    Paused,
    /// Sold outside of the platform.
    Sold,
    /// Sold by an order that is not cancelled. To others this is sold, too.
    Ordered,
    /// Put away.
    Archived,
}

/// What happens to an ad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdCommand {
    /// The publisher offers it.
    Activate,
    /// The publisher pauses it.
    Pause,
    /// The publisher says that it is sold.
    Sell,
    /// The publisher puts it away.
    Archive,
    /// Somebody buys it.
    Order,
    /// The order is cancelled.
    Release,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum OrderState {
    /// Waits for its payment.
    AwaitingPayment,
    /// The buyer waits for the thing.
    Placed,
    /// The buyer has it.
    Completed,
    /// Called off.
    Cancelled,
}

/// What happens to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderCommand {
    /// The payment has come.
    Pay,
    /// The seller says that the buyer has the thing.
    Complete,
    /// Either side calls it off.
    Cancel,
    /// The payment did not come in time.
    Expire,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Only what is active can be bought.
    NotForSale,
    /// What is sold can only be put away.
    Sold,
    /// Only the order decides about it.
    Ordered,
    /// There is no order to release it from.
    NotOrdered,
    /// The order is at an end, or not yet there.
    OrderState,
}

impl AdState {
    /// ```text
    ///            Active    Paused    Sold      Ordered   Archived
    /// Activate   ·         Active    refused   refused   Active
    /// Pause      Paused    ·         refused   refused   Paused
    /// Sell       Sold      Sold      ·         ·         Sold
    /// Archive    Archived  Archived  Archived  refused   ·
    /// Order      Ordered   refused   refused   refused   refused
    /// Release    refused   refused   refused   Active    refused
    /// ```
    /// A dot is the same state again: what was asked for is so already.
    pub(crate) fn after(self, command: AdCommand) -> Result<Self, Refusal> {
        use AdCommand::{Activate, Archive, Order, Pause, Release, Sell};
        use AdState::{Active, Archived, Ordered, Paused, Sold};
        match (command, self) {
            (Activate, Active | Paused | Archived) => Ok(Active),
            (Pause, Active | Paused | Archived) => Ok(Paused),
            (Activate | Pause, Sold) => Err(Refusal::Sold),
            (Sell, Active | Paused | Sold | Archived) => Ok(Sold),
            (Sell, Ordered) => Ok(Ordered),
            (Archive, Active | Paused | Sold | Archived) => Ok(Archived),
            (Activate | Pause | Archive, Ordered) => Err(Refusal::Ordered),
            (Order, Active) => Ok(Ordered),
            (Order, Paused | Sold | Ordered | Archived) => Err(Refusal::NotForSale),
            (Release, Ordered) => Ok(Active),
            (Release, Active | Paused | Sold | Archived) => Err(Refusal::NotOrdered),
        }
    }
}

impl OrderState {
    /// ```text
    ///            AwaitingPayment  Placed     Completed  Cancelled
    /// Pay        Placed           ·          ·          refused
    /// Complete   refused          Completed  ·          refused
    /// Cancel     Cancelled        Cancelled  refused    ·
    /// Expire     Cancelled        refused    refused    ·
    /// ```
    /// A dot is the same state again. That a payment has come may be told late and twice.
    pub(crate) fn after(self, command: OrderCommand) -> Result<Self, Refusal> {
        use OrderCommand::{Cancel, Complete, Expire, Pay};
        use OrderState::{AwaitingPayment, Cancelled, Completed, Placed};
        match (command, self) {
            (Pay, AwaitingPayment | Placed) => Ok(Placed),
            (Pay | Complete, Completed) | (Complete, Placed) => Ok(Completed),
            (Cancel, AwaitingPayment | Placed | Cancelled) => Ok(Cancelled),
            (Expire, AwaitingPayment | Cancelled) => Ok(Cancelled),
            (Pay | Complete, Cancelled)
            | (Complete, AwaitingPayment)
            | (Cancel | Expire, Completed)
            | (Expire, Placed) => Err(Refusal::OrderState),
        }
    }
}

impl From<Refusal> for kit::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotForSale => refused("AD_NOT_AVAILABLE", "this is not for sale"),
            Refusal::Sold => refused("AD_STATE_REFUSED", "what is sold can only be archived"),
            Refusal::Ordered => refused("AD_STATE_REFUSED", "it is sold by an order, which would have to be cancelled"),
            Refusal::NotOrdered => refused("AD_STATE_REFUSED", "it is not sold by an order"),
            Refusal::OrderState => refused("ORDER_STATE_REFUSED", "the order is in another state"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AdCommand::{Activate, Archive, Order, Pause, Release, Sell};
    use super::AdState::{Active, Archived, Ordered, Paused, Sold};
    use super::OrderCommand::{Cancel, Complete, Expire, Pay};
    use super::OrderState::{AwaitingPayment, Cancelled, Completed, Placed};
    use super::*;

    #[test]
    fn every_cell_of_the_table_of_ads() {
        let states = [Active, Paused, Sold, Ordered, Archived];
        let (for_sale, sold) = (Err(Refusal::NotForSale), Err(Refusal::Sold));
        let (ordered, not_ordered) = (Err(Refusal::Ordered), Err(Refusal::NotOrdered));
        for (command, row) in [
            (Activate, [Ok(Active), Ok(Active), sold, ordered, Ok(Active)]),
            (Pause, [Ok(Paused), Ok(Paused), sold, ordered, Ok(Paused)]),
            (Sell, [Ok(Sold), Ok(Sold), Ok(Sold), Ok(Ordered), Ok(Sold)]),
            (Archive, [Ok(Archived), Ok(Archived), Ok(Archived), ordered, Ok(Archived)]),
            (Order, [Ok(Ordered), for_sale, for_sale, for_sale, for_sale]),
            (Release, [not_ordered, not_ordered, not_ordered, Ok(Active), not_ordered]),
        ] {
            assert_eq!(states.map(|state| state.after(command)), row, "{command:?}");
        }
    }

    #[test]
    fn every_cell_of_the_table_of_orders() {
        let states = [AwaitingPayment, Placed, Completed, Cancelled];
        let no = Err(Refusal::OrderState);
        for (command, row) in [
            (Pay, [Ok(Placed), Ok(Placed), Ok(Completed), no]),
            (Complete, [no, Ok(Completed), Ok(Completed), no]),
            (Cancel, [Ok(Cancelled), Ok(Cancelled), no, Ok(Cancelled)]),
            (Expire, [Ok(Cancelled), no, no, Ok(Cancelled)]),
        ] {
            assert_eq!(states.map(|state| state.after(command)), row, "{command:?}");
        }
    }
}
