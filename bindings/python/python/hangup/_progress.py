"""`Progress`: how far the bodies of a request and of its response are."""

from __future__ import annotations

from . import _native


class Progress(_native.Progress):
    """How far the bodies of a request and of its response are: `client.put(url, content=file, progress=progress)`.

    `bytes_sent` and `bytes_to_send`, `bytes_received` and `bytes_to_receive` can be read from any thread and any task
    while the request runs. Only bytes of bodies count, of a compressed body those that are received, before they are
    decoded. The totals are None while they are not known. A retry and a redirect begin again with 0.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return (
            f"<Progress sent {self.bytes_sent} of {_shown(self.bytes_to_send)}, "
            f"received {self.bytes_received} of {_shown(self.bytes_to_receive)}>"
        )


def _shown(total: int | None) -> str:
    return "?" if total is None else str(total)
