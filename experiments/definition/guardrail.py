"""Guardrails: metrics that a candidate may not make worse than the control by more than a bound."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from experiments.definition.declared import FINEST, Declared, Positive
from experiments.definition.names import Name


class Guardrail(Declared):
    """A metric that a candidate may not make worse than the control by more than a bound."""

    metric: Name
    max_increase: Positive | None = None
    """Bound on candidate minus control, in the metric's unit per request."""
    max_ratio: Annotated[float, Field(allow_inf_nan=False, gt=1)] | None = None
    """Bound on candidate divided by control."""

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.metric not in ("error", "cost_usd"):
            raise ValueError(f"guardrail metric {self.metric!r} is not yet enforced; use error or cost_usd")
        if (self.max_increase is None) == (self.max_ratio is None):
            raise ValueError(f"guardrail {self.metric!r} needs exactly one of max_increase and max_ratio")
        if self.max_increase is not None and not FINEST <= self.max_increase <= 1:
            raise ValueError(f"max_increase == {self.max_increase:g}, must be in [{FINEST:g}, 1]")
        if self.max_ratio is not None and not 1 + FINEST <= self.max_ratio <= 1 / FINEST:
            raise ValueError(f"max_ratio == {self.max_ratio:.9g}, must be in [{1 + FINEST}, {1 / FINEST:g}]")
        if self.metric == "error" and self.max_increase is None:
            raise ValueError("guardrail 'error' takes max_increase: a ratio of rates near zero is unbounded")
        if self.metric == "cost_usd" and self.max_ratio is None:
            raise ValueError(
                "guardrail 'cost_usd' takes max_ratio: costs of tasks differ by orders of magnitude"
            )
        return self
