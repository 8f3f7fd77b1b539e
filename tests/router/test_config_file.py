"""Configuration files: every problem at its line, nothing accepted that is not plain data."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.applying.file import MAX_BYTES, parse_config, parse_document, read_config, read_document
from router.applying.nodes import parse_yaml
from router.applying.plan import document_body
from router.errors import ConfigInvalid
from tests.router.config_cases import BAD_FILES, MODELS, TASKED, BadFile

EXAMPLE = Path(__file__).parents[2] / "examples" / "pointsman.yaml"


def refusal(text: str) -> ConfigInvalid:
    """The error of a text that must be refused."""
    with pytest.raises(ConfigInvalid) as caught:
        parse_document(text, "bad.yaml")
    return caught.value


@pytest.mark.parametrize("case", BAD_FILES, ids=lambda case: case.name)
def test_a_bad_file_is_refused_at_its_line_and_field(case: BadFile) -> None:
    """Who wrote the file must find the place and the remedy without reading our code."""
    problems = refusal(case.text).problems
    found = [(problem.line, problem.field) for problem in problems if case.says in problem.message]
    assert found == [(case.line, case.field)], [str(problem) for problem in problems]


def test_there_are_enough_bad_files() -> None:
    """The list above is the contract of `validate`; it must not shrink unseen."""
    assert len(BAD_FILES) >= 60
    assert len({case.name for case in BAD_FILES}) == len(BAD_FILES)


def test_a_problem_reads_as_file_line_column_field_message() -> None:
    """Editors and CI jump to places written in this form."""
    error = refusal(MODELS + "defualt: small\n")
    assert str(error).startswith("bad.yaml:5:1: defualt: unknown field")


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    """Fixing one problem per run is a bad evening: shape, types and names are all checked in one run."""
    text = (
        "models:\n"
        "  big: {base_url: 'ftp://x', tier: '1'}\n"
        "  big: {base_url: http://x}\n"
        "default: bigg\n"
        "fallbacks: !x [big]\n"
        "tasks:\n"
        "  a: {default: smal, timeout_s: soon}\n"
        "  b: {default: tiny}\n"
        "experiments:\n"
        "  x: {task: c, candidates: [big, huge], traffic: 2}\n"
    )
    found = [(problem.line, problem.field) for problem in refusal(text).problems]
    assert found == [
        (2, "models.big.base_url"),
        (2, "models.big.tier"),
        (3, "models.big"),
        (4, "default"),
        (5, "fallbacks"),
        (7, "tasks.a.timeout_s"),
        (8, "tasks.b.default"),
        (10, "experiments.x.task"),
        (10, "experiments.x.candidates[1]"),
        (10, "experiments.x.traffic"),
    ]


def test_a_broken_part_makes_no_false_problems_elsewhere() -> None:
    """A model that cannot be read is still declared: naming it is no second mistake."""
    text = MODELS.replace(
        'base_url: "http://127.0.0.1:9/v1", price: {input: 1', "base_url: ftp://x, price: {input: 1"
    )
    error = refusal(text + "fallbacks: [small]\ntasks:\n  a: {default: small}\n")
    assert [problem.field for problem in error.problems] == ["models.small.base_url"]


def test_secrets_in_the_wrong_field_are_not_repeated() -> None:
    """People paste keys where names belong; the error must not carry them into logs and tickets."""
    places = (
        "{base_url: 'https://me:hunter2@example.com/v1'}",
        "{base_url: 'ftp://me:hunter2@example.com/v1'}",
        "{base_url: 'https://a/v1?key=hunter2'}",
        "{base_url: 'https://a/v1', api_key_env: sk-hunter2}",
        "{base_url: 'https://a/v1', api_key: hunter2}",
        "{base_url: ['hunter2']}",
        "{base_url: 'https://a/v1', api_key_env: 'hunter2}",
    )
    for body in places:
        assert "hunter2" not in str(refusal(f"models:\n  odd: {body}\ndefault: odd\n")), body


def test_an_alias_bomb_is_refused_quickly() -> None:
    """Nine levels of nine aliases are 387 million values in 300 bytes."""
    levels = [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    error = refusal("a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "\n".join(levels))
    assert "more than 100000 values" in str(error)


def test_aliases_that_repeat_a_few_values_are_taken() -> None:
    """Aliases themselves are a fair way to say a thing once."""
    text = MODELS + "tasks:\n  a: &same {fallbacks: [small]}\n  b: *same\n"
    tasks = parse_document(text).tasks
    assert tasks["a"] == tasks["b"]
    assert tasks["b"].fallbacks == ("small",)


@pytest.mark.parametrize(
    ("raw", "line", "says"),
    [
        (b"\x80PNG\r\n", 1, "is not UTF-8"),
        (MODELS.encode() + "# Stra\u00dfe".encode("latin-1"), 5, "is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), 1, "larger than 1048576 bytes"),
        (MODELS.encode("utf-16"), 1, "is not UTF-8"),
        (b"models:\x00\x01\x02", 1, "binary file"),
    ],
    ids=["image", "latin-1", "huge", "utf-16", "zeros"],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, raw: bytes, line: int, says: str) -> None:
    """The wrong file is named as such before anything tries to make sense of it."""
    path = tmp_path / "bad.yaml"
    path.write_bytes(raw)
    with pytest.raises(ConfigInvalid, match=says) as caught:
        read_document(path)
    assert [problem.line for problem in caught.value.problems] == [line]


def test_a_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    """A typo in the path is the most frequent problem of all."""
    with pytest.raises(ConfigInvalid, match="no\\.yaml: cannot be read: No such file"):
        read_document(tmp_path / "no.yaml")
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        read_document(tmp_path)


def test_json_is_taken_with_lines_too() -> None:
    """Generated files are JSON, often indented by tabs; escaped emoji are two halves of one character."""
    model = '{"base_url": "http://x/v1", "tier": 10, "model": "\\ud83d\\ude80"}'
    text = '{\n\t"models": {"a": ' + model + '},\n\t"default": "a"\n}'
    error = refusal(text)
    assert [(problem.line, problem.field) for problem in error.problems] == [(2, "models.a.tier")]
    document = parse_document(text.replace("10", "2"))
    assert document.models["a"].model == "\N{ROCKET}"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    """Editors on Windows write both."""
    path = tmp_path / "dos.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MODELS.replace("\n", "\r\n").encode())
    assert read_document(path).default == "big"


def test_yes_and_no_are_text() -> None:
    """Under YAML 1.1 a model called `no` became false; here words are words."""
    document = parse_document("models:\n  no: {base_url: http://x/v1}\ndefault: no\n")
    assert document.default == "no"


def test_the_example_file_is_valid_and_means_what_it_says() -> None:
    """It is what people start from."""
    loaded = read_config(EXAMPLE)
    assert loaded.warnings == ()
    experiment = loaded.document.experiments["billing-cheaper"]
    assert experiment.control == "sonnet"
    assert experiment.reward.window_ms == 86_400_000
    assert experiment.name == "billing-cheaper"


def test_a_document_survives_its_stored_form() -> None:
    """The store keeps JSON; reading it back must give the very same document."""
    document = read_document(EXAMPLE)
    assert type(document).model_validate_json(document_body(document)) == document


def test_doubtful_but_possible_files_are_taken_with_warnings() -> None:
    """A warning points at a likely slip without standing in the way of someone who means it."""
    text = (
        "models:\n"
        "  big: {provider: nobody, base_url: http://x/v1}\n"
        "  small: {base_url: http://x/v1, price: {input: 1, output: 1}}\n"
        "default: big\n"
        "tasks:\n"
        "  a: {match: {keywords: [Refund]}}\n"
        "  b: {match: {keywords: [invoice, refund]}}\n"
        "experiments:\n"
        "  x: {task: a, candidates: [small, big]}\n"
        "  y: {task: a, candidates: [big, small], objective: {kind: reward}}\n"
    )
    warnings = parse_config(text, "odd.yaml").warnings
    assert [(warning.line, warning.field) for warning in warnings] == [
        (7, "tasks.b.match.keywords[1]"),
        (9, "experiments.x.candidates[0]"),
        (9, "experiments.x.candidates[1]"),
    ]
    assert "warning: keyword 'refund' stands under 'a'" in str(warnings[0])
    assert "the control 'small' is not the task's default 'big'" in warnings[1].message
    assert "models.big.price" in warnings[2].message


def test_a_cost_guardrail_wants_prices_too() -> None:
    """A bound on a cost that is never known would never fire."""
    unpriced = "{provider: nobody, base_url: http://x/v1}"
    text = f"models:\n  a: {unpriced}\n  b: {unpriced}\ndefault: a\ntasks: {{t: {{}}}}\n"
    body = "experiments:\n  x: {task: t, candidates: [a, b], objective: {kind: reward}, guardrails: [%s]}\n"
    assert parse_config(text + body % "").warnings == ()
    found = parse_config(text + body % "{metric: cost_usd, max_ratio: 1.5}").warnings
    assert ["guardrail cost_usd needs costs" in warning.message for warning in found] == [True, True]


def test_a_task_may_have_two_experiments() -> None:
    """Only one of them may run at a time; that is for `start` to say."""
    body = "{task: support, candidates: [big, small]}"
    assert len(parse_document(TASKED + f"  x: {body}\n  y: {body}\n").experiments) == 2


def test_a_child_may_fall_back_to_what_its_parent_serves() -> None:
    """Fallbacks are inherited; that one of them is the child's own default is not the file's mistake."""
    text = MODELS + "fallbacks: [small]\ntasks:\n  a: {default: small}\n"
    assert parse_document(text).tasks["a"].default == "small"


@settings(max_examples=150)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!<>|'\"#%@,? \n\t\\0.~=")))
def test_no_text_makes_the_reader_fail_in_another_way(text: str) -> None:
    """Whatever stands in a file, the answer is a document or a list of problems."""
    with pytest.raises(ConfigInvalid) as caught:
        parse_document(text)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in caught.value.problems)


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcd", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(_PLAIN)
def test_any_json_reads_as_the_same_plain_values(value: object) -> None:
    """JSON is YAML: the strict reader may refuse nothing of it and change nothing in it."""
    parsed = parse_yaml(json.dumps({"value": value}))
    assert parsed.flaws == []
    assert parsed.value == {"value": value}
