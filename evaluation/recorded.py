"""Recorded outcomes: what several models answered to the same prompts, as arrays by category.

A file is taken whole or not at all: bad rows are counted and named by line, and refused beyond a threshold.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.recorded_rows import BadRow, Key, RecordedRow, RecordingRefused, Rows, read_rows

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
    """Cost per million tokens of each model over the kept prompts: what a price list would say."""
    rows: int
    """Data rows in the file."""
    bad: tuple[BadRow, ...]
    """Rows left out or missing, by line."""
    incomplete: int
    """Prompts left out because a row of theirs is bad or missing."""

    @property
    def prompts(self) -> int:
        """Prompts of all categories."""
        return sum(len(category.prompts) for category in self.categories)

    def mean_cost_usd(self) -> Floats:
        """Mean cost per prompt of each model."""
        costs: Floats = np.concatenate([category.cost_usd for category in self.categories]).mean(axis=0)
        return costs


def read_recording(path: Path, models: Sequence[str] = (), max_bad: float = DEFAULT_MAX_BAD) -> Recording:
    """Read and check a CSV file, gzipped or not; only `models` are kept where any are named.

    Raises RecordingRefused for a file that cannot be used, naming lines, values and bounds.
    """
    rows = read_rows(path)
    bad = list(rows.bad)
    _check_bad(path, bad, rows.total, max_bad)
    chosen = _chosen(path, rows.good.values(), models)
    kept, missing, incomplete = _complete(rows, tuple(chosen))
    bad = sorted([*bad, *missing], key=lambda one: one.line)
    _check_bad(path, bad, rows.total, max_bad)
    if not kept:
        raise RecordingRefused(f"{path}: no prompt has an outcome of each of {', '.join(chosen.values())}")
    return Recording(
        models=tuple(chosen.values()),
        categories=_categories(rows, kept, tuple(chosen)),
        usd_per_mtok=tuple(_token_price(rows, kept, model) for model in chosen),
        rows=rows.total,
        bad=tuple(bad),
        incomplete=incomplete,
    )


def listed(bad: Sequence[BadRow], most: int = _SHOWN) -> str:
    """The first bad rows, one a line."""
    lines = [f"  line {one.line}: {one.reason}" for one in bad[:most]]
    return "\n".join(lines + ([f"  and {len(bad) - most} more"] if len(bad) > most else []))


def plain_name(text: str) -> str:
    """A recorded model's or category's name in the letters that names may have here.

    >>> plain_name("meta-llama/Llama 3.1")
    'meta-llama-Llama-3.1'
    """
    plain = _OUTSIDE_NAMES.sub("-", text)[:64]
    return plain if plain[0].isalnum() else "x" + plain[:63]


def _check_bad(path: Path, bad: Sequence[BadRow], total: int, max_bad: float) -> None:
    if len(bad) > max_bad * total:
        raise RecordingRefused(
            f"{path}: {len(bad)} of {total:,} rows are bad or missing, at most {max_bad:.2%} may be; "
            f"mend them or raise --max-bad\n{listed(bad)}"
        )


def _chosen(path: Path, rows: Iterable[RecordedRow], models: Sequence[str]) -> dict[str, str]:
    """Recorded model -> its plain name, in the order of the file or of `models`."""
    names: dict[str, str] = {}
    for model in dict.fromkeys(row.model for row in rows):
        plain = plain_name(model)
        if plain in names.values():
            raise RecordingRefused(
                f"{path}: two models are both called {plain!r} here, one is {model!r}; rename it"
            )
        names[model] = plain
    wanted = dict.fromkeys(plain_name(model) for model in models if model)
    for model in wanted:
        if model not in names.values():
            raise RecordingRefused(f"{path}: no model {model!r}; it records {', '.join(names.values())}")
    recorded = {plain: model for model, plain in names.items()}
    chosen = {recorded[model]: model for model in wanted} if wanted else names
    if len(chosen) < 2:
        raise RecordingRefused(f"{path}: {len(chosen)} model, but a comparison needs two; name --candidates")
    return chosen


def _complete(rows: Rows, models: Sequence[str]) -> tuple[dict[str, str], list[BadRow], int]:
    """Category of each prompt that all models answered; outcomes that are missing; prompts left out.

    A prompt whose row is bad is left out as well, and that row is counted once only.
    """
    blamed = {one.prompt_id for one in rows.bad}
    first: dict[str, RecordedRow] = {}
    for row in rows.good.values():
        first.setdefault(row.prompt_id, row)
    kept: dict[str, str] = {}
    missing: list[BadRow] = []
    for prompt_id, row in first.items():
        absent = [model for model in models if (prompt_id, model) not in rows.good]
        if not absent:
            kept[prompt_id] = row.category
        elif prompt_id not in blamed:
            reason = f"prompt {prompt_id!r} has no outcome of {', '.join(absent)}"
            missing.append(BadRow(row.line, reason, prompt_id))
    return kept, missing, len(first) - len(kept)


def _categories(rows: Rows, kept: dict[str, str], models: Sequence[str]) -> tuple[Category, ...]:
    prompts: defaultdict[str, list[str]] = defaultdict(list)
    for prompt_id, category in kept.items():
        prompts[category].append(prompt_id)
    return tuple(
        Category(
            name,
            tuple(own),
            np.array([[rows.good[prompt, model].reward for model in models] for prompt in own]),
            np.array([[rows.good[prompt, model].cost_usd for model in models] for prompt in own]),
        )
        for name, own in sorted(prompts.items())
    )


def _token_price(rows: Rows, kept: Iterable[str], model: str) -> float:
    keys: list[Key] = [(prompt, model) for prompt in kept]
    tokens = sum(rows.good[key].input_tokens + rows.good[key].output_tokens for key in keys)
    cost_usd = sum(rows.good[key].cost_usd for key in keys)
    return min(1e6 * cost_usd / tokens, 1e6) if tokens else 0.0
