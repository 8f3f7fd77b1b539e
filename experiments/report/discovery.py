"""Discovery: whether this experiment is to be believed among all that run, by e-BH."""

from collections.abc import Mapping
from math import exp, inf, log

from experiments.inference.ebh import discoveries
from experiments.report.other_parts import DiscoveryPart

LARGEST = 700.0


def discovery(own_e: float, alpha: float, peers: Mapping[str, float]) -> DiscoveryPart:
    """`peers` are the deciding e-values of the other running experiments, by name.

    >>> discovery(200.0, 0.05, {"a": 1.0, "b": 0.4}).sentence
    'Of 3 running experiments 1 can be believed at a false discovery rate of 5%, this one (e-value 200, 60 needed).'
    """
    others = [_log(e) for e in peers.values()]
    found = discoveries([_log(own_e), *others], alpha)
    needed = exp(min(discoveries([inf, *others], alpha).log_threshold, LARGEST))
    count = len(others) + 1
    return DiscoveryPart(
        experiments=count,
        discoveries=found.count,
        e_value=own_e,
        needed=needed,
        found=found.found[0],
        sentence=_sentence(
            found.count, found.found[0], count, alpha, f"e-value {own_e:.3g}, {needed:.3g} needed"
        ),
    )


def _sentence(discovered: int, this: bool, count: int, alpha: float, figures: str) -> str:
    if count == 1:
        shown = "its evidence stands by itself" if this else "its evidence does not stand by itself yet"
        return f"It is the only running experiment; {shown} at a level of {alpha * 100:.3g}% ({figures})."
    some = f"Of {count} running experiments {discovered or 'none'} can be believed"
    together = (
        f"{some}{' together' if discovered > 1 else ''} at a false discovery rate of {alpha * 100:.3g}%"
    )
    if this:
        return f"{together}, this one{' among them' if discovered > 1 else ''} ({figures})."
    return f"{together}{', this one not yet' if discovered else ' yet'} ({figures})."


def _log(e_value: float) -> float:
    return log(e_value) if e_value > 0 else -inf
