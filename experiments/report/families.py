"""Families: fixed-horizon p-values of several candidates, corrected for their number."""

from collections.abc import Sequence
from typing import Literal

from experiments.inference.equivalence import corrected
from experiments.report.document import CandidatePart, EffectPart

Effect = Literal[
    "reward_effect", "cost_effect", "cost_per_request_effect", "reward_per_cost_effect", "net_value_effect"
]
EFFECTS: tuple[Effect, ...] = (
    "reward_effect", "cost_effect", "cost_per_request_effect", "reward_per_cost_effect", "net_value_effect",
)  # fmt: skip


def with_corrections(candidates: Sequence[CandidatePart]) -> tuple[CandidatePart, ...]:
    """The candidates with Holm's and Benjamini and Hochberg's p beside the fixed one, where there are several."""
    if len(candidates) < 3:
        return tuple(candidates)
    changes: list[dict[str, EffectPart]] = [{} for _ in candidates]
    for name in EFFECTS:
        parts: list[EffectPart | None] = [getattr(one, name) for one in candidates]
        p_values = [None if part is None else part.fixed_p for part in parts]
        holm, together = corrected(p_values, "holm"), corrected(p_values, "benjamini_hochberg")
        for change, part, each, other in zip(changes, parts, holm, together, strict=True):
            if part is not None:
                change[name] = part.model_copy(update={"fixed_p_holm": each, "fixed_p_bh": other})
    return tuple(one.model_copy(update=change) for one, change in zip(candidates, changes, strict=True))
