"""Small recorded files, made from known rates."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

HEADER = "prompt_id,category,model,reward,input_tokens,output_tokens,cost_usd"
Rates = Mapping[str, tuple[float, float]]
"""Model -> (rate of reward 1, mean cost in US dollars)."""


def rows_of(category: str, prompts: int, rates: Rates, seed: int = 5) -> list[str]:
    """Rows of a full matrix: every model answers every prompt, costs vary by a factor of two or so."""
    generator = np.random.default_rng(seed)
    lines = []
    for number in range(prompts):
        for model, (rate, cost_usd) in rates.items():
            reward = int(generator.random() < rate)
            cost = cost_usd * float(generator.lognormal(-0.08, 0.4))
            lines.append(f"{category}-{number},{category},{model},{reward},100,{50 + number % 7},{cost:.9f}")
    return lines


def write(path: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    """A CSV file, gzipped if its name ends in .gz."""
    data = "\n".join([header, *rows, ""]).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
