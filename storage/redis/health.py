"""The health of a Redis server as a store: its version, and whether it keeps what it is given."""

from collections.abc import Mapping

SMALLEST_VERSION = "6.2"


def new_enough(version: str) -> bool:
    """Whether a server of this version has every command that the store uses.

    >>> new_enough("6.2.0"), new_enough("7.0.15"), new_enough("6.0.16"), new_enough("")
    (True, True, False, False)
    """
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return numbers >= [int(part) for part in SMALLEST_VERSION.split(".")]


def warnings_of(info: Mapping[str, object]) -> list[str]:
    """What an operator should know before trusting this server with a ledger; `info` is the reply to INFO."""
    found = []
    if not info.get("aof_enabled"):
        found.append(
            "appendonly is off: a restart of the Redis server loses acknowledged outcomes since its last snapshot; "
            "set appendonly yes (and appendfsync always to survive power loss)"
        )
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        found.append(
            f"maxmemory-policy is {policy}: when memory is short, the Redis server may throw the ledger away; "
            "set maxmemory-policy noeviction"
        )
    if info.get("role") == "slave":
        found.append("the Redis server is a replica and takes no writes; name the primary")
    return found
