"""Small specifications that tests change a little."""

from typing import Any

from evaluation.simulation.spec import Spec


def raw(**changes: Any) -> dict[str, Any]:  # reason: a specification as a file holds it
    """A day and a half of a cheap candidate that is as good as the control."""
    return {
        "seed": 3,
        "requests_per_day": 2_000,
        "days": 1.5,
        "environment": {"rates": [0.8, 0.8], "costs_usd": [0.01, 0.002]},
        "experiment": {
            "candidates": ["dear", "cheap"],
            "reward": {"window": "1h"},
            "objective": {"reward_margin": 0.1},
        },
        **changes,
    }


def spec(**changes: Any) -> Spec:  # reason: as above
    """The same, validated."""
    return Spec.model_validate(raw(**changes))


def inside(section: str, **changes: Any) -> dict[str, Any]:  # reason: as above
    """One section of the raw specification with changes."""
    return {section: {**raw()[section], **changes}}
