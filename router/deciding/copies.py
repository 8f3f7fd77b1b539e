"""Copies: in mode shadow a request that the control serves is asked of a candidate as well, for nobody's eyes.

A copy is a decision of its own, with reason `shadow` and propensity 0: it moves no share and reaches no client.
"""

from dataclasses import replace

from router.deciding.choose import Decision
from router.deciding.decision_id import Signer, request_unit

LONGEST_S = 110.0
"""Longest copy: with its wait for a turn it ends before its epoch's calls count as settled."""


def copied(decision: Decision, candidate: str, number: int, signer: Signer) -> Decision:
    """The decision for the copy of a served request; it has no fallback, as it is about this candidate alone."""
    unit = request_unit(number)
    return replace(
        decision,
        id=signer.mint(decision.experiment_id, decision.epoch, decision.copy_to, unit, number),
        number=number,
        model=candidate,
        candidate=candidate,
        reason="shadow",
        fallbacks=(),
        timeout_s=min(decision.timeout_s, LONGEST_S),
        propensity=0.0,
        arm=decision.copy_to,
        unit=unit,
        covariate=None,
        copy_to=0,
    )
