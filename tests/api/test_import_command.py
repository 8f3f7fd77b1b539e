"""pointsman import: another gateway's file in, ours out, and every remark where a person sees it."""

from pathlib import Path

from tests.api.shell import Shell

LITELLM = """\
model_list:
  - {model_name: a, litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}}
router_settings: {redis_host: x}
"""
PORTKEY = '{"provider": "openai", "strategy": {"mode": "single"}}\n'


def written(folder: Path, name: str, text: str) -> str:
    """A file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_an_imported_file_passes_validate_and_apply(fresh: Shell, tmp_path: Path) -> None:
    """From another gateway's file to a running configuration in three commands."""
    ours = tmp_path / "pointsman.yaml"
    result = fresh.run("import", "litellm", written(tmp_path, "config.yaml", LITELLM), "--out", str(ours))
    assert result.stdout == ""
    assert "config.yaml:3:31: router_settings.redis_host: warning: has no counterpart" in result.stderr
    assert "is valid: 1 model, 1 task" in fresh.run("validate", str(ours)).stdout
    assert "applied" in fresh.run("apply", str(ours)).stdout


def test_without_out_the_file_goes_to_stdout_and_nothing_else(fresh: Shell, tmp_path: Path) -> None:
    """`pointsman import ... > file` is how people write it."""
    result = fresh.run("import", "litellm", written(tmp_path, "config.yaml", LITELLM))
    piped = written(tmp_path, "piped.yaml", result.stdout)
    assert "is valid: 1 model" in fresh.run("validate", piped).stdout


def test_a_file_that_stands_there_is_not_overwritten(fresh: Shell, tmp_path: Path) -> None:
    """A configuration that somebody has edited is worth more than one that can be made again."""
    mine = written(tmp_path, "mine.yaml", "mine\n")
    result = fresh.run("import", "litellm", written(tmp_path, "config.yaml", LITELLM), "--out", mine, code=1)
    assert "exists" in result.stderr
    assert Path(mine).read_text(encoding="utf-8") == "mine\n"


def test_targets_without_a_model_need_one(fresh: Shell, tmp_path: Path) -> None:
    """Where clients named the model, the file does not know it, and the command says what to add."""
    file = written(tmp_path, "config.json", PORTKEY)
    assert "--model" in fresh.run("import", "portkey", file, code=1).stderr
    assert "gpt-4o-mini:" in fresh.run("import", "portkey", file, "--model", "gpt-4o-mini").stdout


def test_an_address_of_a_variable_is_given_by_name(fresh: Shell, tmp_path: Path) -> None:
    """The variables of the machine are not read: what a file becomes must not depend on them."""
    text = "model_list: [{model_name: a, litellm_params: {model: azure/x, api_base: os.environ/BASE}}]\n"
    file = written(tmp_path, "config.yaml", text)
    assert "--env BASE=URL" in fresh.run("import", "litellm", file, code=1).stderr
    given = fresh.run("import", "litellm", file, "--env", "BASE=https://x.openai.azure.com")
    assert "https://x.openai.azure.com/openai/v1" in given.stdout
    assert "NAME=URL" in fresh.run("import", "litellm", file, "--env", "BASE", code=2).stderr
