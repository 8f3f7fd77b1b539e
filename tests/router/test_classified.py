"""The classifier in routing: its place in the order, its threshold, and what the ledger keeps of its word."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluation.classification.files import save
from router.applying.file import read_config, read_document
from router.applying.plan import apply, plan_changes
from router.classifying.trained_file import pack, packed_digest
from router.config.classifier import Classifier
from router.config.document import Document
from router.deciding.choose import RouteRequest
from router.errors import ConfigInvalid
from router.in_process import Router
from storage.memory.store import MemoryStore
from tests.evaluation.labelled import training
from tests.router.worlds import HandClock, World, document, experiment, model, world

PACKED = pack(training(out_of_scope=True).body)
DIGEST = packed_digest(PACKED)[:8]
BILLING = "please refund the invoice and the charge on my receipt"
CODE = "my python function has a compile error in the loop"
STRANGE = "the volcano orchestra with a penguin and a telescope"
VAGUE = "python function loop poem rhyme story"


def classified(**changes: object) -> Document:
    """The document of `worlds` with a classifier and a task for code."""
    tasks = {
        "support": {"default": "dear"},
        "support/billing": {"match": {"keywords": ["chargeback"]}},
        "code": {},
    }
    settings = {"file": "tasks.json", "packed": PACKED, "threshold": 0.8, **changes}
    return document(tasks=tasks, classifier=settings, experiments={"cheaper": experiment()})


@pytest.fixture
def sorting() -> Iterator[World]:
    """A world whose requests are classified."""
    made = world(classified())
    yield made
    made.close()


@pytest.mark.parametrize(
    ("request_", "task", "reason"),
    [
        (RouteRequest(task="code", text=BILLING), "code", "explicit"),
        (RouteRequest(text="chargeback in python function loop"), "support/billing", "keyword"),
        (RouteRequest(text=BILLING), "support/billing", "classified"),
        (RouteRequest(text=CODE), "code", "classified"),
        (RouteRequest(text="track the parcel delivery courier address package"), "support", "ancestor"),
        (RouteRequest(text="a poem with rhyme in the style of a novel"), "default", "out_of_scope"),
        (RouteRequest(text=STRANGE), "default", "out_of_scope"),
        (RouteRequest(text=VAGUE), "default", "unsure"),
        (RouteRequest(text=" \n "), "default", "default"),
        (RouteRequest(text="?"), "default", "unsure"),
        (RouteRequest(text="\ud800"), "default", "unsure"),
        (RouteRequest(text=CODE, override="cheap"), "default", "default"),
    ],
)
def test_the_classifier_speaks_after_every_rule_and_only_when_sure(
    sorting: World, request_: RouteRequest, task: str, reason: str
) -> None:
    """The order is a promise; what is unsure, foreign or pinned is no specialist's."""
    decision = sorting.engine.route(request_)
    assert (decision.task, decision.task_reason) == (task, reason)
    asked = reason in ("classified", "unsure", "out_of_scope") or (reason, request_.task) == (
        "ancestor",
        None,
    )
    assert (decision.confidence is not None) == asked


def test_a_classified_request_enters_its_tasks_experiment(sorting: World) -> None:
    """Otherwise traffic without tags could never be experimented on."""
    decision = sorting.engine.route(RouteRequest(text=BILLING))
    assert (decision.experiment, decision.reason) == ("cheaper", "experiment")


def test_the_default_explains_why_no_task_was_named(sorting: World) -> None:
    """Whoever reads a decision should not have to know the classifier."""
    unsure, foreign = (sorting.engine.route(RouteRequest(text=text)) for text in (VAGUE, STRANGE))
    assert (unsure.reason, foreign.reason) == ("unrouted", "unrouted")
    assert "not sure enough" in unsure.explanation
    assert "none of the tasks" in foreign.explanation


@pytest.mark.parametrize(
    ("threshold", "reason"), [(None, "classified"), (0.0, "classified"), (0.7, "unsure")]
)
def test_a_declared_threshold_goes_before_the_trained_one(threshold: float | None, reason: str) -> None:
    """An operator may be stricter or bolder than training was, whose threshold is 0.5 here."""
    sorting = world(classified(threshold=threshold))
    assert sorting.engine.route(RouteRequest(text=VAGUE)).task_reason == reason
    sorting.close()


def test_the_ledger_keeps_reason_band_and_digest(sorting: World) -> None:
    """A later look at the ledger tells which classifier sent a request where, and how sure it was."""
    for text in (BILLING, VAGUE):
        sorting.engine.route(RouteRequest(text=text))
    sorting.engine.route(RouteRequest(task="code"))
    sorting.engine.recorder.flush()
    kept = [str(row["found"]) for row in sorting.store.export("decisions")]
    assert kept[0].startswith("classified 0.")
    assert kept[0].endswith(f" {DIGEST}")
    assert kept[1].startswith("unsure 0.")
    assert kept[2] == "explicit"
    assert sorting.engine.found_by["classified"] == sorting.engine.found_by["unsure"] == 1


def test_a_classifier_that_cannot_be_read_leaves_traffic_flowing() -> None:
    """A ledger of a later release must not stop a worker."""
    sorting = world(classified(packed="AAAA"))
    decision = sorting.engine.route(RouteRequest(text=BILLING))
    assert (decision.task, decision.task_reason, decision.reason) == ("default", "unavailable", "unrouted")
    assert "no answer" in decision.explanation
    sorting.close()


CONFIG = """
models: {big: {base_url: "http://127.0.0.1:9/v1", price: {input: 1, output: 2}}}
default: big
tasks: {code: {}, support: {}, poems: {}}
classifier: {file: trained/tasks.json}
"""


def written(folder: Path) -> Path:
    """A configuration beside its classifier."""
    (folder / "trained").mkdir()
    save(folder / "trained" / "tasks.json", training().body)
    (folder / "pointsman.yaml").write_text(CONFIG)
    return folder / "pointsman.yaml"


def test_a_file_travels_into_the_ledger_with_the_configuration(tmp_path: Path) -> None:
    """Workers on other nodes have no file: the ledger carries it, and `plan` shows its digest only."""
    path = written(tmp_path)
    loaded = read_config(path)
    assert [(warning.field, "'writing'" in warning.message) for warning in loaded.warnings] == [
        ("classifier.file", True)
    ]
    store, clock = MemoryStore(), HandClock()
    assert "+ classifier: file trained/tasks.json, digest" in apply(store, loaded.document, clock, "ann").text
    for file in (tmp_path / "trained" / "tasks.json", path):
        file.unlink()
    state = store.state()
    with Router(store, tick="manual", clock=clock) as router:
        assert router.route(text=CODE).task == "code"
    stricter = loaded.document.model_copy(
        update={"classifier": loaded.document.classifier.model_copy(update={"threshold": 0.9})}  # type: ignore[union-attr]
    )
    lines = plan_changes(stricter, state, 0, "ann").text
    assert "~ classifier: file trained/tasks.json, digest" in lines
    assert "threshold 0.9" in lines
    assert len(lines) < 500


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"{}", "is no classifier"), (training().body[:-50], "is no JSON")],
)
def test_a_broken_file_is_named_at_its_line(tmp_path: Path, content: bytes | None, words: str) -> None:
    """An error names file, line and field, as for everything in a configuration."""
    path = written(tmp_path)
    (tmp_path / "trained" / "tasks.json").unlink()
    if content is not None:
        (tmp_path / "trained" / "tasks.json").write_bytes(content)
    with pytest.raises(ConfigInvalid) as caught:
        read_document(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.field) == (5, "classifier.file")
    assert words in problem.message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "either file or url"),
        ({"file": "a", "url": "http://127.0.0.1/x"}, "either file or url"),
        ({"file": "a", "deadline_ms": 50}, "deadline_ms belongs to a classifier with url"),
        ({"file": "a", "cache": 5}, "cache belongs to"),
        ({"url": "http://127.0.0.1/x", "packed": "AAAA"}, "packed is the content of a file"),
        ({"url": "ftp://127.0.0.1/x"}, "must start with http"),
        ({"url": "http://user:pw@host/x"}, "no user name, password"),
        ({"file": "a", "threshold": 1.0}, "less than 1"),
        ({"url": "http://127.0.0.1/x", "deadline_ms": 0}, "greater than or equal to 1"),
    ],
)
def test_what_a_classifier_cannot_enforce_is_refused(settings: dict[str, object], words: str) -> None:
    """A field that is accepted acts."""
    with pytest.raises(ValueError, match=words):
        Classifier.model_validate(settings)


def test_a_document_whose_file_was_not_read_is_not_applied() -> None:
    """The library takes documents as values; their files must not silently be missing."""
    raw = {
        "models": {"m": model()},
        "default": "m",
        "tasks": {"code": {}},
        "classifier": {"file": "nowhere.json"},
    }
    plan = plan_changes(Document.model_validate(raw), MemoryStore().state(), 0, "ann")
    assert [item.subject for item in plan.refused] == ["classifier"]


def test_routing_with_a_classifier_loads_nothing_heavy(tmp_path: Path) -> None:
    """A worker serves in 110 MB: scikit-learn and numpy belong to training."""
    save(tmp_path / "tasks.json", training().body)
    code = (
        "import sys; from pathlib import Path; from router.classifying.trained_file import parse; "
        "import router.deciding.snapshot; "
        f"print(parse(Path(sys.argv[1]).read_bytes()).classify({CODE!r}).task, "
        "sorted({name.split('.')[0] for name in sys.modules} & {'numpy', 'scipy', 'sklearn', 'aiohttp'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "tasks.json")],
        cwd=Path(__file__).parents[2], capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "code []\n", done.stderr
