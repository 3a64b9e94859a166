//! The cancel token: it is fired once, from any thread, and notifies the work that uses it.
//!
//! A token knows nothing of requests or connections: it calls its [`Watch`]ers. What a watcher does (end one
//! lease, wake one wait) is bound to that watcher, so a token that is fired late has no effect on other work.

use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, Weak, lock};
use crate::timer::{self, TimerTarget};

/// A cancel token. Tokens are a tree: children are cancelled with their parent, not the other way round.
///
/// Create: [`new`](Self::new), [`child`](Self::child). A clone is the same token. Threads: any thread at any
/// time; nothing here blocks.
///
/// ```
/// use hangup::CancelToken;
///
/// let token = CancelToken::new();
/// let child = token.child();
/// token.fire(Some("the user left"));
/// assert!(child.is_fired());
/// assert_eq!(child.reason().as_deref(), Some("the user left"));
/// ```
#[derive(Clone)]
pub struct CancelToken(Arc<Node>);

/// Why a token ended its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Fired,
    Deadline,
}

/// Is called when a token is fired: at most once for a registration, with no lock held.
pub(crate) trait Watch: Send + Sync {
    fn fired(&self, why: Why);
}

/// A registration. Dropping it removes the watcher.
pub(crate) struct Watching {
    node: Arc<Node>,
    key: u64,
}

struct Node {
    parent: Option<Arc<Node>>,
    /// The same as `state.ended.is_some()`, without the lock.
    ended: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ended: Option<Why>,
    reason: Option<Arc<str>>,
    deadline: Option<Instant>,
    watchers: Vec<(u64, Weak<dyn Watch>)>,
    children: Vec<Weak<Node>>,
    /// When there are so many children, the dropped ones are removed from the list.
    prune_at: usize,
    next_key: u64,
}

impl CancelToken {
    /// A token without a parent.
    pub fn new() -> Self {
        Self(Arc::new(Node::new(None)))
    }

    /// A child: it is fired with this one, or alone.
    pub fn child(&self) -> Self {
        let child = Arc::new(Node::new(Some(Arc::clone(&self.0))));
        let mut state = lock(&self.0.state);
        if let Some(why) = state.ended {
            let reason = state.reason.clone();
            drop(state);
            child.end(why, reason);
        } else {
            state.adopt(&child);
        }
        Self(child)
    }

    /// Gives the token a deadline; of several the earliest counts. Work that it ends is timed out.
    ///
    /// ```
    /// use std::time::Duration;
    /// let token = hangup::CancelToken::new();
    /// token.after(Duration::from_secs(30));
    /// assert!(!token.is_fired());
    /// ```
    pub fn after(&self, limit: Duration) {
        // A time beyond the range of the clock never comes.
        let Some(at) = Instant::now().checked_add(limit) else { return };
        let mut state = lock(&self.0.state);
        if state.ended.is_some() || state.deadline.is_some_and(|earlier| earlier <= at) {
            return;
        }
        state.deadline = Some(at);
        // A watcher that registers from now on sees the deadline and keeps it by itself. The timer is for
        // those that are registered already.
        let has_listeners = !state.watchers.is_empty() || !state.children.is_empty();
        drop(state);
        if has_listeners {
            let node: Weak<Node> = Arc::downgrade(&self.0);
            timer::at(at, node);
        }
    }

    /// Fires it. The first reason is kept.
    pub fn fire(&self, reason: Option<&str>) {
        self.0.end(Why::Fired, reason.map(Arc::from));
    }

    /// Whether it, or a parent, was fired or has passed its deadline.
    pub fn is_fired(&self) -> bool {
        self.why(Instant::now).is_some()
    }

    /// The reason that was given to [`fire`](Self::fire).
    pub fn reason(&self) -> Option<String> {
        self.shared_reason().map(|reason| reason.to_string())
    }

    pub(crate) fn shared_reason(&self) -> Option<Arc<str>> {
        lock(&self.0.state).reason.clone()
    }

    /// The earliest deadline on the way to the root.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.ancestors().filter_map(|node| lock(&node.state).deadline).min()
    }

    pub(crate) fn why(&self, now: impl FnOnce() -> Instant) -> Option<Why> {
        if self.0.ended.load(Ordering::Acquire) {
            return lock(&self.0.state).ended;
        }
        self.deadline().filter(|at| *at <= now()).map(|_| Why::Deadline)
    }

    /// Registers a watcher, or returns why it is too late.
    pub(crate) fn watch(&self, watcher: Weak<dyn Watch>) -> Result<Watching, Why> {
        let mut state = lock(&self.0.state);
        if let Some(why) = state.ended {
            return Err(why);
        }
        let key = state.next_key;
        state.next_key += 1;
        state.watchers.push((key, watcher));
        Ok(Watching { node: Arc::clone(&self.0), key })
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelToken").field("fired", &self.is_fired()).finish_non_exhaustive()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut state = lock(&self.node.state);
        // Keys grow, and removal keeps the order.
        if let Ok(index) = state.watchers.binary_search_by_key(&self.key, |(key, _)| *key) {
            state.watchers.remove(index);
        }
    }
}

impl Node {
    fn new(parent: Option<Arc<Self>>) -> Self {
        let state = Mutex::new(State { prune_at: 16, ..State::default() });
        Self { parent, ended: AtomicBool::new(false), state }
    }

    /// Ends this token and its children; calls every watcher after the lock is released.
    fn end(&self, why: Why, reason: Option<Arc<str>>) {
        let mut state = lock(&self.state);
        if state.ended.is_some() {
            return;
        }
        state.ended = Some(why);
        state.reason.clone_from(&reason);
        self.ended.store(true, Ordering::Release);
        let watchers = std::mem::take(&mut state.watchers);
        let children = std::mem::take(&mut state.children);
        drop(state);
        for (_, watcher) in watchers {
            if let Some(watcher) = watcher.upgrade() {
                watcher.fired(why);
            }
        }
        for child in children {
            if let Some(child) = child.upgrade() {
                child.end(why, reason.clone());
            }
        }
    }

    /// This node, its parent, and so on to the root.
    fn ancestors(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |node| node.parent.as_deref())
    }
}

impl TimerTarget for Node {
    fn expired(&self, _: Instant) -> Option<Instant> {
        self.end(Why::Deadline, None);
        None
    }
}

impl State {
    fn adopt(&mut self, child: &Arc<Node>) {
        if self.children.len() >= self.prune_at {
            self.children.retain(|child| child.strong_count() > 0);
            self.prune_at = (self.children.len() * 2).max(16);
        }
        self.children.push(Arc::downgrade(child));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Watch for Count {
        fn fired(&self, _: Why) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn watched(token: &CancelToken) -> (std::sync::Arc<Count>, Watching) {
        let count = std::sync::Arc::new(Count::default());
        let watcher: std::sync::Weak<Count> = std::sync::Arc::downgrade(&count);
        let watching = token.watch(watcher).ok().unwrap();
        (count, watching)
    }

    #[test]
    fn a_parent_cancels_its_children_and_a_child_not_its_parent() {
        let parent = CancelToken::new();
        let (one, two) = (parent.child(), parent.child());
        one.fire(Some("one"));
        assert!(one.is_fired() && !two.is_fired() && !parent.is_fired());
        parent.fire(Some("all"));
        assert!(two.is_fired() && parent.child().is_fired());
        assert_eq!(two.reason().as_deref(), Some("all"));
        assert_eq!(one.reason().as_deref(), Some("one"));
    }

    #[test]
    fn a_watcher_is_called_once_and_not_after_it_left() {
        let token = CancelToken::new();
        let (stays, _watching) = watched(&token);
        let (left, gone) = watched(&token);
        drop(gone);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| token.fire(None));
            }
        });
        assert_eq!(stays.0.load(Ordering::SeqCst), 1);
        assert_eq!(left.0.load(Ordering::SeqCst), 0);
        assert_eq!(token.watch(std::sync::Weak::<Count>::new()).err(), Some(Why::Fired));
    }

    #[test]
    fn a_deadline_fires_a_token_that_is_watched_already() {
        let token = CancelToken::new();
        let child = token.child();
        let (count, _watching) = watched(&child);
        token.after(Duration::from_millis(5));
        let end = Instant::now() + Duration::from_secs(10);
        while count.0.load(Ordering::SeqCst) == 0 {
            assert!(Instant::now() < end, "the deadline never fired");
            std::thread::yield_now();
        }
        assert_eq!(child.why(Instant::now), Some(Why::Deadline));
    }
}
