"""The same server without one thing, beside itself with it: what that thing costs, as a ratio within one run."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

from benchmarks.machine import ROOT, Load, cores
from benchmarks.profile.sampled import SERVE
from benchmarks.profile.without import PARTS
from benchmarks.serving import CHAT, Served, bare, chat_body, configuration, driven, served


class Variant(NamedTuple):
    """One difference from the server that all are held against."""

    text: str
    options: tuple[str, ...] = ()
    headers: str = ""
    keyed: bool = False


def variants(upstream: int) -> Mapping[str, Variant]:
    """Differences by what they are."""
    usual = configuration(upstream)
    sticky = configuration(upstream, "task: bench, candidates: [one, two], unit: user")
    named = {
        "without the experiment: the champion serves": Variant(configuration(upstream, "")),
        "with a fallback": Variant(configuration(upstream, task="fallbacks: [two]")),
        "with keys, a bearer key each time": Variant(usual, keyed=True),
        "with sticky users, one user": Variant(sticky),
        "with a keyword rule on another task": Variant(
            usual.replace("tasks:\n", "tasks:\n  other: {match: {keywords: [nowhere]}}\n")
        ),
        "with six routing hints in headers": Variant(usual, headers="".join(
            f"x-pointsman-{name}: {value}\r\n" for name, value in (
                ("task", "bench"), ("unit", "u"), ("latency", "interactive"), ("max-cost", "1"), ("language", "en"),
                ("skills", "math"),
            )
        )),
    }  # fmt: skip
    return named | {f"without {part}": Variant(usual, ("--without", part)) for part in PARTS}


def rows(upstream: int, seconds: float, rounds: int) -> Iterator[tuple[str, float, float]]:
    """What differs, the change in microseconds of a request, and as a part of the usual."""
    load = Load(CHAT, [chat_body()], seconds, 32)
    core = cores()[0]
    with ExitStack() as stack:
        usual = stack.enter_context(served(configuration(upstream), core, SERVE))
        driven(usual.target, load)
        plain = stack.enter_context(bare(upstream, core))
        pairs = [(driven(plain, load).cpu_us, driven(usual.target, load).cpu_us) for _ in range(rounds)]
        yield ("the bare pass-through", *_difference(pairs))
        for name, variant in variants(upstream).items():
            with served(variant.text, core, SERVE, variant.options) as found:
                own = load._replace(headers=variant.headers + (_key(found) if variant.keyed else ""))
                driven(found.target, own)
                pairs = [
                    (driven(found.target, own).cpu_us, driven(usual.target, load).cpu_us)
                    for _ in range(rounds)
                ]
            yield (name, *_difference(pairs))


def _difference(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """Median of the differences, and of the ratios."""
    return median(one - other for one, other in pairs), median(one / other for one, other in pairs)


def _key(found: Served) -> str:
    """A header with a key that this server takes."""
    add = ["keys", "add", "bench", "--scope", "traffic"]
    command = [sys.executable, "-m", "pointsman", "--store", found.store, *add]
    made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    secret = next(word for word in made.stdout.split() if word.startswith("pk-"))
    return f"authorization: Bearer {secret}\r\n"
