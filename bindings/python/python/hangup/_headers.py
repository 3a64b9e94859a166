"""Header fields: a mapping with case-insensitive names that may be repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class ReceivedText(str):
    """A value that is not ASCII, with the bytes that were received. A request sends these bytes."""

    raw: bytes

    def __new__(cls, raw: bytes) -> ReceivedText:
        try:
            self = super().__new__(cls, raw, "utf-8")
        except UnicodeDecodeError:
            self = super().__new__(cls, raw, "latin-1")
        self.raw = raw
        return self

    # Copies and pickles are made of the bytes, which is what __new__ takes here.
    def __getnewargs__(self) -> tuple[bytes]:  # type: ignore[override]
        return (self.raw,)


class Headers(Mapping[str, str]):
    """The header fields of a response, in the order in which they were received. Immutable.

    `headers["Name"]` joins the values of a repeated name with ", " (RFC 9110 section 5.3); `get_list` returns them
    separately, which `Set-Cookie` needs.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = [(name.lower(), value) for name, value in fields]

    def get_list(self, name: str) -> list[str]:
        """Every value of a name; empty if the name is missing."""
        name = name.lower()
        return [value for field, value in self._fields if field == name]

    def multi_items(self) -> list[tuple[str, str]]:
        """All fields as pairs; a repeated name has several pairs. Names are in lower case."""
        return list(self._fields)

    def __getitem__(self, name: str) -> str:
        values = self.get_list(name)
        if not values:
            raise KeyError(name)
        return values[0] if len(values) == 1 else ", ".join(values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_list(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._fields))

    def __len__(self) -> int:
        return len(dict(self._fields))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return sorted(self._fields) == sorted(other._fields)
        if isinstance(other, Mapping):
            return dict(self) == {str(name).lower(): value for name, value in other.items()}
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as in Mapping

    def __repr__(self) -> str:
        """The values of credentials and cookies are replaced by ***."""
        return f"Headers({[(name, '***' if name in _SECRET else value) for name, value in self._fields]!r})"


_SECRET = frozenset(("authorization", "cookie", "proxy-authorization", "set-cookie"))


def decode_headers(fields: list[tuple[str, bytes]]) -> Headers:
    """Received header fields as text; see `decode`."""
    return Headers((name, decode(value)) for name, value in fields)


def decode(value: bytes) -> str:
    """Received bytes as text: UTF-8 if it is valid, otherwise latin-1."""
    return value.decode("ascii") if value.isascii() else ReceivedText(value)
