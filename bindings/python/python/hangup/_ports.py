"""Which event loop has which port: one for each loop, shared by the clients that are used in it.

The only lasting owner of a port is the loop, which calls it when its descriptor is readable. So a port ends
with its loop, or when the last of its clients is closed and nothing is under way; everything here is weak, and
no coroutine holds a port while it waits.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from typing import TYPE_CHECKING, Any

from . import _native
from ._manager import NOW

if TYPE_CHECKING:
    from ._async_client import AsyncClient


class Place:
    """A loop, its port, and who uses it."""

    __slots__ = ("loop", "port", "clients", "__weakref__")

    def __init__(self, loop: asyncio.AbstractEventLoop, port: _native.Port) -> None:
        self.loop = weakref.ref(loop)
        self.port = weakref.ref(port)
        self.clients: weakref.WeakSet[AsyncClient] = weakref.WeakSet()

    def is_of(self, loop: asyncio.AbstractEventLoop) -> bool:
        """The port lives and is this loop's: another one may have the same id by now."""
        return self.loop() is loop and self.port() is not None

    def abandon(self, tag: int, future: asyncio.Future[Any]) -> None:
        """The task that waited for it does so no more. What is under way is cancelled; a response that is there already is
        hung up now: its future may be held for long, by the traceback of what ended the task."""
        port = self.port()
        if port is not None:
            port.abandon(tag)
        if future.done() and not future.cancelled() and future.exception() is None:
            response = future.result()
            if isinstance(response, _native.Response):
                response.close(NOW)

    def stay(self) -> None:
        """It is not to end when it is at rest."""
        port = self.port()
        if port is not None:
            port.call_at_rest(None)

    def leave(self, client: AsyncClient) -> None:
        """The client was closed. From any thread."""
        self.clients.discard(client)
        loop = self.loop()
        if loop is not None and not self.clients:
            try:
                loop.call_soon_threadsafe(self.end_at_rest)
            except RuntimeError:
                pass  # the loop was closed, and the port with it

    def end_at_rest(self) -> None:
        """If no client is left: the port ends when nothing is under way. In the loop only."""
        port = self.port()
        if port is not None and not self.clients:
            port.call_at_rest(self._end)

    def _end(self) -> None:
        loop, port = self.loop(), self.port()
        if loop is not None and port is not None:
            loop.remove_reader(port.fileno())


def running_loop() -> asyncio.AbstractEventLoop:
    """asyncio's, or what stands for it in trio. Raises RuntimeError outside of both."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if "trio" in sys.modules:
            from ._trio import running

            loop = running()
            if loop is not None:
                return loop  # type: ignore[return-value]  # as much of one as is needed
        raise


_places: dict[int, Place] = {}


def enter(loop: asyncio.AbstractEventLoop, client: AsyncClient) -> Place:
    """The place of the running loop, for a client that was not there yet."""
    place = _places.get(id(loop))
    if place is None or not place.is_of(loop):
        for key in [key for key, old in list(_places.items()) if old.port() is None]:
            _places.pop(key, None)
        port = _native.Port()
        place = _places[id(loop)] = Place(loop, port)
        loop.add_reader(port.fileno(), port.drain)
    if client.is_closed:  # a response is read to its end
        loop.call_soon(place.end_at_rest)
    else:
        place.clients.add(client)
        place.stay()
    return place
