"""Decisions and call rows as JSON, for the time until the ledger has them."""

from dataclasses import fields
from typing import Any

import orjson

from router.deciding.choose import Decision
from storage.records import CallRow

_DECISION = tuple(field.name for field in fields(Decision))
_CALL = tuple(field.name for field in fields(CallRow))


def dump_decision(decision: Decision) -> str:
    """A decision, whole."""
    return _dump({name: getattr(decision, name) for name in _DECISION})


def load_decision(text: str) -> Decision:
    """The same decision."""
    found = _load(text)
    return Decision(**{**found, "fallbacks": tuple(found["fallbacks"])})


def dump_call(row: CallRow) -> str:
    """A call row, whole."""
    return _dump({name: getattr(row, name) for name in _CALL})


def load_call(text: str) -> CallRow:
    """The same row."""
    return CallRow(**_load(text))


def _dump(values: dict[str, Any]) -> str:  # reason: fields of either record
    return orjson.dumps({**values, "unit": values["unit"].hex()}).decode()


def _load(text: str) -> dict[str, Any]:  # reason: as above
    values = orjson.loads(text)
    return {**values, "unit": bytes.fromhex(values["unit"])}
