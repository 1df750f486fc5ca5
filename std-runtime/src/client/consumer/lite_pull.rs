//! Pulling of queues that were chosen by hand, from positions that can be set: what RocketMQ calls
//! a lite pull consumer with assigned queues.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::offsets::ConsumedQueue;
use super::pull::{PullConsumer, PullError, PullRequest, PullResult};
use super::received::ReceivedMessage;
use crate::backend::Backend;
use crate::within::within;

/// Pulls messages of the queues that it was assigned, one pull of each at a time.
///
/// Nothing happens by itself: pulls go on while somebody [polls](Self::poll), and offsets are
/// committed by [`commit`](Self::commit).
pub struct LitePullConsumer<B: Backend> {
    puller: PullConsumer<B>,
    queues: Vec<Assigned>,
    tags: Arc<str>,
    /// Whose turn is next, so that none starves.
    turn: usize,
}

struct Assigned {
    queue: ConsumedQueue,
    /// Where the next pull begins; `None` before that is found out.
    position: Option<i64>,
    is_paused: bool,
    pulling: Option<Pulling>,
}

type Pulling = Pin<Box<dyn Future<Output = Result<PullResult, PullError>> + Send>>;

impl<B: Backend> LitePullConsumer<B> {
    pub(in crate::client) fn new(puller: PullConsumer<B>) -> Self {
        Self { puller, queues: Vec::new(), tags: Arc::from("*"), turn: 0 }
    }

    /// Pulls and asks for offsets as it does.
    #[must_use]
    pub const fn puller(&self) -> &PullConsumer<B> {
        &self.puller
    }

    /// Takes messages with these tags only: `a || b`, or `*` for all.
    pub fn choose(&mut self, tags: &str) {
        self.tags = tags.into();
        self.queues.iter_mut().for_each(|assigned| assigned.pulling = None);
    }

    /// These queues, and no others, are pulled from now on. Those that it had keep their positions;
    /// others begin where the group has committed, or else with the first message that is there.
    pub fn assign(&mut self, queues: impl IntoIterator<Item = ConsumedQueue>) {
        let mut before = core::mem::take(&mut self.queues);
        for queue in queues {
            if self.place(&queue).is_some() {
                continue;
            }
            let known = before.iter().position(|assigned| assigned.queue == queue);
            self.queues.push(match known {
                Some(place) => before.swap_remove(place),
                None => Assigned { queue, position: None, is_paused: false, pulling: None },
            });
        }
        self.turn = 0;
    }

    /// The queues that it was assigned.
    pub fn assigned(&self) -> impl Iterator<Item = &ConsumedQueue> {
        self.queues.iter().map(|assigned| &assigned.queue)
    }

    fn place(&self, queue: &ConsumedQueue) -> Option<usize> {
        self.queues.iter().position(|assigned| assigned.queue == *queue)
    }

    fn find(&mut self, queue: &ConsumedQueue) -> Option<&mut Assigned> {
        self.queues.iter_mut().find(|assigned| assigned.queue == *queue)
    }

    /// Goes on at this offset; false for a queue that it was not assigned.
    pub fn seek(&mut self, queue: &ConsumedQueue, offset: i64) -> bool {
        let Some(assigned) = self.find(queue) else { return false };
        (assigned.position, assigned.pulling) = (Some(offset.max(0)), None);
        true
    }

    /// Where the next messages of a queue come from; `None` where that is not known yet.
    #[must_use]
    pub fn position(&self, queue: &ConsumedQueue) -> Option<i64> {
        self.queues.get(self.place(queue)?)?.position
    }

    /// Takes nothing more of a queue until it is [resumed](Self::resume); false for one that it was
    /// not assigned.
    pub fn pause(&mut self, queue: &ConsumedQueue) -> bool {
        let Some(assigned) = self.find(queue) else { return false };
        (assigned.is_paused, assigned.pulling) = (true, None);
        true
    }

    /// Goes on with a queue; false for one that it was not assigned.
    pub fn resume(&mut self, queue: &ConsumedQueue) -> bool {
        let Some(assigned) = self.find(queue) else { return false };
        assigned.is_paused = false;
        true
    }

    /// Messages of one of its queues; none where there were none within `timeout`. The position
    /// moves behind them at once.
    ///
    /// # Errors
    ///
    /// [`PullError`] of one queue; the others are not touched. An offset that is outside its queue
    /// is no error: it goes on where there is something.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message: what is under way goes on with the next call.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ReceivedMessage>, PullError> {
        let backend = self.puller.backend().clone();
        let until = backend.now() + timeout;
        loop {
            let left = until.saturating_duration_since(backend.now());
            self.begin(left);
            let Some((place, pulled)) = within(&backend, until, self.first()).await else {
                return Ok(Vec::new());
            };
            let Some(assigned) = self.queues.get_mut(place) else { continue };
            match pulled {
                Ok(result) => {
                    assigned.position = Some(result.next_offset);
                    if !result.messages.is_empty() {
                        return Ok(result.messages);
                    }
                }
                Err(PullError::OffsetMoved { to }) => assigned.position = Some(to),
                Err(error) => return Err(error),
            }
            if backend.now() >= until {
                return Ok(Vec::new());
            }
        }
    }

    /// Begins pulls of queues of which none is under way.
    fn begin(&mut self, wait: Duration) {
        let wait = wait.clamp(WAIT_MIN, WAIT_MAX);
        for assigned in self.queues.iter_mut() {
            if assigned.pulling.is_some() || assigned.is_paused {
                continue;
            }
            let (puller, tags) = (self.puller.clone(), Arc::clone(&self.tags));
            let (queue, position) = (assigned.queue.clone(), assigned.position);
            assigned.pulling = Some(Box::pin(async move {
                let offset = match position {
                    Some(offset) => offset,
                    None => match puller.committed(&queue).await? {
                        Some(offset) => offset,
                        None => puller.min_offset(&queue).await?,
                    },
                };
                let request = PullRequest { tags: &tags, wait, ..PullRequest::from_offset(offset) };
                puller.pull(&queue, request).await
            }));
        }
    }

    /// The first pull that is answered, beginning with the queue whose turn it is.
    async fn first(&mut self) -> (usize, Result<PullResult, PullError>) {
        let (queues, turn) = (&mut self.queues, &mut self.turn);
        poll_fn(|cx| {
            let count = queues.len();
            for step in 0..count {
                let place = (*turn + step) % count;
                let Some(assigned) = queues.get_mut(place) else { continue };
                let Some(pulling) = &mut assigned.pulling else { continue };
                if let Poll::Ready(pulled) = pulling.as_mut().poll(cx) {
                    assigned.pulling = None;
                    *turn = place + 1;
                    return Poll::Ready((place, pulled));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Commits the positions of all queues: whatever was polled counts as handled.
    ///
    /// # Errors
    ///
    /// The last [`PullError`]; the others were tried nonetheless.
    ///
    /// # Cancel safety
    ///
    /// Some may be committed.
    pub async fn commit(&self) -> Result<(), PullError> {
        let mut committed = Ok(());
        for assigned in &self.queues {
            let Some(position) = assigned.position else { continue };
            if let Err(error) = self.puller.commit(&assigned.queue, position).await {
                committed = Err(error);
            }
        }
        committed
    }
}

/// Brokers hold a pull so long at least, so that calls with little time don't make many of them.
const WAIT_MIN: Duration = Duration::from_millis(500);
/// And so long at most.
const WAIT_MAX: Duration = Duration::from_secs(15);

impl<B: Backend> fmt::Debug for LitePullConsumer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues: Vec<String> =
            self.assigned().map(|queue| alloc::format!("{queue:?}")).collect();
        f.debug_struct("LitePullConsumer")
            .field("group", &self.puller.group())
            .field("queues", &queues)
            .finish_non_exhaustive()
    }
}
