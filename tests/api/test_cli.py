"""The command line on a store: what it prints, what it changes, and the exit codes scripts rely on."""

import json
import re
import time
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from api.cli import app
from storage.open import open_store
from tests.api.shell import EXAMPLE, ROOT, Shell

DOCS = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def commands() -> dict[str, object]:
    """Every command by its full name."""
    group = get_command(app)
    found: dict[str, object] = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]  # the bundled click is untyped here
        for inner, each in getattr(command, "commands", {"": command}).items():
            found[f"{name} {inner}".strip()] = each
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help_and_is_documented(name: str) -> None:
    """A command that cannot be read about is not there; docs and program name the same options."""
    result = CliRunner().invoke(app, [*name.split(), "--help"])
    assert result.exit_code == 0
    section = re.search(rf"^### `{re.escape(name)}\b[^`]*`\n(.*?)(?=^##|\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert section is not None, f"docs/cli.md lacks a section for {name}"
    options = {option for option in re.findall(r"--[a-z-]+", result.stdout) if option != "--help"}
    assert options - set(re.findall(r"--[a-z-]+", section[1])) == set()
    assert set(re.findall(r"--[a-z-]+", section[1])) - options == set()


def test_no_documented_command_is_missing() -> None:
    """The other way round: a section for a command that is gone misleads."""
    second = "list|add|revoke|submit|show|cancel|fetch|train|eval|try|litellm|portkey"
    documented = re.findall(rf"^### `([a-z-]+(?: (?:{second}))?)", DOCS, re.MULTILINE)
    assert sorted(documented) == sorted(commands())


def test_validate_accepts_the_example(fresh: Shell) -> None:
    """It is the first command that anybody runs, and needs no ledger."""
    assert "is valid: 3 models, 2 tasks, 1 experiment\n" in fresh.run("validate", str(EXAMPLE)).stdout
    assert not fresh.store.exists()


def test_validate_lists_every_problem_on_stderr(fresh: Shell, tmp_path: Path) -> None:
    """One line for each, as editors and CI read them; stdout stays clean."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("models:\n  a: {base_url: http://x}\ndefault: b\nfallbakcs: [a]\n", encoding="utf-8")
    result = fresh.run("validate", str(bad), code=1)
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{bad}:3:10: default: model 'b' is not declared under models; known here: a",
        f"{bad}:4:1: fallbakcs: unknown field 'fallbakcs'; did you mean 'fallbacks'?",
        f"error: {bad} has 2 problems; nothing was changed",
    ]


def test_validate_speaks_json_to_programs(fresh: Shell, tmp_path: Path) -> None:
    """A review bot puts each problem at its line without parsing sentences."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("models:\n  a: {base_url: http://x, tier: 10}\ndefault: a\n", encoding="utf-8")
    problems = json.loads(fresh.run("validate", str(bad), "--format", "json", code=1).stdout)
    assert [(each["line"], each["field"], each["severity"]) for each in problems] == [
        (2, "models.a.tier", "error")
    ]
    assert json.loads(fresh.run("validate", str(EXAMPLE), "--format", "json").stdout) == []


def test_markup_in_a_file_is_shown_as_it_is(fresh: Shell, tmp_path: Path) -> None:
    """Text from a file is no formatting, and no control sequence for the terminal."""
    bad = tmp_path / "bad.yaml"
    bad.write_text('models:\n  "[red]\\x1b[2J": {base_url: http://x}\ndefault: a\n', encoding="utf-8")
    result = fresh.run("validate", str(bad), code=1)
    assert "[red]" in result.stderr
    assert "\x1b" not in result.output


def test_plan_shows_and_changes_nothing(fresh: Shell) -> None:
    """Reading a plan must be safe at any time."""
    text = fresh.run("plan", str(EXAMPLE)).stdout
    assert "+ model haiku: provider anthropic" in text
    assert "+ champion of support: sonnet" in text
    assert "+ experiment billing-cheaper: a draft on support/billing, haiku against sonnet" in text
    store = open_store(str(fresh.store))
    assert store.state().config is None
    store.close()


def test_apply_makes_the_plan_true_once(shell: Shell) -> None:
    """A second run finds nothing to do; the audit record names the first one's reason."""
    assert shell.run("apply", str(EXAMPLE)).stdout == "nothing changes\n"
    [entry] = shell.json("audit")
    assert (entry["action"], entry["why"]) == ("apply", "first")


def test_apply_of_a_broken_file_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    """The running configuration stays whole, whatever a file looks like."""
    before = shell.json("routes"), shell.json("audit")
    broken = tmp_path / "broken.yaml"
    text = EXAMPLE.read_text(encoding="utf-8")
    broken.write_text(text.replace("default: sonnet  ", "default: sonet  "), encoding="utf-8")
    assert "did you mean 'sonnet'" in shell.run("apply", str(broken), code=1).stderr
    broken.write_text(text + "\n\t- :", encoding="utf-8")
    shell.run("apply", str(broken), code=1)
    assert (shell.json("routes"), shell.json("audit")) == before


def test_a_refused_plan_exits_with_1_and_names_the_reason(shell: Shell, tmp_path: Path) -> None:
    """CI must see that a merged file cannot be applied."""
    shell.run("start", "billing-cheaper")
    changed = tmp_path / "changed.yaml"
    text = EXAMPLE.read_text(encoding="utf-8").replace("traffic: 1.0", "traffic: 0.5")
    changed.write_text(text, encoding="utf-8")
    result = shell.run("plan", str(changed), code=1)
    assert "! experiment billing-cheaper: is running and frozen; stop it or name it anew" in result.stdout
    assert "cannot be applied" in result.stderr
    assert "nothing was applied" in shell.run("apply", str(changed), code=1).stderr


def test_the_life_of_an_experiment_by_command(shell: Shell) -> None:
    """Draft, running, paused, running, stopped: each command says where the experiment stands."""
    assert [row["state"] for row in shell.json("experiments")] == ["draft"]
    said = [
        shell.run(move, "billing-cheaper", "--why", "a test").stdout
        for move in ("start", "pause", "start", "stop")
    ]
    assert said == [
        f"billing-cheaper is {state}: sonnet 50%, haiku 50%\n"
        for state in ("running", "paused", "running", "stopped")
    ]
    assert [row["action"] for row in shell.json("audit")] == ["stop", "start", "pause", "start", "apply"]
    assert "cannot become running" in shell.run("start", "billing-cheaper", code=1).stderr


def test_promote_without_evidence_exits_with_3(shell: Shell) -> None:
    """Scripts must tell 'not proven' from 'broken'."""
    shell.run("start", "billing-cheaper")
    shell.run("tick")
    result = shell.run("promote", "billing-cheaper", "--why", "I like it", code=3)
    assert "the verdict is not_ready" in result.stderr
    assert {row["champion"] for row in shell.json("routes")} == {"sonnet"}


def test_promote_by_force_prints_the_line_to_edit(shell: Shell) -> None:
    """Nothing rewrites the user's file, so the user must know what to write."""
    shell.run("start", "billing-cheaper")
    result = shell.run("promote", "billing-cheaper", "haiku", "--force", "--why", "incident 7")
    assert "support/billing: sonnet -> haiku (forced)" in result.stdout
    assert "billing-cheaper~holdback keeps some traffic on sonnet" in result.stdout
    assert result.stdout.endswith("tasks:\n  support/billing:\n    default: haiku\n")
    assert "is served by sonnet now" in shell.run("rollback", "support/billing", "--why", "worse").stdout
    states = {row["name"]: row["state"] for row in shell.json("experiments")}
    assert states == {"billing-cheaper": "promoted", "billing-cheaper~holdback": "rolled_back"}


@pytest.mark.parametrize(
    "arguments", [("promote", "x"), ("rollback", "x"), ("start",), ("nope",), ("audit", "--limit", "0")]
)
def test_wrong_usage_exits_with_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    """A promotion without a reason is wrong usage, like a missing name."""
    shell.run(*arguments, code=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("start", "nope"), "there is no experiment 'nope'"),
        (("report", "nope"), "there is no experiment 'nope'"),
        (("set-route", "nope", "haiku"), "task 'nope' is not declared"),
        (("set-route", "support", "nope"), "model 'nope' is not declared"),
        (("rollback", "support", "--why", "x"), "no earlier champion"),
        (("keys", "revoke", "nope"), "there is no key 'nope'"),
        (("keys", "add", "k", "--scope", "root"), "scope 'root' is not one of traffic"),
        (("validate", "nope.yaml"), "nope.yaml: cannot be read: No such file"),
        (("report", "billing-cheaper"), "has no report yet"),
    ],
)
def test_a_user_error_is_one_clear_line(shell: Shell, arguments: tuple[str, ...], says: str) -> None:
    """What went wrong and nothing else: no traceback, nothing on stdout, exit code 1."""
    result = shell.run(*arguments, code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_set_route_moves_a_champion_in_one_command(shell: Shell) -> None:
    """The static table is changed at run time, and says who did it."""
    said = shell.run("set-route", "support", "haiku", "--why", "incident 7").stdout
    assert said == "support is served by haiku now (before: sonnet)\n"
    rows = {row["task"]: row for row in shell.json("routes")}
    assert (rows["support"]["champion"], rows["support"]["source"]) == ("haiku", "hand")
    assert rows["support/billing"]["champion"] == "haiku"
    text = shell.run("routes").stdout
    assert re.search(r"^support/billing +haiku +inherited", text, re.MULTILINE)
    entry = shell.json("audit")[0]
    assert (entry["subject"], entry["why"]) == ("support: sonnet -> haiku", "incident 7")
    assert "kept: set by hand on" in shell.run("plan", str(EXAMPLE)).stdout
    shell.run("apply", str(EXAMPLE), "--reset-champions")
    assert {row["champion"] for row in shell.json("routes")} == {"sonnet"}


def test_a_key_is_shown_once_and_never_stored(shell: Shell) -> None:
    """Whoever reads the ledger must not be able to act with what is in it."""
    secret = shell.run("keys", "add", "ci", "--scope", "view", "--scope", "feedback").stdout.strip()
    assert secret.startswith("pk-")
    assert secret not in shell.run("keys", "list").stdout
    [row] = shell.json("keys", "list")
    assert (row["id"], row["scopes"], row["revoked_at_ms"]) == ("ci", ["view", "feedback"], None)
    shell.run("keys", "revoke", "ci")
    assert shell.json("keys", "list")[0]["revoked_at_ms"] is not None
    for path in shell.store.parent.iterdir():
        assert secret.encode() not in path.read_bytes()


def test_a_report_comes_in_every_format(shell: Shell) -> None:
    """The number on the page is the number in the terminal, the file and the program."""
    shell.run("start", "billing-cheaper")
    report = json.loads(shell.run("report", "billing-cheaper", "--format", "json").stdout)
    assert report["experiment"] == "billing-cheaper"
    assert "billing-cheaper" in shell.run("report", "billing-cheaper").stdout
    assert shell.run("report", "billing-cheaper", "--format", "html").stdout.lower().startswith("<!doctype")
    assert "haiku" in shell.run("report", "billing-cheaper", "--format", "csv").stdout


def test_an_experiment_that_ended_unseen_has_no_report(shell: Shell) -> None:
    """Forced through before the first look, it left nothing to show, and the command says so."""
    shell.run("start", "billing-cheaper")
    shell.run("promote", "billing-cheaper", "haiku", "--force", "--why", "incident 7")
    assert "has no report yet" in shell.run("report", "billing-cheaper", code=1).stderr


def test_replay_runs_recorded_outcomes(fresh: Shell, tmp_path: Path) -> None:
    """Evidence from a file needs neither a ledger nor a server."""
    rows = ["prompt_id,category,model,reward,input_tokens,output_tokens,cost_usd"]
    for prompt in range(40):
        rows += [
            f"{prompt},math,dear,{prompt % 2},100,50,0.01",
            f"{prompt},math,cheap,{prompt % 2},100,50,0.001",
        ]
    file = tmp_path / "recorded.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = json.loads(fresh.run("replay", str(file), "--control", "dear", "--format", "json").stdout)
    assert [category["category"] for category in found["categories"]] == ["math"]
    fresh.run("replay", str(file), "--control", "nobody", code=1)
    assert not fresh.store.exists()


def test_tick_yields_to_another_planner(shell: Shell) -> None:
    """Two planners would move shares twice."""
    assert shell.run("tick").stdout.startswith("ticked")
    store = open_store(str(shell.store))
    now_ms = int(time.time() * 1000)
    assert store.acquire_lease("planner", "a server", now_ms, 60_000) is not None
    store.close()
    assert "another planner is at work" in shell.run("tick").stdout


def test_a_store_of_another_kind_is_one_clear_line() -> None:
    """Its URL may hold a password, so only the place is named."""
    result = CliRunner().invoke(app, ["--store", "redis://:hunter2@127.0.0.1:1", "experiments"])
    assert result.exit_code == 1
    assert "redis://127.0.0.1:1/0 cannot be reached" in result.stderr
    assert "hunter2" not in result.output


def test_settings_come_from_the_environment_unless_an_option_says_otherwise(
    shell: Shell, tmp_path: Path
) -> None:
    """One variable serves all commands of a shell; the option is for the exception."""
    runner = CliRunner(env={"POINTSMAN_STORE": str(shell.store)})
    assert "billing-cheaper" in runner.invoke(app, ["experiments"]).stdout
    other = runner.invoke(app, ["--store", str(tmp_path / "other.sqlite"), "experiments"])
    assert "no experiments yet" in other.stdout


def test_a_bad_setting_is_one_clear_line(tmp_path: Path) -> None:
    """A typo in a deployment file must be found by reading one line, which repeats no value."""
    environment = {"POINTSMAN_WORKERS": "many", "POINTSMAN_SIGNING_KEY": "hunter2"}
    result = CliRunner(env=environment).invoke(app, ["serve", "--store", str(tmp_path / "x.sqlite")])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: setting workers: ")
    assert "hunter2" not in result.output


def test_store_and_url_together_are_wrong_usage() -> None:
    """It would be unclear which of them a command changed."""
    result = CliRunner().invoke(app, ["--store", "x", "--url", "http://127.0.0.1:9", "routes"])
    assert result.exit_code == 2
