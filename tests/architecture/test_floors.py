"""The house: each floor imports only itself and the floors below it, and only the libraries it is allowed."""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# The one map of floors, lowest first, with the libraries that each may use beside the standard library.
FLOORS: dict[str, set[str]] = {
    "bandit": {"numpy", "scipy"},
    "experiments": {"numpy", "scipy", "statsmodels", "pydantic"},
    "storage": {"redis"},
    "router": {"aiohttp", "botocore", "genai_prices", "orjson", "pydantic", "pydantic_core", "ruamel", "yarl"},
    "evaluation": {"numpy", "scipy", "sklearn", "rich", "orjson", "pydantic"},
    "dashboards": {"jinja2", "markupsafe", "rich"},
    "api": {
        "aiohttp", "fastapi", "httptools", "jinja2", "orjson", "prometheus_client", "pydantic",
        "python_multipart", "rich", "starlette", "structlog", "typer", "click", "uvicorn",
        "uvloop",
    },
}  # fmt: skip
ORDER = list(FLOORS)
ROOMS = {
    "experiments": ("definition", "evidence", "inference", "verdict", "planning", "report"),
    "router": (
        "transport", "classifying", "config", "deciding", "availability", "recording", "steering",
        "upstream", "batching", "applying", "importing",
    ),
}  # fmt: skip
"""Rooms of the floors that have several, each using only rooms before it."""
LIGHT = (
    "definition/experiment", "definition/first_shares", "definition/assignment", "definition/lifecycle",
    "evidence/epochs", "evidence/latency", "evidence/pairs", "evidence/predictions", "evidence/units",
    "inference/ebh", "planning/days", "verdict/progress",
)  # fmt: skip
"""Modules of `experiments` that serving workers import: they need no numpy."""
CORE_MAY_NOT = {"time", "random", "os", "socket", "subprocess", "threading", "sqlite3", "datetime", "asyncio"}


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, anywhere in it."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


def modules(floor: str) -> list[Path]:
    """The files of one floor."""
    return sorted((ROOT / floor).rglob("*.py"))


@pytest.mark.parametrize("floor", ORDER)
def test_a_floor_imports_only_itself_and_lower_floors(floor: str) -> None:
    """Otherwise a change on top could break the ground."""
    allowed = set(ORDER[: ORDER.index(floor) + 1])
    for path in modules(floor):
        for name in imports_of(path):
            top = name.split(".")[0]
            assert top not in set(ORDER) - allowed, (
                f"{path.relative_to(ROOT)} imports {name} from a higher floor"
            )


@pytest.mark.parametrize("floor", ORDER)
def test_a_floor_uses_only_its_libraries(floor: str) -> None:
    """The core stays free of input, output and servers; a new dependency is a decision made here."""
    for path in modules(floor):
        for name in imports_of(path):
            top = name.split(".")[0]
            known = (
                top in ORDER or top in sys.stdlib_module_names or top in FLOORS[floor] or top == "pointsman"
            )
            assert known or (floor == "api" and top == "examples"), f"{path.relative_to(ROOT)} imports {name}"


def test_the_bandit_takes_only_special_functions_from_scipy() -> None:
    """scipy.stats costs a second to import; the bandit is also used where that matters."""
    for path in modules("bandit"):
        for name in imports_of(path):
            assert not name.startswith("scipy") or name == "scipy.special", f"{path.name} imports {name}"


@pytest.mark.parametrize("floor", ["bandit", "experiments"])
def test_the_core_knows_no_clock_and_no_machine(floor: str) -> None:
    """Decisions are pure functions: time and randomness come in as arguments."""
    for path in modules(floor):
        found = {name.split(".")[0] for name in imports_of(path)} & CORE_MAY_NOT
        assert not found, f"{path.relative_to(ROOT)} imports {found}"


def test_modules_import_each_other_without_circles() -> None:
    """A circle means that two modules are one concept, or that a third is missing."""
    known = named_modules()
    graph = {name: set(internal_imports(path, known)) for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import circle: {' -> '.join((*trail, name))}"
        if name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(("floor", "rooms"), ROOMS.items())
def test_a_room_imports_only_rooms_before_it(floor: str, rooms: tuple[str, ...]) -> None:
    """The folder list reads from the ground up: what is declared, what is known, what is inferred, what follows."""
    for place, room in enumerate(rooms):
        for path in sorted((ROOT / floor / room).rglob("*.py")):
            later = {
                name
                for name in imports_of(path)
                if name.startswith(tuple(f"{floor}.{other}." for other in rooms[place + 1 :]))
            }
            assert not later, f"{path.relative_to(ROOT)} imports {sorted(later)} of a later room"


def named_modules() -> dict[str, Path]:
    """Dotted names of all modules of all floors."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for floor in ORDER
        for path in modules(floor)
        if path.name != "__init__.py"
    }


def internal_imports(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Modules of the house that a file imports at its top level."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module in known:
                yield node.module
            yield from (
                f"{node.module}.{alias.name}"
                for alias in node.names
                if f"{node.module}.{alias.name}" in known
            )


@pytest.mark.parametrize("floor", ORDER)
def test_package_files_hold_a_docstring_only(floor: str) -> None:
    """Nothing is imported for convenience: a worker would pay for it."""
    for path in (ROOT / floor).rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1, f"{path.relative_to(ROOT)} holds more than a docstring"
        assert isinstance(body[0], ast.Expr)


@pytest.mark.parametrize("module", LIGHT)
def test_what_workers_import_of_experiments_is_light(module: str) -> None:
    """A worker serves at gateway speed and in little memory, without numpy."""
    for name in imports_of(ROOT / "experiments" / f"{module}.py"):
        assert name.split(".")[0] not in {"numpy", "scipy", "statsmodels", "bandit"}, (
            f"{module} imports {name}"
        )


def test_no_module_is_named_as_a_drawer() -> None:
    """`utils` and its kin collect what has no home."""
    drawers = {"utils", "util", "helpers", "helper", "common", "manager", "core", "misc", "tests"}
    assert not [path for floor in ORDER for path in modules(floor) if path.stem in drawers]


def test_modules_stay_readable() -> None:
    """Over 400 lines a module holds more than one concept."""
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
            for floor in ORDER for path in modules(floor)}  # fmt: skip
    assert not {name: lines for name, lines in long.items() if lines > 400}
