"""What a file may say of policies: each mistake at its line, each change in the plan."""

from pathlib import Path

import pytest

from router.applying.file import parse_config
from router.applying.plan import plan_changes
from router.errors import ConfigInvalid
from tests.router.worlds import document, experiment, world

FILE = """\
models:
  small: {base_url: "http://127.0.0.1:9/v1", price: {input: 1, output: 2}}
  large: {base_url: "http://127.0.0.1:8/v1", price: {input: 10, output: 20}}
policies:
  smart:
    chooses: [small, large]
    otherwise: large
    rules:
      - {when: {metadata: {kind: easy}}, model: small}
default: large
tasks:
  math: {default: smart}
experiments:
  duel: {task: math, candidates: [smart, large]}
"""


def problems(changed: tuple[str, str]) -> list[tuple[int, str, str]]:
    """(line, field, message) of every error after one change of the file."""
    assert changed[0] in FILE
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(FILE.replace(*changed, 1), "f.yaml")
    return [
        (each.line, each.field, each.message) for each in caught.value.problems if each.severity == "error"
    ]


def test_a_policy_stands_where_a_model_does() -> None:
    """As a default and as a control; without a warning."""
    read = parse_config(FILE, "f.yaml")
    assert read.warnings == ()
    assert read.document.models_behind("smart") == ("small", "large")
    assert read.document.serves("smart")


@pytest.mark.parametrize(
    ("changed", "line", "words"),
    [
        (("chooses: [small, large]", "chooses: [small, large, huge]"), 6, "model 'huge' is not declared under models"),
        (("otherwise: large", "otherwise: huge"), 7, "otherwise == 'huge', must be one of chooses: small, large"),
        (("model: small}\n", "model: huge}\n"), 8, "rules[0].model == 'huge', must be one of chooses"),
        (("chooses: [small, large]", "chooses: [small, small, large]"), 6, "chooses names a model twice"),
        (("    rules:\n      - {when: {metadata: {kind: easy}}, model: small}\n", ""), 5, "needs either rules or ask"),
        (("otherwise: large", "otherwise: large\n    ask: {url: \"http://127.0.0.1:7/\"}"), 9, "either rules or ask"),
        (("when: {metadata: {kind: easy}}", "when: {task: maths}"), 9, "task 'maths' is not declared under tasks"),
        (("  smart:\n", "  small:\n"), 5, "'small' is a model's name as well"),
        (("candidates: [smart, large]", "candidates: [smart, smarter]"), 14, "'smarter' is not declared"),
        (("{default: smart}", "{default: smart, fallbacks: [smart]}"), 12, "'smart' is a policy, and only models"),
        (("{default: smart}", "{default: smart, fallbacks_on: {error: [smart]}}"), 12, "is a policy, and only models"),
        (("[smart, large]}", "[large, smart], mode: shadow, shadow_usd_per_day: 1}"), 14,
         "'smart' is a policy, and mode shadow sends copies to models"),
    ],
)  # fmt: skip
def test_mistakes_are_named_at_their_line(changed: tuple[str, str], line: int, words: str) -> None:
    """A person mends the file by what is printed."""
    found = problems(changed)
    assert any(at == line and words in message for at, _, message in found), found


def test_a_policy_in_a_policy_is_refused() -> None:
    """Who chose would have no end."""
    second = (
        '  wise: {chooses: [smart, large], otherwise: large, ask: {url: "http://127.0.0.1:7/"}}\ndefault:'
    )
    found = problems(("default:", second))
    assert [(field, "only models can stand here" in message) for _, field, message in found] == [
        ("policies.wise.chooses[0]", True)
    ]


def test_a_broken_policy_does_not_make_what_names_it_wrong() -> None:
    """One mistake, one line."""
    assert len(problems(("otherwise: large", "otherwise: huge"))) == 1


def test_plan_shows_policies_and_refuses_to_take_one_from_under_traffic() -> None:
    """Adding, changing and removing a policy are changes like those of a model."""
    rules = [{"when": {"metadata": {"kind": "easy"}}, "model": "cheap"}]
    smart: dict[str, object] = {"chooses": ["cheap", "dear"], "otherwise": "dear", "rules": rules}
    drafted = {"cheaper": experiment(candidates=["dear", "smart"])}
    made = world(document(policies={"smart": smart}, experiments=drafted))

    def planned(**changes: object) -> list[str]:
        after = document(**{"experiments": drafted, **changes})
        return [str(item) for item in plan_changes(after, made.store.state(), made.clock(), "ann").items]

    changed = planned(policies={"smart": {**smart, "otherwise": "cheap"}})
    assert changed == ["~ policy smart: otherwise: dear -> cheap"]
    gone = planned(policies={})
    assert "- policy smart" in gone
    assert any(line.startswith("! model smart: is removed and still a candidate of cheaper") for line in gone)
    added = planned(policies={"smart": smart, "wise": smart})
    assert [line for line in added if line.startswith("+ policy wise: chooses [cheap, dear]")]
    made.close()


def test_prices_behind_a_policy_are_held_to_what_needs_them(tmp_path: Path) -> None:
    """A budget, a ceiling and an objective look through to its models."""
    bare = FILE.replace(", price: {input: 1, output: 2}", ", provider: nobody")
    read = parse_config(bare, "f.yaml")
    assert ["no price of 'small' is known" in each.message for each in read.warnings] == [True]
    for field in ("max_cost_usd: 0.5", "budget: {usd_per_day: 5}"):
        with pytest.raises(ConfigInvalid, match=r"give models\.small\.price"):
            parse_config(bare.replace("{default: smart}", f"{{default: smart, {field}}}"), "f.yaml")
