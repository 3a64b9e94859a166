"""`AsyncClient` behind the interface of `Client`, so that one test covers both: each call runs an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import hangup


class Awaited:
    """A wrapper of an object that runs its coroutines to their end."""

    def __init__(self, target: Any, run: Callable[[Any], Any]) -> None:
        self._target, self._run = target, run

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not asyncio.iscoroutinefunction(value):
            return value
        return lambda *args, **options: self._run(value(*args, **options))

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._target, name, value)


class AwaitedClient(Awaited):
    """Takes the arguments of Client."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(hangup.AsyncClient(**settings), asyncio.run)

    def stream(self, *args: Any, **options: Any) -> AwaitedStream:
        return AwaitedStream(self._target.stream(*args, **options))

    def close(self) -> None:
        self.aclose()

    def __enter__(self) -> AwaitedClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AwaitedStream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __enter__(self) -> AwaitedResponse:
        self._runner = asyncio.Runner()
        try:
            return AwaitedResponse(self._run(self._stream.__aenter__()), self._run)
        except BaseException:
            self._runner.close()
            raise

    def __exit__(self, *exception: object) -> None:
        self._run(self._stream.__aexit__(None, None, None))
        self._runner.close()

    def __del__(self) -> None:
        self._runner.close()

    def _run(self, awaited: Any) -> Any:
        return self._runner.run(awaited)


class AwaitedResponse(Awaited):
    """Has the attributes of Response."""

    def read(self, at_most: int | None = None) -> bytes:
        return self._run(self._target.aread(at_most))

    def iter_raw(self, chunk_size: int | None = None) -> Iterator[bytes]:
        return self._each(self._target.aiter_raw(chunk_size))

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        return self._each(self._target.aiter_bytes(chunk_size))

    def iter_text(self) -> Iterator[str]:
        return self._each(self._target.aiter_text())

    def iter_lines(self) -> Iterator[str]:
        return self._each(self._target.aiter_lines())

    @property
    def content(self) -> bytes:
        return self._target.content if self._target.is_closed else self.read()

    @property
    def text(self) -> str:
        return self.content and self._target.text

    def __reduce__(self) -> Any:
        return self._target.__reduce__()

    def _each(self, items: Any) -> Iterator[Any]:
        end = object()

        async def following() -> Any:
            return await anext(items, end)

        while (item := self._run(following())) is not end:
            yield item
