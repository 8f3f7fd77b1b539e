"""Copies: in mode shadow a request that the control serves is asked of a candidate as well, for nobody's eyes.

A copy is a decision of its own, with reason `shadow` and propensity 0: it moves no share and reaches no client.
The gateway makes copies itself; a caller that calls models itself is offered them.
"""

from dataclasses import replace

from experiments.evidence.pairs import pair_unit
from router.deciding.choose import Copy, Decision
from router.deciding.decision_id import Signer, request_unit

LONGEST_S = 110.0
"""Longest copy: with its wait for a turn it ends before its epoch's calls count as settled."""


def offered(decision: Decision, candidate: str, number: int, signer: Signer) -> tuple[Decision, Decision]:
    """A decision with the offer of a copy, and the copy's own; the unit of each names the other.

    The two ids alone thus say what is a pair, on whichever node and in whichever order they are reported.
    """
    copy = copied(decision, candidate, number, signer, pair_unit(number, decision.number))
    unit = pair_unit(decision.number, number)
    served = replace(
        decision,
        id=signer.mint(decision.experiment_id, decision.epoch, decision.arm, unit, decision.number),
        unit=unit,
        copy=Copy(copy.id, copy.model, candidate),
    )
    return served, copy


def copied(
    decision: Decision, candidate: str, number: int, signer: Signer, unit: bytes | None = None
) -> Decision:
    """The decision for the copy of a served request; it has no fallback, as it is about this candidate alone."""
    unit = request_unit(number) if unit is None else unit
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
        policy=None,
        predicted=None,
        choices=None,
    )
