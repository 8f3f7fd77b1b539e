"""What must be right before `pointsman serve` starts any process: ledger, configuration, address, keys."""

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from api.settings import Settings, environment, missing_keys
from router.applying.file import read_document
from router.applying.plan import plan_changes, seed
from router.clock import machine_clock
from router.config.document import Document
from router.deciding.signing import load_signer
from router.errors import ConfigInvalid
from storage.errors import StoreError
from storage.open import open_store, place_of
from storage.records import State
from storage.spool.spool import Spool, named_path
from storage.store import Store

Say = Callable[[str], None]
_BACKLOG = 2_048


@dataclass(frozen=True, slots=True)
class Prepared:
    """A bound socket and what is known about it."""

    listener: socket.socket
    loopback: bool
    """Whether only this machine can reach it."""
    open: bool
    """Whether it is open to this machine because the store holds no key."""

    @property
    def url(self) -> str:
        """Where this machine reaches the server."""
        host, port = self.listener.getsockname()[:2]
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def prepare(settings: Settings, config_path: Path | None, say: Say) -> Prepared:
    """Check everything and bind the address; raises ConfigInvalid, naming what to do."""
    if settings.store.startswith("memory:"):
        raise ConfigInvalid(
            f"store {settings.store!r} lives in one process, and a server has several; name a file"
        )
    try:
        store = open_store(settings.store)
    except StoreError as error:
        raise ConfigInvalid(f"the ledger cannot be opened: {error}") from error
    try:
        state = _configured(store, place_of(settings.store), config_path, say)
        for warning in store.warnings():
            say(f"Warning: {warning}")
    finally:
        store.close()
    load_signer(settings.store, settings.signing_key_text)  # made now, so that no two workers race for it
    if settings.batch_spool is not None and settings.batch_spool_mb:
        _try_spool(settings.batch_spool)
    return _bound(settings, keyless=not state.keys)


def _configured(store: Store, place: str, config_path: Path | None, say: Say) -> State:
    """The store's state, seeded from the file if it was empty."""
    state = store.state()
    if config_path is not None:
        document = read_document(config_path)
        if state.config is None:
            plan = seed(store, document, machine_clock, "serve")
            say(f"The ledger {place} was empty; it now holds {config_path}:\n{plan.text}")
        else:
            _say_difference(document, state, config_path, say)
        state = store.state()
    if state.config is None:
        raise ConfigInvalid(
            f"the ledger {place} holds no configuration; start with: pointsman serve --config FILE"
        )
    for name in missing_keys(_in_force(state.config.body), environment()):
        say(f"The environment variable {name} is not set: its models are not called.")
    return state


def _try_spool(named: Path) -> None:
    """Whether files can be kept in the folder that was named for batches."""
    try:
        Spool(named_path(named)).close()
    except StoreError as error:
        raise ConfigInvalid(
            f"POINTSMAN_BATCH_SPOOL is {str(named)!r}, where no files can be kept: {error}; "
            "name a folder whose parent exists"
        ) from error


def _in_force(body: str) -> Document:
    """The configuration that the ledger holds, which may name what this installation lacks."""
    try:
        return Document.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigInvalid(
            f"the configuration in force cannot be served here: {place}: {first['msg']}"
        ) from None


def _say_difference(document: Document, state: State, config_path: Path, say: Say) -> None:
    """The store owns the configuration; a file that differs is mentioned and changes nothing."""
    if plan_changes(document, state, machine_clock(), "serve").changes:
        say(
            f"{config_path} differs from the configuration in force, which stays. "
            f"See the difference with: pointsman plan {config_path}; take it over with: pointsman apply {config_path}"
        )


def _bound(settings: Settings, keyless: bool) -> Prepared:
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise ConfigInvalid(f"host {settings.host!r} is no address of this machine: {error}") from error
    family, _, _, _, address = found[0]
    loopback = ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
    if keyless and not loopback:
        raise ConfigInvalid(
            f"host {settings.host!r} can be reached from outside and the ledger holds no key; "
            "make one first with: pointsman keys add NAME --scope admin, or serve on 127.0.0.1"
        )
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigInvalid(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; choose another --port"
        ) from error
    return Prepared(listener, loopback, keyless)
