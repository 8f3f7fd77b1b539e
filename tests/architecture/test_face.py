"""The public face: what is shipped, and what happens when somebody else's package has our floor's name."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(code: str, path: list[Path]) -> subprocess.CompletedProcess[str]:
    """Run code with these folders first on the import path."""
    script = f"import sys; sys.path[:0] = {[str(folder) for folder in path]}; {code}"
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT.parent, capture_output=True, text=True)


def test_a_package_that_shadows_a_floor_is_named_with_its_path(tmp_path: Path) -> None:
    """A linter is called bandit too; without this check its code would be imported as ours."""
    (tmp_path / "bandit").mkdir()
    (tmp_path / "bandit" / "__init__.py").write_text("")
    done = run("import pointsman", [tmp_path, ROOT])
    assert done.returncode != 0
    assert "'bandit' of Pointsman is shadowed" in done.stderr
    assert str(tmp_path / "bandit") in done.stderr


def test_the_face_offers_the_library_and_loads_nothing_heavy() -> None:
    """`import pointsman` is what users pay for at every start."""
    heavy = "('numpy', 'scipy', 'statsmodels', 'fastapi', 'aiohttp', 'typer', 'rich')"
    done = run(f"import pointsman; pointsman.Router; print([m for m in {heavy} if m in sys.modules])", [ROOT])
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_the_wheel_holds_the_floors_with_their_data_and_no_tests(tmp_path: Path) -> None:
    """What is not in the wheel does not work for whoever installs it; a .pth file would run at every start."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    floors = {
        "bandit",
        "experiments",
        "storage",
        "router",
        "evaluation",
        "dashboards",
        "api",
        "examples",
        "pointsman.py",
    }
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == floors
    assert not [name for name in names if name.endswith(".pth")]
    for needed in (
        "storage/redis/record.lua",
        "dashboards/static/pointsman.css",
        "dashboards/static/vendor/swagger-ui/LICENSE",
        "dashboards/templates/report.html",
        "examples/figures.json",
    ):
        assert needed in names
