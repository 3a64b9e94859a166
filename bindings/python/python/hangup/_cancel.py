"""Ending work from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from . import _native
from ._timeouts import Seconds, milliseconds

if TYPE_CHECKING:
    import ctypes


class CancelToken(_native.CancelToken):
    """Ends the exchanges that were sent with it: `client.get(url, cancel=token)`, then `token.cancel()`.

    It may be fired from any thread, in any state, any number of times. A call that is blocked in any phase
    raises `Cancelled` at once, and its connection is closed. A token that is fired after its exchange ended
    does nothing to the connection's next user. Letting go of a token does not fire it.
    """

    def child(self) -> CancelToken:
        """A token that is fired with this one, and by itself without this one."""
        return CancelToken(self)

    def after(self, seconds: Seconds) -> Self:
        """Gives the token a deadline, so many seconds from now; of several the earliest counts.

        What it ends raises `TimeoutError` with the limit "token". Answers the token itself, so that
        `CancelToken().after(3)` can be written. Raises InvalidTimeout for zero or less.
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
