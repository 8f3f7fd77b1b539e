"""Recorded outcomes: what several models answered to the same prompts, as arrays by category.

A file is taken whole or not at all: bad rows are counted and named by line, and refused beyond a threshold.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.recorded_rows import BadRow, Key, RecordedRow, RecordingRefused, read_rows

Floats = NDArray[np.float64]
DEFAULT_MAX_BAD = 0.01
_SHOWN = 10
_OUTSIDE_NAMES = re.compile(r"[^A-Za-z0-9._+-]")


@dataclass(frozen=True)
class Category:
    """The prompts of one category; rows of the arrays are prompts, columns the recording's models."""

    name: str
    prompts: tuple[str, ...]
    reward: Floats
    cost_usd: Floats

    @property
    def binary(self) -> bool:
        """Whether every reward is 0 or 1."""
        return bool(np.isin(self.reward, (0.0, 1.0)).all())


@dataclass(frozen=True)
class Recording:
    """A checked file: every prompt has an outcome of every model."""

    models: tuple[str, ...]
    categories: tuple[Category, ...]
    usd_per_mtok: tuple[float, ...]
    """Cost per million tokens of each model, over all its rows: what a price list would say."""
    rows: int
    """Data rows in the file."""
    bad: tuple[BadRow, ...]
    """Rows left out, by line."""
    incomplete: int
    """Prompts left out because a row of theirs is bad or missing."""

    @property
    def prompts(self) -> int:
        """Prompts of all categories."""
        return sum(len(category.prompts) for category in self.categories)

    def mean_cost_usd(self) -> Floats:
        """Mean cost per prompt of each model."""
        return np.concatenate([category.cost_usd for category in self.categories]).mean(axis=0)


def read_recording(
    path: Path, models: Sequence[str] = (), max_bad: float = DEFAULT_MAX_BAD
) -> Recording:
    """Read and check a CSV file, gzipped or not; only `models` are kept where any are named.

    Raises RecordingRefused for a file that cannot be used, naming lines, values and bounds.
    """
    rows, bad = read_rows(path)
    total = len(rows) + len(bad)
    names = _names(rows.values())
    chosen = _chosen(names, models)
    prompts, missing, incomplete = _complete(rows, chosen, {one.prompt_id for one in bad})
    bad = sorted([*bad, *missing], key=lambda one: one.line)
    if len(bad) > max_bad * total:
        raise RecordingRefused(
            f"{path}: {len(bad)} of {total} rows are bad, at most {max_bad:.2%} may be (--max-bad)\n{listed(bad)}"
        )
    if not prompts:
        raise RecordingRefused(f"{path}: no prompt has an outcome of each of {', '.join(chosen.values())}")
    return Recording(
        models=tuple(chosen.values()),
        categories=tuple(_categories(rows, prompts, tuple(chosen))),
        usd_per_mtok=_token_prices(rows.values(), tuple(chosen)),
        rows=total,
        bad=tuple(bad),
        incomplete=incomplete,
    )


def listed(bad: Sequence[BadRow], most: int = _SHOWN) -> str:
    """The first bad rows, one a line."""
    lines = [f"  line {one.line}: {one.reason}" for one in bad[:most]]
    return "\n".join(lines + ([f"  and {len(bad) - most} more"] if len(bad) > most else []))


def plain_name(text: str) -> str:
    """A recorded model's or category's name in letters that Pointsman's names allow.

    >>> plain_name("meta-llama/Llama 3.1")
    'meta-llama-Llama-3.1'
    """
    plain = _OUTSIDE_NAMES.sub("-", text)[:64]
    return plain if plain[:1].isalnum() else "x" + plain[:63]


def _names(rows: Sequence[RecordedRow] | Mapping[Key, RecordedRow] | object) -> dict[str, str]:
    raise AssertionError(rows)
