"""`CancelToken`: cancels requests from any thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from . import _native
from ._timeouts import Seconds, milliseconds

if TYPE_CHECKING:
    import ctypes


class CancelToken(_native.CancelToken):
    """Cancels the requests that were sent with it: `client.get(url, cancel=token)`, then `token.cancel()`.

    It may be fired from any thread, in any state, any number of times. A call that is blocked in any phase
    raises `Cancelled` at once, and its connection is closed. A token that is fired after its exchange ended
    does not affect the next exchange on that connection. Deleting a token does not fire it.
    """

    def child(self) -> CancelToken:
        """A token that is fired when this one is. Firing the child does not fire this one."""
        return CancelToken(self)

    def after(self, seconds: Seconds) -> Self:
        """Sets a deadline for the token, in seconds from now. The earliest of several deadlines applies.

        A request that the deadline ends raises `TimeoutError`, whose `timeout` is "token". Returns the token, so
        that `CancelToken().after(3)` can be written. Raises InvalidTimeout for zero or less.
        """
        if seconds is not None:
            self._after_ms(milliseconds(seconds, "a deadline"))
        return self

    @property
    def _as_parameter_(self) -> ctypes.c_void_p:
        """The `hangup_cancel *`, borrowed from this object, for ctypes."""
        import ctypes

        return ctypes.c_void_p(self._address)

    def __repr__(self) -> str:
        return f"<CancelToken {'cancelled' if self.is_cancelled else 'live'}>"
