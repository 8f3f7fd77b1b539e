"""Ramp: how much traffic an arm may get while it is new.

A model that joins a running experiment may be broken in ways that its first outcomes do not show yet, so
it rises in steps (1%, 5%, free), and a step is left only with enough units whose outcomes are all in.
"""

from collections.abc import Sequence

STEPS = (0.01, 0.05)
"""Caps of a new arm before it is free."""
UNITS_PER_STEP = 50
"""Matured units that each step needs before the next one."""


def ramp_caps(
    matured_units: Sequence[float], newcomers: Sequence[int], steps: Sequence[float] = STEPS
) -> tuple[float, ...]:
    """Caps of all arms; only those in `newcomers` are held back, by one of the `steps` after the other.

    `matured_units` counts units of each arm in mature epochs: units that wait for their outcome prove nothing.

    >>> ramp_caps([900, 49, 50, 100], newcomers=[1, 2, 3])
    (1.0, 0.01, 0.05, 1.0)
    """
    wrong = [arm for arm in newcomers if not 0 <= arm < len(matured_units)]
    if wrong or not all(units >= 0 for units in matured_units):
        raise ValueError(
            f"newcomers == {list(newcomers)}, matured_units == {list(matured_units)}: newcomers must be arms "
            "and units >= 0"
        )
    if len(set(newcomers)) == len(matured_units):
        raise ValueError("every arm is a newcomer; the control at least must be free to take the rest")
    return tuple(_cap(units, steps) if arm in newcomers else 1.0 for arm, units in enumerate(matured_units))


def _cap(units: float, steps: Sequence[float]) -> float:
    done = int(units // UNITS_PER_STEP)
    return steps[done] if done < len(steps) else 1.0
