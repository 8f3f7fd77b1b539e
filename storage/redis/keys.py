"""Every key of the Redis store: built here and nowhere else; docs/keyspace.md lists them.

The keys of the state share the hash tag `{state}`, those of one experiment's ledger `{x:<number>}`, so that a
script finds all its keys in one slot of a Redis Cluster. Names given by users are fields, never keys.
"""

import re
from typing import Literal

PREFIX = "pm"
VERSION = 3
"""Version of the keys and of what they hold; in the field `schema` of `meta`."""

StateName = Literal[
    "meta",
    "config",
    "routes",
    "experiments",
    "newest",
    "api_keys",
    "reports",
    "progress",
    "leases",
    "workers",
    "allowances",
    "audit",
    "ledgers",
]
LedgerName = Literal[
    "meta",
    "decisions",
    "calls",
    "effects",
    "units",
    "tries",
    "feedback",
    "numbers",
    "digests",
    "traffic",
    "counted",
]
STATE_TYPES: dict[StateName, str] = {
    "meta": "hash",
    "config": "hash",
    "routes": "hash",
    "experiments": "hash",
    "newest": "hash",
    "api_keys": "hash",
    "reports": "hash",
    "progress": "hash",
    "leases": "hash",
    "workers": "hash",
    "allowances": "hash",
    "audit": "list",
    "ledgers": "set",
}
LEDGER_TYPES: dict[LedgerName, str] = {
    "meta": "hash",
    "decisions": "hash",
    "calls": "hash",
    "effects": "hash",
    "units": "hash",
    "tries": "set",
    "feedback": "zset",
    "numbers": "zset",
    "digests": "zset",
    "traffic": "hash",
    "counted": "zset",
}
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class Keyspace:
    """The keys of one store; a prefix of its own lets several stores share a server."""

    def __init__(self, prefix: str = PREFIX) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(
                "the prefix of a Redis store has 1 to 40 letters, digits, dots, dashes or underscores"
            )
        self._prefix = prefix

    def state(self, name: StateName) -> str:
        """A key of the state.

        >>> Keyspace().state("routes")
        'pm:{state}:routes'
        """
        return f"{self._prefix}:{{state}}:{name}"

    def epochs(self, experiment_id: int) -> str:
        """Epochs of one experiment; they change with the state, so they lie beside it."""
        return f"{self._prefix}:{{state}}:epochs:{experiment_id}"

    def ledger(self, experiment_id: int, name: LedgerName) -> str:
        """A key of one experiment's ledger; 0 holds what happened outside experiments.

        >>> Keyspace().ledger(7, "units")
        'pm:{x:7}:units'
        """
        return f"{self._prefix}:{{x:{experiment_id}}}:{name}"

    def cells(self, experiment_id: int, epoch: int) -> str:
        """Cells of one epoch."""
        return f"{self._prefix}:{{x:{experiment_id}}}:cells:{epoch}"


def patterns() -> dict[str, str]:
    """All keys with their types, as docs/keyspace.md writes them."""
    return {
        **{f"{PREFIX}:{{state}}:{name}": kind for name, kind in STATE_TYPES.items()},
        f"{PREFIX}:{{state}}:epochs:<id>": "hash",
        **{f"{PREFIX}:{{x:<id>}}:{name}": kind for name, kind in LEDGER_TYPES.items()},
        f"{PREFIX}:{{x:<id>}}:cells:<epoch>": "hash",
    }
