"""The overview: every experiment and where it stands, and the model that serves each task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import quote

from dashboards.pages import fill
from dashboards.share_chart import series_of

STRIP = 120.0
"""Width of the small drawing of shares."""
Given = Mapping[str, Any]  # reason: parsed JSON, as the HTTP answers have it


@dataclass(frozen=True, slots=True)
class ShareEntry:
    """One candidate's part of new traffic; the first entry is the control's."""

    candidate: str
    share: float
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class ExperimentEntry:
    """What the overview takes of an experiment; keys beside these are left aside."""

    name: str
    task: str
    state: str
    mode: str = ""
    unit: str = ""
    shares: tuple[ShareEntry, ...] = ()
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    ended_because: str = ""
    verdict: str | None = None
    """Kind of the newest report's verdict; None before the first report."""
    leader: str | None = None
    """Candidate that the verdict names."""
    units: int | None = None
    """Units assigned, by the newest report."""
    plan: str | None = None
    """When a verdict is likely."""
    discovery: bool | None = None
    """Whether it is a discovery among all experiments that run now."""


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """What the overview takes of a route; keys beside these are left aside."""

    task: str
    champion: str
    own: bool = True
    """False where the champion is a parent task's or the default."""
    source: str | None = None
    """file, hand, promotion or rollback."""
    changed_at_ms: int | None = None
    changed_by: str | None = None
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class _Segment:
    """One candidate's piece of the strip of shares."""

    at: float
    width: float
    series: int


@dataclass(frozen=True, slots=True)
class _Line:
    """One experiment, ready to be set."""

    entry: ExperimentEntry
    link: str
    strip: tuple[_Segment, ...]
    most: ShareEntry | None
    """Candidate with the largest share."""


def render_html(experiments: Sequence[Given], routes: Sequence[Given], mix: Given | None = None) -> str:
    """The overview of experiments (keys of ExperimentEntry), routes (keys of RouteEntry) and the mix of tiers."""
    entries = [_experiment(one) for one in experiments]
    return fill(
        "index.html",
        lines=[_line(entry) for entry in entries],
        routes=[RouteEntry(**_known(RouteEntry, one)) for one in routes],
        mix=mix,
        live=any(entry.state == "running" for entry in entries),
        strip=STRIP,
    )


def _experiment(given: Given) -> ExperimentEntry:
    shares = tuple(ShareEntry(**_known(ShareEntry, one)) for one in given.get("shares", ()))
    return ExperimentEntry(**{**_known(ExperimentEntry, given), "shares": shares})


def _known(kind: type[ShareEntry | ExperimentEntry | RouteEntry], given: Given) -> dict[str, Any]:
    """The keys that a record takes."""
    return {field.name: given[field.name] for field in fields(kind) if field.name in given}


def _line(entry: ExperimentEntry) -> _Line:
    segments, at = [], 0.0
    for arm, part in enumerate(entry.shares):
        segments.append(_Segment(round(at * STRIP, 1), round(part.share * STRIP, 1), series_of(arm)))
        at += part.share
    most = max(entry.shares, key=lambda part: part.share, default=None)
    link = f"/v1/experiments/{quote(entry.name, safe='~')}/report?format=html"
    return _Line(entry, link, tuple(segments), most)
