//! How streams and their connection end, and who is told.

use super::error::StreamError;
use super::machine::Streams;
use super::place::Is;
use super::receive::Inbound;
use super::table::List;
use crate::link::CloseReason;
use crate::pool::BufferSource;
use crate::time::Instant;

impl<S: BufferSource> Streams<'_, S> {
    /// Why nothing can be done any more on this connection.
    pub(super) fn ended(&self) -> Option<CloseReason> {
        self.closed.or(self.closing)
    }

    /// The connection is to be closed: streams are lost.
    pub(super) fn begin_closing(&mut self, reason: CloseReason) {
        if self.closing.is_none() && self.closed.is_none() {
            self.closing = Some(reason);
            self.lose_streams(reason);
        }
    }

    /// The connection is gone.
    pub(super) fn finish_closing(&mut self, reason: CloseReason) {
        let reason = self.closing.unwrap_or_else(|| self.ended_by(reason));
        self.closed = Some(reason);
        self.lose_streams(reason);
        self.outbound.clear();
        self.inbound = Inbound::new();
    }

    /// Two ends that say goodbye race: whoever is first closes the transport, and the other can't
    /// write, or read, what is of no use any more. That is an end, and no failure.
    fn ended_by(&self, reason: CloseReason) -> CloseReason {
        let nothing_lost = || {
            let mut places = self.table.numbers().filter_map(|place| self.table.get(place));
            places.all(|place| {
                // Of some that nobody has accepted no more than the number was heard.
                let is_only_announced = place.has(Is::WAITING) && place.unread == 0;
                place.id == 0 || place.has(Is::DEAD) || is_only_announced
            })
        };
        match (reason, self.go_away_sent, self.go_away_received) {
            (CloseReason::Read | CloseReason::Write, Some(_), _) if nothing_lost() => {
                CloseReason::Local
            }
            (CloseReason::Read | CloseReason::Write, None, Some(_)) if nothing_lost() => {
                CloseReason::Peer
            }
            _ => reason,
        }
    }

    pub(super) fn lose_streams(&mut self, reason: CloseReason) {
        for place in self.table.numbers() {
            let Some(found) = self.table.get_mut(place).filter(|found| found.id != 0) else {
                continue;
            };
            found.clear(Is::RST_DUE);
            if !found.has(Is::DEAD) {
                self.end_sending(place);
                self.revoke(place);
                if let Some(found) = self.table.get_mut(place) {
                    found.error = Some(StreamError::Closed(reason));
                    found.set(Is::DEAD);
                }
                self.tell(place, Is::READABLE.and(Is::WRITABLE));
            }
            self.vacate_if_over(place);
        }
        self.wake_accept();
        self.wake_open();
    }

    /// Ends a stream in both directions, and tells the peer if it is to be told.
    pub(super) fn kill(&mut self, place: u32, error: StreamError, tell_peer: bool) {
        self.drop_unread(place);
        self.end_sending(place);
        self.revoke(place);
        self.acknowledge(place);
        self.table.forget(place);
        let Some(found) = self.table.get_mut(place) else {
            return;
        };
        // A stream that the peer never heard of can go silently.
        let tell_peer = tell_peer && !found.has(Is::SYN_DUE);
        found.clear(Is::SYN_DUE.and(Is::ACK_DUE).and(Is::FIN_RECEIVED));
        found.error = Some(error);
        found.linger_until = Instant::NEVER;
        found.set(Is::DEAD);
        if tell_peer {
            found.set(Is::RST_DUE);
            self.counters.resets_sent = self.counters.resets_sent.wrapping_add(1);
            self.table.push(List::Ready, place);
        } else {
            self.counters.resets_received = self.counters.resets_received.wrapping_add(1);
        }
        self.tell(place, Is::READABLE.and(Is::WRITABLE));
        self.vacate_if_over(place);
    }

    /// The peer knows of an own stream, or nobody cares any more whether it does.
    pub(super) fn acknowledge(&mut self, place: u32) {
        if let Some(found) = self.table.get_mut(place)
            && found.take(Is::UNACKNOWLEDGED)
        {
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
            self.wake_open();
        }
    }

    pub(super) fn drop_unread(&mut self, place: u32) {
        if let Some(found) = self.table.get_mut(place) {
            found.receive.clear();
            let unread = core::mem::take(&mut found.unread);
            if unread > 0 {
                self.ledger.left(unread as usize);
                self.after_budget_freed();
            }
        }
    }

    pub(super) fn end_sending(&mut self, place: u32) {
        if let Some(found) = self.table.get_mut(place) {
            found.send.clear();
            found.queued = 0;
        }
    }

    /// The peer sends nothing more, or nothing that counts.
    pub(super) fn revoke(&mut self, place: u32) {
        if let Some(found) = self.table.get_mut(place) {
            let credit = core::mem::take(&mut found.credit);
            self.ledger.revoked(credit);
            if found.take(Is::WITHHELD) {
                self.withheld = self.withheld.saturating_sub(1);
            }
        }
    }

    /// Frames do not find a stream that is over; once it is released too, its place is given back.
    pub(super) fn vacate_if_over(&mut self, place: u32) {
        let Some(found) = self.table.get(place).filter(|found| found.id != 0 && found.is_over())
        else {
            return;
        };
        let released = found.has(Is::RELEASED) && !found.has(Is::WAITING);
        self.table.forget(place);
        if released {
            self.drop_unread(place);
            self.end_sending(place);
            self.revoke(place);
            self.acknowledge(place);
            self.table.vacate(place);
            self.wake_open();
        }
    }

    /// Streams that were refused more credit may ask again.
    pub(super) fn grant_withheld(&mut self) {
        if self.withheld == 0 {
            return;
        }
        self.withheld = 0;
        for place in self.table.numbers() {
            if self.table.get_mut(place).is_some_and(|found| found.take(Is::WITHHELD)) {
                self.table.push(List::Ready, place);
            }
        }
    }

    /// Raises those of `events` that somebody waits for.
    pub(super) fn tell(&mut self, place: u32, events: Is) {
        let Some(found) = self.table.get_mut(place) else {
            return;
        };
        let mut told = false;
        for (event, wanted) in [(Is::READABLE, Is::READ_WANTED), (Is::WRITABLE, Is::WRITE_WANTED)] {
            if events.includes(event) && found.take(wanted) {
                found.set(event);
                told = true;
            }
        }
        if told {
            self.table.push(List::Events, place);
        }
    }

    pub(super) fn wake_accept(&mut self) {
        self.accept_due |= core::mem::take(&mut self.accept_wanted);
    }

    pub(super) fn wake_open(&mut self) {
        self.open_due |= core::mem::take(&mut self.open_wanted);
    }
}
