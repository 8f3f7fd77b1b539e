"""Rows of the ledger, packed: a million pairs must fit in memory beside a simulation.

A decision takes 80 bytes, a logged value 63 and a unit row 107, a fraction of what the objects take, and the garbage
collector walks none of it. Texts that repeat (tasks, models, metrics) are kept once.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from math import isnan, nan
from struct import Struct

from experiments.evidence.units import NO_METRICS, UnitRow
from storage.records import DecisionRow, FeedbackRow, FeedbackState
from storage.staging import LogEntry

_DECISION = Struct("<qqIH16sIIIdBdId")
_ENTRY = Struct("<qqIH16sIdBqq")
_UNIT = Struct("<IHq5Id2Idqd")
_STATES = tuple(FeedbackState)
_PLACES = {state: place for place, state in enumerate(_STATES)}
_NEVER = -(2**63)


class _Texts(dict[str, int]):
    """A small number for each text, a new one for a new text; the texts are kept once."""

    def __init__(self) -> None:
        super().__init__()
        self.by_number: list[str] = []

    def __missing__(self, text: str) -> int:
        number = self[text] = len(self.by_number)
        self.by_number.append(text)
        return number


class Decisions:
    """Decision rows; their numbers mostly rise, so those in order are searched and only stragglers are hashed."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._texts = _Texts()
        self._rising = array("q")
        self._stragglers: set[int] = set()
        self._largest = -1

    def __contains__(self, number: int) -> bool:
        if number > self._largest:
            return False
        place = bisect_left(self._rising, number)
        found = place < len(self._rising) and self._rising[place] == number
        return found or number in self._stragglers

    def append(self, row: DecisionRow) -> None:
        """Keep a row whose number is not there yet."""
        texts, number = self._texts, row.number
        if number > self._largest:
            self._largest = number
            self._rising.append(number)
        else:
            self._stragglers.add(number)
        self._data += _DECISION.pack(
            number, row.experiment_id, row.epoch, row.arm, row.unit, texts[row.task], texts[row.model],
            texts[row.reason], row.propensity, row.degraded, nan if row.covariate is None else row.covariate,
            texts[row.found],
            nan if row.predicted is None else row.predicted,
        )  # fmt: skip

    def __iter__(self) -> Iterator[DecisionRow]:
        texts = self._texts.by_number
        for fields in _DECISION.iter_unpack(bytes(self._data)):
            (
                number,
                experiment,
                epoch,
                arm,
                unit,
                task,
                model,
                reason,
                propensity,
                degraded,
                covariate,
                found,
                predicted,
            ) = fields
            yield DecisionRow(
                number, experiment, epoch, arm, unit, texts[task], texts[model], texts[reason], propensity,
                bool(degraded), None if isnan(covariate) else covariate, texts[found],
                None if isnan(predicted) else predicted,
            )  # fmt: skip


class Units:
    """Unit rows of one experiment by digest."""

    def __init__(self, experiment_id: int) -> None:
        self._experiment_id = experiment_id
        self._rows: dict[bytes, bytes] = {}
        self._metrics: dict[bytes, Mapping[str, tuple[int, float]]] = {}
        """Further metrics of the units that have any."""

    def get(self, unit: bytes) -> UnitRow | None:
        """One unit row."""
        packed = self._rows.get(unit)
        return None if packed is None else self._row(unit, packed)

    def put(self, row: UnitRow) -> None:
        """Keep a row, new or replaced."""
        self._rows[row.unit] = _UNIT.pack(
            row.epoch, row.arm, row.assigned_at_ms, row.requests, row.calls, row.errors, row.diverted, row.costed,
            row.cost_usd, row.feedback, row.rated, row.reward, row.first_number, row.covariate,
        )  # fmt: skip
        if row.metrics:
            self._metrics[row.unit] = row.metrics
        elif self._metrics:
            self._metrics.pop(row.unit, None)

    def __iter__(self) -> Iterator[UnitRow]:
        return (self._row(unit, packed) for unit, packed in list(self._rows.items()))

    def _row(self, unit: bytes, packed: bytes) -> UnitRow:
        epoch, arm, at_ms, requests, calls, errors, diverted, costed, cost_usd, *rest = _UNIT.unpack(packed)
        feedback, rated, reward, first_number, covariate = rest
        return UnitRow(
            self._experiment_id, unit, epoch, arm, at_ms, requests, calls, errors, diverted, costed, cost_usd,
            feedback, rated, reward, first_number, covariate, self._metrics.get(unit, NO_METRICS),
        )  # fmt: skip


class Log:
    """Received values in the order of arrival."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._texts = _Texts()
        self._remarks: dict[int, tuple[str | None, str]] = {}
        """Idempotency key and comment of the entries that have any, by place."""

    def append(self, entry: LogEntry) -> None:
        """Keep a received value."""
        row = entry.row
        if row.idempotency_key is not None or row.comment:
            self._remarks[len(self._data) // _ENTRY.size] = (row.idempotency_key, row.comment)
        self._data += _ENTRY.pack(
            row.number, row.experiment_id, row.epoch, row.arm, row.unit, self._texts[entry.metric],
            entry.value, _PLACES[entry.state], row.received_at_ms,
            _NEVER if row.occurred_at_ms is None else row.occurred_at_ms,
        )  # fmt: skip

    def __iter__(self) -> Iterator[LogEntry]:
        for place, fields in enumerate(_ENTRY.iter_unpack(bytes(self._data))):
            number, experiment, epoch, arm, unit, metric, value, state, received_at, occurred_at = fields
            key, comment = self._remarks.get(place, (None, ""))
            name = self._texts.by_number[metric]
            row = FeedbackRow(
                number, experiment, epoch, arm, unit, ((name, value),), received_at,
                None if occurred_at == _NEVER else occurred_at, key, comment,
            )  # fmt: skip
            yield LogEntry(row, name, value, _STATES[state])
