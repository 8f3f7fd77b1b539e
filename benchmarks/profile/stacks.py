"""Stacks of a sampled worker, added up by place and by function."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from benchmarks.machine import ROOT

Stack = tuple[list[str], float]
LIBRARIES = "site-packages/"
HOUSE = ("api", "router", "storage", "experiments")


class Profile(NamedTuple):
    """What a sampled worker wrote."""

    threads: Mapping[str, tuple[float, float]]
    """Seconds in user and in kernel mode by thread."""
    stacks: list[Stack]
    """Of the main thread: functions from the outside to the inside, and seconds."""

    @property
    def total_s(self) -> float:
        """Time of the main thread that was sampled."""
        return sum(weight for _, weight in self.stacks)


def function_of(code: str) -> str:
    """A function as it is shown: `router/engine.py:Engine.route`, `aiohttp/client.py:...`, `asyncio/...`."""
    path, _, name = code.partition(":")
    if LIBRARIES in path:
        path = path.split(LIBRARIES, 1)[1]
    elif path.startswith(f"{ROOT}/"):
        path = path[len(str(ROOT)) + 1 :]
    elif "/lib/python" in path:
        path = "python/" + path.split("/lib/python", 1)[1].partition("/")[2]
    return f"{path}:{name}"


def place_of(function: str) -> str:
    """Floor and room of ours, or the library."""
    folders = function.partition(":")[0].split("/")[:-1]
    return "/".join(folders[:2] if folders and folders[0] in (*HOUSE, "python") else folders[:1]) or "python"


def ours(function: str) -> bool:
    """Whether the function is the project's own."""
    return function.split("/", 1)[0] in HOUSE


def by(stacks: Iterable[Stack], key: Callable[[list[str]], Iterable[str]]) -> list[tuple[str, float]]:
    """Sums of time, largest first; `key` names what a stack is charged to."""
    sums: defaultdict[str, float] = defaultdict(float)
    for stack, weight in stacks:
        for name in key(stack):
            sums[name] += weight
    return sorted(sums.items(), key=lambda item: -item[1])


def own_place(stack: list[str]) -> list[str]:
    """The place of the code that ran."""
    return [place_of(stack[-1])]


def caller_of_ours(stack: list[str]) -> list[str]:
    """The innermost function of ours: what it called in libraries is charged to it; else the library."""
    found = next((name for name in reversed(stack) if ours(name)), None)
    return [found or f"({place_of(stack[-1])}, called by the event loop)"]


def innermost(stack: list[str]) -> list[str]:
    """The function that ran."""
    return [stack[-1]]


def everywhere(stack: list[str]) -> set[str]:
    """All functions on the stack that are ours: time with all that they call."""
    return {name for name in stack if ours(name)}
