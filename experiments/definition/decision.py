"""The decision rule: when evidence is enough, and what happens then."""

from typing import Annotated, Literal

from pydantic import Field

from experiments.definition.declared import Declared, Positive


class Decision(Declared):
    """When evidence is enough, and what happens then."""

    alpha: Annotated[float, Field(ge=1e-6, le=0.2, allow_inf_nan=False)] = 0.05
    """Probability of a wrong promotion that the user accepts, over all looks and candidates."""
    mde: Positive = 0.03
    """Smallest difference in reward worth detecting, in reward units; tunes the test, not its validity."""
    min_saving: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.1
    """Smallest relative saving in cost that counts as cheaper."""
    read_out: Literal["anytime", "strict"] = "anytime"
    """The deciding read-out of the reward: confidence sequences, or exact tests, which serve rare outcomes too.
    Costs and ratios are read by confidence sequences in both; fixed-horizon and Bayesian read-outs stand beside."""
    adjust: Literal["none", "covariate"] = "none"
    """Whether reward differences are tested with the covariate's part taken out (CUPED)."""
    min_days: Annotated[float, Field(ge=0, le=365, allow_inf_nan=False)] = 0.0
    """No verdict before this many days, so that weekly rhythms are seen."""
    max_units: Annotated[int, Field(ge=100, le=1_000_000_000)] = 200_000
    """Units after which an open question is called inconclusive."""
    promote: Literal["ask", "auto"] = "ask"
    """Whether a supported promotion waits for a person."""
    holdback: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = 0.05
    """Share kept on the old champion after a promotion, to watch for regression; 0 keeps none."""
