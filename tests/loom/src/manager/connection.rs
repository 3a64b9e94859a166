//! Why a connection ended, as far as the control names it.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    BodyLeftUnread,
    Cancelled,
    TimedOut,
    ClosedById,
    ClosedByOrigin,
    ClosedByAll,
    ManagerShutDown,
    ForkedAway,
    NetworkChanged,
}
