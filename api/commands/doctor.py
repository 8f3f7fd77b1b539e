"""doctor: is this installation sound? Each check says what it found and, if need be, the remedy."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from api.commands.errors import UNHEALTHY
from api.commands.options import settings, store_url, where_of
from api.commands.output import Columns, Form, counted, show

if TYPE_CHECKING:
    from router.config.document import Document

State = Literal["ok", "warning", "fault"]
_COLUMNS: Columns = {
    "check": lambda row: row["check"],
    "state": lambda row: row["state"],
    "found": lambda row: row["found"],
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check."""

    check: str
    state: State
    found: str


def doctor(ctx: typer.Context, form: Form = "text") -> None:
    """Check ledger, keys and configuration; exit code 4 if anything is at fault."""
    from router.errors import InvalidRequest

    if where_of(ctx).url is not None:
        raise InvalidRequest("doctor looks at this machine; ask a server for its health at /readyz")
    findings = list(examine(store_url(ctx)))
    show([asdict(finding) for finding in findings], _COLUMNS, form, "nothing to check")
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(UNHEALTHY)


def examine(url: str) -> Iterator[Finding]:
    """All checks of one store, the cheapest first; a store that does not open ends them."""
    path = ledger_path(url)
    if path is not None:
        if not path.exists():
            yield Finding("ledger", "warning", f"{path} does not exist yet; serve or apply creates it")
            return
        yield from _file_checks(path)
    from router.errors import PointsmanError
    from storage.errors import StoreError

    try:
        yield from _store_checks(url)
    except (StoreError, PointsmanError) as error:
        yield Finding("store", "fault", str(error))


def ledger_path(url: str) -> Path | None:
    """File of an SQLite store; None for another kind of store."""
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///")).expanduser()
    return None if ":" in url.partition("/")[0] else Path(url).expanduser()


def _file_checks(path: Path) -> Iterator[Finding]:
    from router.deciding.signing import signing_key_path
    from storage.sqlite.health import integrity_faults, remote_file_system

    kind = remote_file_system(path.absolute())
    yield _judged(
        "file system", kind is None, "local", f"{kind}: SQLite's locks fail there; use a local disk"
    )
    faults = integrity_faults(path)
    yield _judged("integrity", not faults, "sound", "; ".join(faults) + "; restore the ledger from a backup")
    yield _mode("ledger's mode", path)
    key = signing_key_path(path)
    if key.exists():
        yield _mode("signing key", key)
    else:
        given = settings().signing_key is not None
        yield Finding("signing key", "ok", "from the settings" if given else "made at the first start")


def _mode(check: str, path: Path) -> Finding:
    """Whether only its owner may read a file."""
    mode = path.stat().st_mode & 0o777
    return _judged(check, not mode & 0o077, f"mode {mode:04o}", f"mode {mode:04o}; run: chmod 600 {path}")


def _store_checks(url: str) -> Iterator[Finding]:
    from storage.open import open_store

    store = open_store(url)
    try:
        state, warnings = store.state(), store.warnings()
    finally:
        store.close()
    yield Finding(
        "store", "ok", f"opens, state version {state.version}, {len(state.experiments)} experiments"
    )
    for warning in warnings:
        yield Finding("durability", "warning", warning)
    if state.config is None:
        yield Finding("configuration", "warning", "none yet; run: pointsman apply FILE")
        return
    yield from _config_checks(state.config.body)
    live = [key for key in state.keys if key.revoked_at_ms is None]
    yield Finding(
        "keys", "ok", f"{len(live)} in force" if state.keys else "none: only this machine may use a server"
    )


def _config_checks(body: str) -> Iterator[Finding]:
    from pydantic import ValidationError

    from router.config.document import Document

    try:
        document = Document.model_validate_json(body)
    except ValidationError as error:
        found = f"{counted(error.error_count(), 'problem')}; apply a file that this release accepts"
        yield Finding("configuration", "fault", found)
        return
    counts = f"{counted(len(document.models), 'model')}, {counted(len(document.tasks), 'task')}"
    yield Finding("configuration", "ok", counts)
    yield _provider_keys(document)


def _provider_keys(document: "Document") -> Finding:
    from api.settings import environment, missing_keys

    missing = missing_keys(document, environment())
    remedy = f"not set: {', '.join(missing)}; their models are not called"
    return Finding("provider keys", "warning" if missing else "ok", remedy if missing else "all set")


def _judged(check: str, good: bool, fine: str, remedy: str) -> Finding:
    return Finding(check, "ok" if good else "fault", fine if good else remedy)
