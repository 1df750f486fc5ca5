//! Whether what comes is what was sent.

use std::collections::HashMap;

use turbopump::core::stats::LatencyHistogram;

use super::input::Input;
use super::message::Message;

/// Sees messages in the order of their coming, in one place on their way.
pub(crate) struct Checker {
    /// A bit for each number.
    seen: Vec<u64>,
    /// The last number of each key.
    last: HashMap<Box<[u8]>, u64>,
    found: Found,
}

/// What a checker has found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Messages that came, each counted once.
    pub(crate) received: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    /// Messages whose line is another than that which was sent, or which nobody has sent, and what
    /// is no message.
    pub(crate) damaged: u64,
    pub(crate) latency_us: LatencyHistogram,
}

impl Checker {
    pub(crate) fn new(messages: u64) -> Self {
        let words = messages.div_ceil(64) as usize;
        Self { seen: vec![0; words], last: HashMap::new(), found: Found::default() }
    }

    pub(crate) fn found(&self) -> &Found {
        &self.found
    }

    /// `now_us` where the time since its sending counts.
    pub(crate) fn check(&mut self, input: &Input, bytes: &[u8], now_us: Option<u64>) {
        let Ok(message) = Message::parse(bytes) else {
            self.found.damaged += 1;
            return;
        };
        let (word, bit) = (message.sequence / 64, 1 << (message.sequence % 64));
        let Some(seen) = self.seen.get_mut(word as usize) else {
            self.found.damaged += 1;
            return;
        };
        if *seen & bit != 0 {
            self.found.duplicated += 1;
            return;
        }
        *seen |= bit;
        self.found.received += 1;
        if message.line != input.line(message.sequence) {
            self.found.damaged += 1;
        }
        if let Some(now_us) = now_us {
            self.found.latency_us.observe(now_us.saturating_sub(message.sent_us));
        }
        self.check_order(input.key(message.line), message.sequence);
    }

    fn check_order(&mut self, key: &[u8], sequence: u64) {
        // Looked up twice for a new key only, so that nothing is allocated for the others.
        match self.last.get_mut(key) {
            Some(last) if *last > sequence => self.found.out_of_order += 1,
            Some(last) => *last = sequence,
            None => {
                self.last.insert(key.into(), sequence);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(input: &Input, sequence: u64) -> Vec<u8> {
        [&Message::head(sequence, 10)[..], input.line(sequence)].concat()
    }

    #[test]
    fn whatever_goes_wrong_is_found() {
        let input = Input::flights().unwrap();
        let mut checker = Checker::new(100_000);
        // The same aircraft once more after a whole round of the input.
        for sequence in [50_000, 0, 0, 1] {
            checker.check(&input, &message(&input, sequence), Some(25));
        }
        let mut wrong = message(&input, 2);
        *wrong.last_mut().unwrap() ^= 1;
        checker.check(&input, &wrong, None);
        checker.check(&input, &message(&input, 100_050), None);
        checker.check(&input, &wrong[..15], None);
        let found = checker.found();
        assert_eq!((found.received, found.duplicated), (4, 1));
        assert_eq!((found.out_of_order, found.damaged), (1, 3));
    }
}
