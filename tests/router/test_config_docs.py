"""docs/configuration.md says exactly what the schema takes: every field, no other, with its default."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from experiments.definition.bandit import Bandit, OfflineReward
from experiments.definition.decision import Decision
from experiments.definition.duration import text as duration_text
from experiments.definition.experiment import Experiment
from experiments.definition.guardrail import Guardrail
from experiments.definition.objective import Objective
from experiments.definition.reward import Reward
from router.config.availability import Budget, Cooldown, FallbacksOn, Hedge, Limits, Timeouts
from router.config.classifier import Classifier
from router.config.conditions import Condition, Rule, When
from router.config.document import Document
from router.config.model import Deployment, Model
from router.config.policy import Ask, Policy, PolicyRule
from router.config.price import Price, PriceTier
from router.config.task import Match, Queue, Task

DOCS = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[BaseModel]] = {
    "The file": Document,
    "`models.<name>.deployments[]`": Deployment,
    "`models.<name>.limits`": Limits,
    "`models.<name>.timeouts`": Timeouts,
    "`tasks.<name>.fallbacks_on`": FallbacksOn,
    "`tasks.<name>.budget`": Budget,
    "`tasks.<name>.hedge`": Hedge,
    "`tasks.<name>.queue`": Queue,
    "`cooldown`": Cooldown,
    "`models.<name>`": Model,
    "`policies.<name>`": Policy,
    "`policies.<name>.rules[]`": PolicyRule,
    "`policies.<name>.ask`": Ask,
    "`models.<name>.price`": Price,
    "`models.<name>.price.tiers[]`": PriceTier,
    "`tasks.<name>`": Task,
    "`tasks.<name>.match`": Match,
    "`routes[]`": Rule,
    "`routes[].when`": When,
    "`routes[].when.metadata.<key>`": Condition,
    "`classifier`": Classifier,
    "`experiments.<name>`": Experiment,
    "`experiments.<name>.reward`": Reward,
    "`experiments.<name>.objective`": Objective,
    "`experiments.<name>.guardrails[]`": Guardrail,
    "`experiments.<name>.decision`": Decision,
    "`experiments.<name>.bandit`": Bandit,
    "`experiments.<name>.bandit.priors.<candidate>`": OfflineReward,
}


def documented(heading: str) -> dict[str, str]:
    """Field and default of each row of a section's table."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    rows = [line.split(" | ") for line in section[1].splitlines() if line.startswith("| `")]
    return {row[0].strip("| `"): row[2].strip("`") for row in rows}


def default_of(model: type[BaseModel], name: str) -> str:
    """A field's default as the file would write it."""
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, BaseModel):
        return "see below"
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if name == "window_ms":
        return duration_text(default)
    if isinstance(default, tuple | dict):
        shown = ", ".join(f"{each:g}" for each in default)
        return f"[{shown}]" if isinstance(default, tuple) else f"{{{shown}}}"
    if isinstance(default, str):
        return default or '""'
    return f"{default:.10g}"


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_field_is_documented_with_its_default(heading: str) -> None:
    """A field that nobody can read about does not exist; one that is described and refused is worse."""
    model = SECTIONS[heading]
    expected = {field.alias or name: default_of(model, name) for name, field in model.model_fields.items()}
    assert documented(heading) == expected


def test_no_part_of_the_schema_lacks_a_section() -> None:
    """A new nested part of the configuration must not stay unknown to the docs."""
    reached: set[type[BaseModel]] = set()
    waiting: list[object] = [Document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, type) and issubclass(part, BaseModel) and part not in reached:
            reached.add(part)
            waiting += [field.annotation for field in part.model_fields.values()]
        waiting += getattr(part, "__args__", ())
    assert reached == set(SECTIONS.values())
