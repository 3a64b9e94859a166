"""How a client's connections are made: addresses, interfaces, other places for an origin, and connectors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

from . import _native
from ._errors import InvalidArgument
from ._timeouts import UNSET, Seconds, Unset, milliseconds

if TYPE_CHECKING:
    import socket

AddressFamily = Literal["any", "ipv4", "ipv6"]
"""Which addresses a client connects to."""


class HasDescriptor(Protocol):
    """Something with a file descriptor, such as an open file."""

    def fileno(self) -> int: ...


Connector = Callable[[str, str, int], "socket.socket | HasDescriptor | int"]
"""Makes a connection: takes the origin of the request ("https://example.org:443") and the host and port to connect to,
and returns a connected stream socket; see `Client`."""

ConnectTo = Mapping[str, "str | tuple[str, str]"]
"""Other places for origins; see `Client`."""

_FAMILIES = {
    "any": _native.CONSTANTS["HANGUP_ADDRESS_FAMILY_ANY"],
    "ipv4": _native.CONSTANTS["HANGUP_ADDRESS_FAMILY_IPV4"],
    "ipv6": _native.CONSTANTS["HANGUP_ADDRESS_FAMILY_IPV6"],
}


def set_network(
    client: _native.Client,
    address_family: AddressFamily,
    happy_eyeballs_delay: Seconds | None | Unset,
    interface: str | None,
    connect_to: ConnectTo | None,
    connector: Connector | None,
) -> None:
    """Sets those that are not the defaults."""
    if address_family not in _FAMILIES:
        raise InvalidArgument(f"address_family is one of {', '.join(map(repr, _FAMILIES))}, not {address_family!r}")
    if address_family != "any":
        client.set_address_family(_FAMILIES[address_family])
    if happy_eyeballs_delay is not UNSET:
        client.set_happy_eyeballs_delay(milliseconds(happy_eyeballs_delay, "happy_eyeballs_delay"))
    if interface is not None:
        client.set_interface(interface)
    for origin, place in (connect_to or {}).items():
        to, server_name = (place, None) if isinstance(place, str) else place
        client.add_connect_to(origin, to, server_name)
    if connector is not None:
        _native.set_connector(client, _as_descriptor(connector))


def _as_descriptor(connector: Connector) -> Callable[[str, str, int], int]:
    def connect(origin: str, host: str, port: int) -> int:
        return _descriptor_of(connector(origin, host, port))

    return connect


def _descriptor_of(made: Any) -> int:
    """The descriptor of a socket, which the library takes over."""
    import socket

    if isinstance(made, int) and not isinstance(made, bool):
        return made
    if hasattr(made, "cipher"):
        made.close()
        raise TypeError("a connector returns a plain socket, not one with TLS: the library does the TLS of https URLs")
    if isinstance(made, socket.socket):
        return made.detach()
    if hasattr(made, "fileno"):
        return os.dup(made.fileno())
    raise TypeError(f"a connector returns a connected socket or its descriptor, not {type(made).__name__}")
