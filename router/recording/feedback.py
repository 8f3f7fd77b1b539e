"""Feedback as it arrives: strict shapes, values within the experiment's range, ids verified.

Parsing refuses a whole body for one bad item, naming its index and field, before anything is stored.
"""

from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from experiments.definition.experiment import Experiment
from experiments.definition.names import Name
from experiments.definition.reward import KEPT_METRICS, MISROUTED, PAIR_METRICS, RESERVED_METRICS
from router.config.price import Usd
from router.config.prices import ListPrice
from router.deciding.decision_id import DecisionId
from router.errors import InvalidRequest
from storage.records import FeedbackRow

MAX_ITEMS = 1_000
_OWN_METRICS = frozenset({*KEPT_METRICS, *PAIR_METRICS})
_OWN_FIELDS = frozenset({*RESERVED_METRICS, MISROUTED})
Tokens = Annotated[int, Field(ge=0, le=100_000_000)]
Value = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]


class FeedbackItem(BaseModel):
    """Metric values reported for one decision."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    decision_id: Annotated[str, Field(max_length=128)]
    metric: Name | None = None
    """Metric of `value`; by default the experiment's reward."""
    value: Value | None = None
    cost_usd: Usd | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cached_input_tokens: Tokens | None = None
    """How many of the input tokens were read from the provider's prompt cache."""
    latency_ms: Annotated[float, Field(ge=0, le=86_400_000, allow_inf_nan=False)] | None = None
    error: bool | Annotated[str, Field(max_length=200)] | None = None
    """Whether the call gave no answer; a text says why and counts as true."""
    misrouted: bool | None = None
    """Whether the request was judged to belong to another task."""
    idempotency_key: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    occurred_at: AwareDatetime | None = None
    """When it happened, with its time zone; orders values of one decision and metric."""
    comment: Annotated[str, Field(max_length=2_000)] = ""

    @field_validator("occurred_at", mode="before")
    @classmethod
    def _moment(cls, value: object) -> object:
        return datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else value

    @model_validator(mode="after")
    def _says_something(self) -> "FeedbackItem":
        if self.metric in _OWN_METRICS:
            raise ValueError(f"metric {self.metric!r} is kept by Pointsman itself; name another one")
        if self.metric in _OWN_FIELDS:
            raise ValueError(
                f"metric {self.metric!r} has its own field; leave `metric` and `value` out for it"
            )
        if self.metric is not None and self.value is None:
            raise ValueError(f"metric {self.metric!r} has no value")
        if self.value is None and self._says_nothing_else():
            raise ValueError(
                "nothing is reported; give value, cost_usd, tokens, latency_ms, error or misrouted"
            )
        if (self.input_tokens is None) != (self.output_tokens is None):
            raise ValueError("input_tokens and output_tokens belong together; give both")
        if self.cached_input_tokens is not None and self.cached_input_tokens > (self.input_tokens or 0):
            raise ValueError(
                f"cached_input_tokens == {self.cached_input_tokens}, must be at most input_tokens; "
                "they are a part of it"
            )
        return self

    def _says_nothing_else(self) -> bool:
        reported = (
            self.cost_usd,
            self.latency_ms,
            self.error,
            self.misrouted,
            self.input_tokens,
            self.output_tokens,
        )
        return all(value is None for value in reported)


def parse_items(body: bytes) -> list[FeedbackItem]:
    """One item or a list of at most 1,000; raises InvalidRequest with index and field."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is no JSON: {error}") from None
    items = data if isinstance(data, list) else [data]
    if not 1 <= len(items) <= MAX_ITEMS:
        raise InvalidRequest(f"{len(items)} feedback items, must be 1 to {MAX_ITEMS}; send several requests")
    return [_item(index, item) for index, item in enumerate(items)]


def _item(index: int, data: Any) -> FeedbackItem:  # reason: any JSON value; pydantic refuses what is no item
    try:
        return FeedbackItem.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or None
        raise InvalidRequest(f"item {index}: {field or 'item'}: {first['msg']}", field, index) from None


def feedback_row(
    item: FeedbackItem,
    index: int,
    decision: DecisionId,
    definition: Experiment | None,
    price: ListPrice | None,
    now_ms: int,
) -> FeedbackRow:
    """The row of a verified item; raises InvalidRequest for a value outside the reward's range."""
    occurred_at_ms = None if item.occurred_at is None else round(item.occurred_at.timestamp() * 1000)
    return FeedbackRow(
        decision.number, decision.experiment_id, decision.epoch, decision.arm, decision.unit,
        tuple(_values(item, index, definition, price)), now_ms, occurred_at_ms, item.idempotency_key, item.comment,
    )  # fmt: skip


def _values(
    item: FeedbackItem, index: int, definition: Experiment | None, price: ListPrice | None
) -> list[tuple[str, float]]:
    """The reported metrics, the reward first."""
    values: list[tuple[str, float]] = []
    if item.value is not None:
        metric = item.metric or (definition.reward.metric if definition else "reward")
        _check_range(item.value, metric, index, definition)
        values.append((metric, item.value))
    cost = item.cost_usd
    if item.input_tokens is not None and item.output_tokens is not None:
        values += [("input_tokens", float(item.input_tokens)), ("output_tokens", float(item.output_tokens))]
        if item.cached_input_tokens is not None:
            values.append(("cached_input_tokens", float(item.cached_input_tokens)))
        if cost is None and price is not None:
            cost = price.cost_usd(item.input_tokens, item.output_tokens, item.cached_input_tokens or 0)
    if cost is not None:
        values.append(("cost_usd", cost))
    if item.latency_ms is not None:
        values.append(("latency_ms", item.latency_ms))
    if item.error is not None:
        values.append(("error", float(item.error is not False)))
    if item.misrouted is not None:
        values.append((MISROUTED, float(item.misrouted)))
    return values


def _check_range(value: float, metric: str, index: int, definition: Experiment | None) -> None:
    if definition is None or metric != definition.reward.metric:
        return
    low, high = definition.reward.range
    if not low <= value <= high and definition.reward.outside == "refuse":
        raise InvalidRequest(
            f"item {index}: value == {value:g}, must be in [{low:g}, {high:g}]", "value", index
        )
    if definition.reward.kind == "binary" and value not in (0.0, 1.0):
        raise InvalidRequest(
            f"item {index}: value == {value:g}, must be 0 or 1 (binary reward)", "value", index
        )
