"""Configurations of other gateways: what they say becomes a file of ours, and nothing of it is lost in silence."""

from pathlib import Path

import pytest

from router.applying.file import parse_config
from router.config.document import Document
from router.errors import ConfigInvalid
from router.importing.litellm import from_litellm
from router.importing.portkey import from_portkey
from router.importing.source import Source, read_source
from router.importing.written import write

_SECTIONS = (Path(__file__).parent / "foreign_files.txt").read_text(encoding="utf-8").split("\n=== ")[1:]
FILES = {section.split("\n", 1)[0]: section.split("\n", 1)[1] for section in _SECTIONS}


def imported(folder: Path, gateway: str, text: str) -> tuple[Document, str, Source]:
    """The configuration that a foreign file becomes, its text, and the remarks."""
    path = folder / ("theirs.json" if gateway == "portkey" else "theirs.yaml")
    path.write_text(text, encoding="utf-8")
    source = read_source(path)
    draft = from_portkey(source, {}) if gateway == "portkey" else from_litellm(source, {})
    ours = write(draft, source, f"pointsman import {gateway}")
    return parse_config(ours, "ours.yaml").document, ours, source


def of(folder: Path, name: str) -> tuple[Document, str, Source]:
    """One file of the corpus, imported."""
    return imported(folder, name.split()[0], FILES[name])


def said(source: Source) -> str:
    """All remarks as lines."""
    return "\n".join(f"{each.line} {each.field}: {each.message}" for each in source.remarks)


@pytest.mark.parametrize("name", FILES)
def test_what_is_made_of_a_file_is_valid(tmp_path: Path, name: str) -> None:
    """The result is read by the parser of `validate` itself; a file that it refuses would help nobody."""
    document, ours, source = of(tmp_path, name)
    assert document.models
    for remark in source.remarks:
        assert f"line {remark.line}, {remark.field}: " in ours


@pytest.mark.parametrize("name", FILES)
def test_no_key_in_clear_is_copied_or_repeated(tmp_path: Path, name: str) -> None:
    """A key that moved from a private file into a reviewed one, a log or a ticket is a leaked key."""
    _, ours, source = of(tmp_path, name)
    assert "in-clear" not in ours + said(source)


@pytest.mark.parametrize("name", FILES)
def test_every_line_of_a_file_is_used_or_remarked_upon(tmp_path: Path, name: str) -> None:
    """A field that vanishes in silence is found out in production: an unknown one in any mapping gets its remark."""
    gateway, text = name.split()[0], FILES[name]
    before = imported(tmp_path, gateway, text)[2]
    if gateway == "litellm":
        marked = text.replace("litellm_params: {", "litellm_params: {planted: 1, ").replace(
            "litellm_params:\n", "litellm_params:\n      planted: 1\n"
        )
    else:
        marked = text.replace('"override_params": {', '"override_params": {"planted": 1, ')
    after = imported(tmp_path, gateway, marked)[2]
    carried = [each for each in after.remarks if each.field.endswith("planted")]
    whole = marked.count("planted")
    left_out = sum("was left out" in each.message for each in before.remarks)
    assert whole > 0
    assert whole - left_out <= len(carried) <= whole
    assert carried


def test_groups_become_models_and_tasks_of_the_same_name(tmp_path: Path) -> None:
    """Clients that named a group go on naming it, and name the task where they want experiments and fallbacks."""
    document, _, _ = of(tmp_path, "litellm chains")
    assert document.default == "small"
    assert document.tasks["small"].fallbacks == ("large", "long")
    causes = document.tasks["small"].fallbacks_on
    assert causes is not None
    assert causes.context_overflow == ("long",)
    assert document.retries == 2
    assert document.tasks["large"].fallbacks == ("long",)
    assert document.tasks["long"].fallbacks in (None, ())
    assert document.timeout_s == 45
    assert document.models["large"].model == "meta-llama/Llama-3.3-70B-Instruct-Turbo"
    assert document.models["large"].base_url == "https://api.together.xyz/v1"


def test_deployments_of_one_group_stay_reachable(tmp_path: Path) -> None:
    """Two regions of one model are two places; losing one halves the capacity."""
    document, ours, _ = of(tmp_path, "litellm regions")
    for address in ("https://sweden.openai.azure.com/openai/v1", "https://france.openai.azure.com/openai/v1"):
        assert address in ours
    model = document.models["gpt-4o"]
    assert [each.api_key_env for each in model.deployments] == ["AZURE_SWEDEN_KEY", "AZURE_FRANCE_KEY"]
    assert [each.weight for each in model.deployments] == [1, 2]
    assert [each.limits.rpm for each in model.deployments if each.limits] == [600, 300]
    assert model.balance == "lowest_latency"
    assert (document.cooldown.failures, document.cooldown.first_s) == (3, 30)


def test_deployments_of_different_kinds_become_models_and_fallbacks(tmp_path: Path) -> None:
    """One model has one provider and one set of presets; what differs stays reachable, and the file says so."""
    text = (
        "model_list:\n"
        "  - {model_name: a, litellm_params: {model: openai/gpt-4o}}\n"
        "  - {model_name: a, litellm_params: {model: groq/llama-3.3-70b-versatile, temperature: 0}}\n"
    )
    document, ours, _ = imported(tmp_path, "litellm", text)
    assert list(document.models) == ["a", "a-2"]
    assert document.tasks["a"].fallbacks == ("a-2",)
    assert "Deployments of a differ in provider, presets or abilities" in ours


def test_abilities_waits_and_retries_are_carried(tmp_path: Path) -> None:
    """What a model can do decides who may serve a request; guessing is not allowed, forgetting neither."""
    text = (
        "model_list:\n"
        "  - model_name: a\n"
        "    litellm_params: {model: openai/gpt-4o, timeout: 40, stream_timeout: 15, tags: [eu, paid]}\n"
        "    model_info: {supports_vision: true, supports_function_calling: false, max_input_tokens: 128000}\n"
        "router_settings: {num_retries: 9}\n"
    )
    document, _, source = imported(tmp_path, "litellm", text)
    model = document.models["a"]
    assert (model.vision, model.tools, model.context_tokens, model.tags) == (
        True,
        False,
        128_000,
        ("eu", "paid"),
    )
    assert model.timeouts is not None
    assert (model.timeouts.total_s, model.timeouts.first_token_s) == (40, 15)
    assert document.retries == 5
    assert "num_retries: became 5" in said(source)


def test_prices_are_per_million_tokens(tmp_path: Path) -> None:
    """A price wrong by a million decides every experiment."""
    document, _, source = of(tmp_path, "litellm prices")
    price = document.models["sonnet"].price
    assert price is not None
    assert (price.input, price.output, price.cached_input, price.cache_write) == (3.0, 15.0, 0.3, 3.75)
    assert document.models["half"].price is None
    assert "prices of input and output belong together" in said(source)


def test_different_keys_in_clear_get_different_variables(tmp_path: Path) -> None:
    """One variable for two keys would send one customer's traffic on another's account."""
    document, _, source = of(tmp_path, "litellm keys in clear")
    names = [document.models[name].api_key_env for name in "abc"]
    assert names == ["OPENAI_API_KEY", "OPENAI_API_KEY_2", "OPENAI_API_KEY"]
    assert "d" not in document.models
    assert "model_list[3].litellm_params.api_base: is no plain http(s) address" in said(source)


def test_what_cannot_be_called_is_left_out_with_the_reason(tmp_path: Path) -> None:
    """A model that nobody can call must not stand in a chain of fallbacks."""
    document, _, source = of(tmp_path, "litellm clouds")
    assert list(document.models) == ["claude"]
    assert set(document.tasks) == {"claude", "best"}
    told = said(source)
    assert "2 model_list[0].litellm_params: was left out: requests to AWS are signed" in told
    assert "router_settings.fallbacks[0].claude: 'palm' is no model that was carried over" in told
    assert "router_settings.model_group_alias.gone: points to no model" in told


def test_a_weighted_split_over_models_becomes_an_experiment(tmp_path: Path) -> None:
    """That is what it is: two models on one traffic; here it comes with a report."""
    document, _, _ = of(tmp_path, "portkey split")
    experiment = document.experiments["main-split"]
    assert experiment.candidates == ("gpt-4o", "mistral-large-latest")
    assert experiment.shares == (0.75, 0.25)
    assert document.models["gpt-4o"].api_key_env == "OPENAI_MAIN_API_KEY"
    assert document.models["mistral-large-latest"].api_key_env == "MISTRAL_API_KEY"


def test_a_fallback_strategy_becomes_a_chain_with_its_time(tmp_path: Path) -> None:
    """Order is the point of it."""
    task = of(tmp_path, "portkey fallback")[0].tasks["main"]
    assert (task.default, task.fallbacks, task.timeout_s) == ("gpt-4o", ("claude-sonnet-4-0",), 20)


def test_two_keys_of_one_model_are_no_experiment(tmp_path: Path) -> None:
    """Comparing a model with itself would spend traffic on nothing."""
    document, ours, _ = of(tmp_path, "portkey two keys of one model")
    assert not document.experiments
    deployments = document.models["gpt-4o"].deployments
    found = [(each.api_key_env, each.weight) for each in deployments]
    assert found == [("OPENAI_A_API_KEY", 1), ("OPENAI_B_API_KEY", 3)]
    assert "balance" not in ours


def test_conditions_on_metadata_become_match_rules(tmp_path: Path) -> None:
    """Equality of metadata is what match rules say; any other condition is told to the user, not guessed."""
    document, _, source = of(tmp_path, "portkey conditions")
    strong, german = document.tasks["strong"], document.tasks["german"]
    assert strong.match is not None
    assert german.match is not None
    assert strong.match.metadata == {"plan": "paid"}
    assert german.match.metadata == {"plan": "free", "lang": "de"}
    assert document.experiments["strong-split"].candidates == ("gpt-4o", "deepseek-chat")
    assert document.default == "gpt-4o-mini"
    told = said(source)
    assert "strategy.conditions[2].query: is more than equality of metadata" in told
    assert "strategy.conditions[3].query: is more than equality of metadata" in told


def test_an_address_from_a_variable_must_be_given(tmp_path: Path) -> None:
    """The file holds addresses, not variables of them; who imports knows the address."""
    text = "model_list:\n  - {model_name: a, litellm_params: {model: azure/x, api_base: os.environ/BASE}}\n"
    path = tmp_path / "theirs.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="give it with --env BASE=URL"):
        from_litellm(read_source(path), {})
    source = read_source(path)
    ours = write(from_litellm(source, {"BASE": "https://mine.openai.azure.com"}), source, "import")
    assert "base_url: https://mine.openai.azure.com/openai/v1" in ours


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("model_list: !!python/object:os.system x\n", 1, "python/object"),
        ("a: &a [x]\nb: {<<: *a}\n", 2, "merge keys"),
        ("model_list:\n  - {model_name: a\n", 3, "not readable as YAML"),
        ("x: 1\nx: 2\n", 2, "stands twice"),
        ("a: " + "[" * 5_000, 1, "nested deeper"),
        ("- just\n- a list\n", 1, "must be a mapping"),
        ("model_list: []\n", 1, "no model of it can be called"),
        ("", 1, "empty"),
    ],
)
def test_hostile_files_are_refused_at_their_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    """A file from elsewhere is data from a stranger."""
    path = tmp_path / "theirs.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigInvalid) as caught:
        from_litellm(read_source(path), {})
    assert any(each.line == line and says in each.message for each in caught.value.problems), caught.value


def test_text_of_a_stranger_cannot_leave_the_comments(tmp_path: Path) -> None:
    """A name with a line break must not write lines of its own into our file."""
    text = 'model_list:\n  - {model_name: "a\\n- default: b", litellm_params: {model: gpt-4o, "x\\nmodels": 1}}\n'
    document, ours, _ = imported(tmp_path, "litellm", text)
    assert list(document.models) == ["a---default--b"] or len(document.models) == 1
    assert all(
        line.startswith(("#", "models:", "  ", "default:", "tasks:")) or not line
        for line in ours.splitlines()
    )
