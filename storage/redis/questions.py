"""Several commands in one exchange with the server, each with a place for its reply."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from storage.redis.client import Argument, Command, RedisServer, Reply

F = TypeVar("F")


class Questions:
    """Commands gathered for one exchange."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._takers: list[Callable[[Reply], None]] = []

    def ask(self, take: Callable[[Reply], None], *command: Argument) -> None:
        """One command, and what takes its reply."""
        self._commands.append(command)
        self._takers.append(take)

    def fields(
        self, key: str, wanted: Iterable[F], encoded: Callable[[F], str | bytes], into: dict[F, bytes | None]
    ) -> None:
        """Fields of a hash; `into` has each of those wanted afterwards, as None where it is not there."""
        names = list(dict.fromkeys(wanted))

        def take(reply: Reply) -> None:
            into.update(zip(names, reply, strict=True))

        if names:
            self.ask(take, "HMGET", key, *map(encoded, names))

    def put_to(self, server: RedisServer) -> None:
        """Ask everything at once; nothing is asked where there is no question."""
        if not self._commands:
            return
        for take, reply in zip(self._takers, server.read(*self._commands), strict=True):
            take(reply)
