"""The configuration document: models, tasks, the default and experiments, as one reviewable file.

Only shapes and single values are checked here; `router.applying.checks` holds names against each other.
Secrets never stand in it: a model names the environment variable that holds its key.
"""

from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator, model_validator

from experiments.definition.declared import Declared
from experiments.definition.experiment import Experiment
from experiments.definition.names import ExperimentName, Name, TaskName
from router.config.availability import Cooldown, Retries, Seconds
from router.config.classifier import Classifier
from router.config.conditions import MAX_ROUTES, Rule
from router.config.model import Model
from router.config.policy import MAX_POLICIES, Policy
from router.config.task import Queue, Task

MAX_MODELS, MAX_TASKS, MAX_EXPERIMENTS = 500, 2_000, 2_000
TierText = Annotated[str, StringConstraints(pattern=r"^[1-9]$")]


class Document(Declared):
    """A whole configuration file."""

    models: dict[Name, Model] = Field(min_length=1, max_length=MAX_MODELS)
    policies: dict[Name, Policy] = Field(default_factory=dict, max_length=MAX_POLICIES)
    """What chooses a model for each request, and stands wherever a champion or a candidate is named."""
    default: Name
    """Model of requests whose task is unknown."""
    fallbacks: tuple[Name, ...] = ()
    """Fallbacks of tasks that declare none."""
    timeout_s: Seconds = 120.0
    retries: Retries = 1
    """Retries of tasks that declare none."""
    queue: Queue | None = None
    """How batch requests of tasks that declare no queue wait at a limit."""
    cooldown: Cooldown = Cooldown()
    """When an upstream that fails is left alone."""
    tasks: dict[TaskName, Task] = Field(default_factory=dict, max_length=MAX_TASKS)
    classifier: Classifier | None = None
    """Names the task of texts that no rule knows."""
    routes: Annotated[tuple[Rule, ...], Field(max_length=MAX_ROUTES)] = ()
    """Conditional routes, the first that fits counts."""
    mix: dict[TierText, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    """Expected share of the decisions of each tier."""
    experiments: dict[ExperimentName, Experiment] = Field(default_factory=dict, max_length=MAX_EXPERIMENTS)

    def serves(self, name: str) -> bool:
        """Whether requests can be sent to this name: a model's or a policy's."""
        return name in self.models or name in self.policies

    def models_behind(self, name: str) -> tuple[str, ...]:
        """The declared models that answer for a name: itself, or those that a policy chooses from."""
        policy = self.policies.get(name)
        return tuple(each for each in (policy.chooses if policy else (name,)) if each in self.models)

    @model_validator(mode="after")
    def _mix_is_whole(self) -> "Document":
        total = sum(self.mix.values())
        if self.mix and abs(total - 1) > 1e-6:
            raise ValueError(f"mix sums to {total:g}, must sum to 1")
        return self

    @field_validator("fallbacks", "routes", mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("experiments", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:  # reason: raw input of any shape, validated by pydantic next
        """Give each experiment the name it stands under."""
        if not isinstance(value, dict):
            return value
        return {
            name: {"name": name, **body} if isinstance(body, dict) else body for name, body in value.items()
        }
