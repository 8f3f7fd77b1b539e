"""Life cycle: the states of an experiment and the moves between them.

draft -> running -> promoted | rolled_back | stopped
            running <-> paused -> promoted | rolled_back | stopped
"""

from enum import StrEnum


class ExperimentState(StrEnum):
    """Where an experiment stands."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    STOPPED = "stopped"


_ENDS = frozenset({ExperimentState.PROMOTED, ExperimentState.ROLLED_BACK, ExperimentState.STOPPED})
_MOVES = {
    ExperimentState.DRAFT: frozenset({ExperimentState.RUNNING, ExperimentState.STOPPED}),
    ExperimentState.RUNNING: _ENDS | {ExperimentState.PAUSED},
    ExperimentState.PAUSED: _ENDS | {ExperimentState.RUNNING},
}
LIVE = frozenset({ExperimentState.RUNNING, ExperimentState.PAUSED})


def may_move(old: ExperimentState, new: ExperimentState) -> bool:
    """Whether the life cycle allows this move.

    >>> may_move(ExperimentState.DRAFT, ExperimentState.PROMOTED)
    False
    """
    return new in _MOVES.get(old, frozenset())


def ended(state: ExperimentState) -> bool:
    """Whether nothing leads on from this state."""
    return state in _ENDS
