//! The task of one queue: finds where it begins, pulls, commits, and gives it away.
//!
//! It has at most one request under way that brings something and one that commits; what they are
//! about is decided by the queue. When the queue needs it, it is called by its bell.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

use alloc::boxed::Box;
use alloc::sync::Arc;

use turbopump_core::rocketmq::consumer::{ConsumeMode, Epoch, PullAnswer};
use turbopump_core::time::Instant;

use super::group::Group;
use super::queue::{Commit, OwnedQueue, Pulled, Request, Stage};
use super::stats::Event;
use super::unpack::Unpacked;
use crate::backend::Backend;
use crate::end::Ticket;

/// What has come of a request.
pub(super) enum Answered {
    /// Code and offset; `None` for no answer.
    Start { epoch: Epoch, number: u32, answer: Option<(i32, i64)> },
    /// What a broker has said, with the messages that it has sent.
    Pull { epoch: Epoch, number: u64, answer: Option<(PullAnswer, Unpacked)> },
}

type Asking = Pin<Box<dyn Future<Output = Answered> + Send>>;
type Committing = Pin<Box<dyn Future<Output = (Commit, bool)> + Send>>;

/// Why the task goes on.
enum Woken {
    Answered(Answered),
    Committed(Commit, bool),
    Called,
}

/// Requests that are under way.
#[derive(Default)]
struct UnderWay {
    asking: Option<(Epoch, Asking)>,
    committing: Option<Committing>,
}

/// Runs until the queue is somebody else's.
pub(super) async fn run<B: Backend>(group: Arc<Group<B>>, queue: Arc<OwnedQueue>, ticket: Ticket) {
    let _ticket = ticket;
    let mut under_way = UnderWay::default();
    loop {
        let now = group.now();
        if queue.handle_timeout(now) {
            group.ready.push(Arc::clone(&queue));
        }
        if is_over(&group, &queue, &under_way) {
            return;
        }
        begin(&group, &queue, &mut under_way, now);
        let at = queue.poll_timeout(under_way.asking.is_some());
        match wait(&group, &queue, &mut under_way, at).await {
            Woken::Called => {}
            Woken::Answered(answered) => {
                under_way.asking = None;
                handle(&group, &queue, answered);
            }
            Woken::Committed(commit, is_committed) => {
                under_way.committing = None;
                let event = if is_committed { Event::Committed } else { Event::CommitFailed };
                group.stats.count(event);
                queue.handle_commit(group.now(), commit, is_committed);
            }
        }
    }
}

/// Gives the queue away step by step; true at the end.
fn is_over<B: Backend>(group: &Arc<Group<B>>, queue: &OwnedQueue, under_way: &UnderWay) -> bool {
    match queue.stage() {
        Stage::Stopping if queue.is_idle() => group.handle_idle(queue),
        Stage::Committing if under_way.committing.is_none() && queue.is_committed() => {
            group.handle_committed(queue);
        }
        Stage::Left if group.config.mode != ConsumeMode::Ordered => return true,
        Stage::Left if queue.is_idle() => {
            // Its place is kept as long as a handler runs that was not waited for.
            group.handle_idle(queue);
            return true;
        }
        _ => return false,
    }
    // The next step was taken, as a rule.
    queue.stage() == Stage::Left && queue.is_idle()
}

/// Begins what is to be asked, and drops what is of no use any more.
fn begin<B: Backend>(
    group: &Arc<Group<B>>,
    queue: &Arc<OwnedQueue>,
    under_way: &mut UnderWay,
    now: Instant,
) {
    let asks = matches!(queue.stage(), Stage::Finding | Stage::Running);
    let is_stale = |(epoch, _): &mut (Epoch, Asking)| !asks || *epoch != queue.epoch();
    drop(under_way.asking.take_if(is_stale));
    if under_way.asking.is_none() {
        let (own, queue) = (Arc::clone(group), Arc::clone(queue));
        under_way.asking = match queue.poll_request(now) {
            None => None,
            Some(Request::Start(epoch, request)) => {
                Some((epoch, Box::pin(async move { own.ask_start(&queue, epoch, request).await })))
            }
            Some(Request::Pull(epoch, pull)) => {
                Some((epoch, Box::pin(async move { own.pull(&queue, epoch, pull).await })))
            }
        };
    }
    if under_way.committing.is_none()
        && let Some(commit) = queue.poll_commit(now)
    {
        let (own, queue) = (Arc::clone(group), Arc::clone(queue));
        under_way.committing =
            Some(Box::pin(async move { (commit, own.commit(&queue, commit).await) }));
    }
}

async fn wait<B: Backend>(
    group: &Group<B>,
    queue: &OwnedQueue,
    under_way: &mut UnderWay,
    at: Option<Instant>,
) -> Woken {
    let at = at.and_then(|at| group.inner.clock.system_instant(at));
    let mut called = pin!(queue.bell.rung_or_at(&group.inner.backend, at));
    let UnderWay { asking, committing } = under_way;
    poll_fn(|cx| {
        if let Some((_, asking)) = asking
            && let Poll::Ready(answered) = asking.as_mut().poll(cx)
        {
            return Poll::Ready(Woken::Answered(answered));
        }
        if let Some(committing) = committing
            && let Poll::Ready((commit, is_committed)) = committing.as_mut().poll(cx)
        {
            return Poll::Ready(Woken::Committed(commit, is_committed));
        }
        called.as_mut().poll(cx).map(|_| Woken::Called)
    })
    .await
}

fn handle<B: Backend>(group: &Arc<Group<B>>, queue: &Arc<OwnedQueue>, answered: Answered) {
    let now = group.now();
    match answered {
        Answered::Start { epoch, number, answer } => {
            queue.handle_start(now, epoch, number, answer, &mut group.random());
        }
        Answered::Pull { epoch, number, answer: None } => {
            group.stats.count(Event::PullFailed);
            group.inner.routes.doubt(&queue.wire_topic);
            queue.handle_pull_failed(now, epoch, number, &mut group.random());
        }
        Answered::Pull { epoch, number, answer: Some(answer) } => {
            let bytes: usize = answer.1.deliveries.iter().map(|one| one.bytes() as usize).sum();
            let handled = queue.handle_pulled(now, epoch, number, answer, &mut group.random());
            let (pulled, joins) = handled;
            if joins {
                group.ready.push(Arc::clone(queue));
            }
            match pulled {
                Pulled::Messages(_) => group.stats.count_pull(&queue.from.topic, bytes),
                Pulled::Nothing => {}
                Pulled::Failed => group.stats.count(Event::PullFailed),
                Pulled::Unknown => group.introduce_again(queue),
                Pulled::Moved { epoch, to } => group.restart(queue, epoch, to),
            }
        }
    }
}
