"""Commands on the store itself, without a server; running servers follow within two seconds."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import get_args

import orjson
from pydantic import BaseModel

from api.admin import answers
from api.admin.stories import decision_story
from api.commands.options import actor
from api.commands.output import Fields
from api.commands.target import Move, ReportForm
from experiments.definition.lifecycle import LIVE
from router.clock import machine_clock
from router.engine import TIERS
from router.errors import InvalidRequest
from router.steering.control import Control
from storage.exported import export_kind
from storage.records import Scope
from storage.store import Store


class LocalTarget:
    """A `Target` over an open store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._control = Control(store, machine_clock)

    def experiments(self) -> list[Fields]:
        """All experiments, the newest first."""
        return [_fields(answer) for answer in answers.experiment_answers(self._store)]

    def move(self, move: Move, name: str, why: str) -> Fields:
        """Start, pause or stop an experiment."""
        moves = {"start": self._control.start, "pause": self._control.pause, "stop": self._control.stop}
        moves[move](name, actor(), why)
        return _fields(answers.one_experiment(self._store, self._control.experiment(name)))

    def report(self, name: str, form: ReportForm) -> str:
        """A live experiment's report computed now, else the one that the experiment ended on."""
        body = self._report_body(name)
        if form == "json":
            return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
        return render_report_as(body, form)

    def _report_body(self, name: str) -> str:
        row = self._control.experiment(name)
        if row.state in LIVE:
            from router.steering.planner import render_report

            return render_report(self._store, name, machine_clock())
        return self._control.report(name).body

    def power(self, name: str, units_per_day: float | None) -> Fields:
        """Units and days to a verdict, planned now on what the store holds."""
        from router.steering.forecast import forecast

        return asdict(forecast(self._store, name, units_per_day, machine_clock()))

    def promote(self, name: str, why: str, candidate: str | None, force: bool) -> Fields:
        """Make a candidate the champion."""
        done = self._control.promote(name, actor(), why, candidate, force)
        return {
            "task": done.task,
            "old": done.old,
            "new": done.new,
            "successor": done.successor,
            "digest": done.digest,
            "forced": done.forced,
        }

    def rollback(self, task: str, why: str) -> Fields:
        """Give a task its previous champion back."""
        route = self._control.rollback(task, actor(), why)
        return _fields(answers.route_entry(task, route.model, route))

    def routes(self) -> list[Fields]:
        """Every task and its champion."""
        return [_fields(answers.route_entry(*entry)) for entry in self._control.routes()]

    def mix(self) -> str:
        """The declared mix of tiers; what is served is counted by the servers."""
        mix = answers.mix_entry(self._store, [0] * TIERS)
        if mix is None:
            return ""
        return f"{mix.sentence.split(';')[0]}; what is served is counted by servers: ask one with --url"

    def explain(self, asked: Fields) -> Fields:
        """What would become of a request."""
        return _fields(answers.explained(self._store, asked, machine_clock()))

    def set_route(self, task: str, model: str, why: str) -> Fields:
        """Name a champion by hand."""
        route = self._control.set_route(task, model, actor(), why)
        return _fields(answers.route_entry(task, route.model, route))

    def audit(self, limit: int) -> list[Fields]:
        """The newest changes first."""
        return [_fields(answers.audit_line(entry)) for entry in self._store.audit(limit)]

    def decision(self, decision_id: str) -> Fields:
        """One decision from its choice to its feedback."""
        return _fields(decision_story(self._store, decision_id))

    def export(self, kind: str, experiment: str | None) -> Iterator[str]:
        """Rows of the ledger as lines of JSON."""
        experiment_id = None if experiment is None else self._control.experiment(experiment).id
        for row in self._store.export(export_kind(kind), experiment_id):
            yield orjson.dumps(row).decode()

    def keys(self) -> list[Fields]:
        """All keys without their secrets."""
        return [_fields(answers.key_entry(row)) for row in self._store.state().keys]

    def add_key(self, key_id: str, scopes: Sequence[str]) -> str:
        """A new key, shown once."""
        return self._control.add_key(key_id, [_scope(scope) for scope in scopes], actor())

    def revoke_key(self, key_id: str) -> None:
        """End a key."""
        self._control.revoke_key(key_id, actor())


def render_report_as(body: str, form: ReportForm) -> str:
    """A report's JSON as text, page or table; the renderers are imported only here."""
    report = orjson.loads(body)
    if form == "html":
        from dashboards.report_page import render_html

        return render_html(report, standalone=True)
    if form == "csv":
        from dashboards.report_csv import render_csv

        return render_csv(report)
    from dashboards.report_text import render_text

    return render_text(report)


def _fields(answer: BaseModel) -> Fields:
    return answer.model_dump(mode="json", by_alias=True)


def _scope(text: str) -> Scope:
    for known in get_args(Scope):
        if text == known:
            return known  # type: ignore[no-any-return]  # get_args forgets the literals' type
    raise InvalidRequest(f"scope {text[:40]!r} is not one of {', '.join(get_args(Scope))}", "scopes")
