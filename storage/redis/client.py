"""The way to the Redis server: bounded waiting, careful retries, errors in our words.

The library's own defaults hang on a frozen server and wait seconds for a dead one. Here a look-up on the way
of a request gets 50 ms, everything else two seconds, and each is tried again once if its connection was lost;
a commit is not, since nobody knows whether the lost one took place. The library's retries are off: it nests
those of connecting in those of commands, and repeats time-outs, which would only make four of one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import RedisError
from redis.retry import Retry

from storage.errors import StoreIncompatible, StoreUnavailable
from storage.redis.address import Address
from storage.redis.faults import in_our_words
from storage.redis.health import SMALLEST_VERSION, new_enough
from storage.redis.keys import STATE_TYPES, VERSION

LOOK_UP_S = 0.05
PATIENCE_S = 2.0
_HEALTH_CHECK_S = 15
ScriptName = Literal["open", "commit", "record"]
SCRIPTS: tuple[ScriptName, ...] = ("open", "commit", "record")
Argument = str | bytes | int
Command = Sequence[Argument]
Reply = Any  # the server's replies are of many kinds; whoever asks knows which
T = TypeVar("T")


class RedisServer:
    """One store on one server: calls are checked to reach the store that was opened."""

    def __init__(self, address: Address) -> None:
        """Connect and recognise the store, or make an empty one."""
        self.where = address.where
        self.keys = address.keys
        self._password = address.password
        self._closed = False
        self._quick = _client(address.url, LOOK_UP_S)
        self._patient = _client(address.url, PATIENCE_S)
        self._scripts = {name: self._patient.register_script(source(name)) for name in SCRIPTS}
        try:
            self.identity = self._recognise()
        except BaseException:
            self.close()
            raise

    def look_up(self, *command: Argument) -> Reply:
        """A look-up on the way of a request, given up after 50 ms without an answer."""
        return self._told(lambda: _again(lambda: _execute(self._quick, command)))

    def call(self, *command: Argument) -> Reply:
        """One command that may be done twice."""
        return self._told(lambda: _again(lambda: _execute(self._patient, command)))

    def read(self, *commands: Command, atomic: bool = False) -> list[Reply]:
        """Replies to these commands, in their order, from the store that was opened."""

        def look() -> list[Reply]:
            with self._patient.pipeline(transaction=atomic) as pipe:
                pipe.hget(self.keys.state("meta"), "store")
                for command in commands:
                    _execute(pipe, command)
                return pipe.execute()

        found, *replies = self._told(lambda: _again(look))
        self.check(found)
        return replies

    def run(
        self, name: ScriptName, keys: Sequence[str], arguments: Sequence[Argument], once: bool = False
    ) -> Reply:
        """Run a script; the library loads it anew where the server has forgotten it."""
        script: Script = self._scripts[name]
        if once:
            return self._told(lambda: script(keys, arguments))
        return self._told(lambda: _again(lambda: script(keys, arguments)))

    def check(self, identity: bytes | None) -> None:
        """Raise StoreIncompatible if another store answers, or an emptied one: a server that lost its data."""
        if identity != self.identity:
            raise StoreIncompatible(
                f"{self.where} no longer holds the store that was opened: it was emptied or replaced; "
                "restore it, or start anew"
            )

    def close(self) -> None:
        """Close idle connections; those in use close when they are returned."""
        self._closed = True
        for client in (self._quick, self._patient):
            client.connection_pool.disconnect(inuse_connections=False)

    def _recognise(self) -> bytes:
        info = self.call("INFO", "server")
        if not new_enough(str(info.get("redis_version", ""))):
            raise StoreIncompatible(
                f"{self.where} is older than Redis {SMALLEST_VERSION}; install a newer one"
            )
        keys = [self.keys.state(name) for name in STATE_TYPES]
        schema, identity = self.run("open", keys, [VERSION, token_hex(8)])
        if not identity:
            raise StoreIncompatible(
                f"{self.where} holds another program's keys; name another prefix or database"
            )
        if int(schema) != VERSION:
            age = "a newer release" if int(schema) > VERSION else "an older release"
            raise StoreIncompatible(
                f"{self.where} has schema {int(schema)}, this release reads schema {VERSION}; use {age}"
            )
        return bytes(identity)

    def _told(self, act: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable(f"{self.where}: the store was closed; open it anew")
        try:
            return act()
        except (RedisError, OSError) as error:
            raise in_our_words(self.where, error, self._password) from None  # its text may show a password


def source(name: ScriptName) -> str:
    """A script's text, from the file beside this module."""
    return Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8")


def _execute(client: redis.Redis, command: Command) -> Reply:
    return client.execute_command(*command)  # type: ignore[no-untyped-call]  # the library leaves it untyped


def _again(act: Callable[[], T]) -> T:
    try:
        return act()
    except redis.ConnectionError:
        return act()


def _client(url: str, timeout_s: float) -> redis.Redis:
    """RESP2 needs no greeting, which old proxies refuse with an error that repeats the password."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=_HEALTH_CHECK_S,
        protocol=2,
        driver_info=None,
    )
