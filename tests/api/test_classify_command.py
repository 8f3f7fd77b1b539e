"""`pointsman classify`: from labelled texts to a server that sorts its requests."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.api.shell import Shell
from tests.evaluation.labelled import labelled
from tests.servers.whole import CONFIG, serving_whole


def written(path: Path, each: int = 40, seed: int = 1, out_of_scope: bool = False) -> Path:
    """A labelled file."""
    labels = labelled(each, seed, out_of_scope)
    rows = [f"{text},{task},{'test' if n % 4 == 0 else 'train'}" for n, (text, task) in
            enumerate(zip(labels.texts, labels.tasks, strict=True))]  # fmt: skip
    path.write_text("text,task,part\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def model(fresh: Shell, tmp_path: Path) -> Path:
    """A classifier trained by the command."""
    out = tmp_path / "tasks.classifier.json"
    fresh.run(
        "classify", "train", str(written(tmp_path / "labels.csv")), "--out", str(out), "--precision", "0.9"
    )
    return out


def test_training_says_what_it_wrote_and_how_well_it_did(fresh: Shell, tmp_path: Path) -> None:
    """The line to put into the configuration comes with it."""
    labels, out = written(tmp_path / "labels.csv"), tmp_path / "tasks.json"
    said = fresh.run(
        "classify", "train", str(labels), "--out", str(out), "--where", "part=train", "--precision", "0.9"
    ).stdout
    assert "120 texts of 4 tasks" in said
    assert "right without a threshold" in said
    assert "classifier: {file: tasks.json}" in said
    shown = json.loads(
        fresh.run(
            "classify", "train", str(labels), "--out", str(out), "--precision", "0.9", "--format", "json"
        ).stdout
    )
    assert shown["bytes"] == out.stat().st_size
    assert shown["held_out"]["precision"] >= 0.9


def test_judging_shows_both_accuracies_scope_and_a_page(fresh: Shell, model: Path, tmp_path: Path) -> None:
    """Figures with and without abstention, for people, programs and as a page."""
    labels, page = written(tmp_path / "new.csv", seed=7, out_of_scope=True), tmp_path / "page.html"
    said = fresh.run("classify", "eval", str(model), str(labels), "--page", str(page)).stdout
    for words in ("200 texts, 160 of them in scope", "Without abstention: accuracy", "With abstention:",
                  "left to the default", "support/billing", "Calibration"):  # fmt: skip
        assert words in " ".join(said.split()), words
    found = json.loads(fresh.run("classify", "eval", str(model), str(labels), "--format", "json").stdout)
    assert found["accuracy"] > 0.95
    assert found["accuracy_classified"] >= found["accuracy"] - 0.01
    assert found["out_of_scope"]["to_default"] > 0.8
    assert sum(part["texts"] for part in found["bins"]) == found["in_scope"] == 160
    coverages = [point["coverage"] for point in found["curve"]]
    assert coverages == sorted(coverages)
    assert coverages[-1] == 1
    assert found["curve"][-1]["error"] == pytest.approx(1 - found["accuracy"])
    html = page.read_text()
    assert '<path class="curve" d="M' in html
    assert not re.search(r'(src|href)="http', html)


def test_a_stricter_threshold_classifies_fewer_texts(fresh: Shell, model: Path, tmp_path: Path) -> None:
    """The option answers what another threshold in the configuration would do."""
    labels = str(written(tmp_path / "new.csv", seed=7))
    counts = [
        json.loads(
            fresh.run("classify", "eval", str(model), labels, "--threshold", limit, "--format", "json").stdout
        )["coverage"]
        for limit in ("0.5", "0.9999", "1")
    ]
    assert counts[0] > counts[1] > counts[2]


def test_trying_a_text_names_the_task_and_the_words_that_decided(fresh: Shell, model: Path) -> None:
    """Whoever wonders why a request went somewhere asks here."""
    said = fresh.run("classify", "try", str(model), "refund my invoice please").stdout
    assert said.startswith("classified as support/billing (threshold 0.5)")
    words = said.splitlines()[-1]
    assert words.startswith("words that decided: ")
    assert {"refund", "invoice"} & set(words.split())
    foreign = fresh.run("classify", "try", str(model), "火山").stdout
    assert foreign.startswith("left to the default: it is unlike the labelled texts")
    assert "no word is in this text" in fresh.run("classify", "try", str(model), " ").stdout
    fields = json.loads(fresh.run("classify", "try", str(model), "python loop", "--format", "json").stdout)
    assert fields["tasks"][0]["task"] == "code"
    assert sum(each["confidence"] for each in fields["tasks"]) == pytest.approx(1)


def test_labels_may_be_left_out_or_declared_out_of_scope(fresh: Shell, tmp_path: Path) -> None:
    """Other people's labels have tasks that one does not want."""
    labels, out = str(written(tmp_path / "labels.csv")), str(tmp_path / "tasks.json")
    arguments = ("classify", "train", labels, "--out", out, "--precision", "0.8", "--format", "json")
    left = json.loads(fresh.run(*arguments, "--leave-out", "writing").stdout)
    assert set(left["texts"]) == {"code", "support/billing", "support/shipping"}
    outside = json.loads(fresh.run(*arguments, "--out-of-scope", "writing").stdout)
    assert set(outside["texts"]) == {"code", "default", "support/billing", "support/shipping"}
    assert "no text has the task 'nobody'" in fresh.run(*arguments, "--leave-out", "nobody", code=2).output


def test_what_cannot_be_used_ends_with_one_line(fresh: Shell, model: Path, tmp_path: Path) -> None:
    """Errors name the file and the line; nothing is written."""
    bad = tmp_path / "bad.csv"
    bad.write_text('text,task\n"open,a\n')
    out = tmp_path / "never.json"
    assert "begins on line 2" in fresh.run("classify", "train", str(bad), "--out", str(out), code=1).output
    assert not out.exists()
    assert "must be COLUMN=VALUE" in fresh.run("classify", "train", str(bad), "--where", "x", code=2).output
    assert "is no JSON" in fresh.run("classify", "try", str(bad), "hello", code=1).output
    assert "cannot be read" in fresh.run("classify", "eval", str(tmp_path / "none"), str(bad), code=1).output


def test_a_server_sorts_requests_with_the_classifier_of_its_configuration(
    model: Path, tmp_path: Path
) -> None:
    """From the file beside the configuration to a real worker's answer, its ledger and its metrics."""
    config = (
        CONFIG.replace("support: {}", "support: {}\n  code: {}") + f"classifier: {{file: {model.name}}}\n"
    )
    with serving_whole(tmp_path, config) as server:
        status, decision = server.ask(
            "POST", "/v1/route", {"text": "the compile error in my python function"}
        )
        assert (status, decision["task"], decision["task_reason"]) == (200, "code", "classified")
        assert decision["confidence"] > 0.5
        _, foreign = server.ask("POST", "/v1/route", {"text": "volcano orchestra"})
        assert (foreign["task"], foreign["reason"]) == ("default", "unrouted")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            metrics = server.ask("GET", "/metrics")[1].decode()
            if 'pointsman_tasks_found_total{by="classified"} 1' in metrics:
                break
            time.sleep(0.1)
        assert 'pointsman_tasks_found_total{by="classified"} 1' in metrics
        assert f'pointsman_tasks_found_total{{by="{foreign["task_reason"]}"}} 1' in metrics
