"""Stores under contract: `new_store` runs every test that uses it once per kind of store.

A further store is one more entry of KINDS in tests/storage/scenes.py.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.sqlite.store import SqliteStore
from storage.store import Store
from tests.storage.redis_server import stop_shared_server
from tests.storage.scenes import KINDS, Scene


@pytest.fixture(scope="session", autouse=True)
def redis_stops() -> Iterator[None]:
    """The Redis server that stores under contract share ends with the session."""
    yield
    stop_shared_server()


@pytest.fixture(scope="session", params=sorted(KINDS))
def new_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Store]:
    """A maker of empty stores of one kind."""
    kind: str = request.param
    return lambda: KINDS[kind](tmp_path_factory.mktemp(kind))


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Iterator[Store]:
    """An empty store, closed after the test."""
    opened = new_store()
    yield opened
    opened.close()


@pytest.fixture
def idle(store: Store) -> Scene:
    """A scene without experiments."""
    return Scene(store)


@pytest.fixture
def scene(idle: Scene) -> Scene:
    """A scene with one running experiment: binary reward, a window of a day."""
    idle.start()
    return idle


@pytest.fixture(scope="session")
def new_scene(new_store: Callable[[], Store]) -> Callable[[], Scene]:
    """A maker of scenes, for tests that need many."""
    return lambda: Scene(new_store())


@pytest.fixture(scope="session")
def scenes_of_every_kind() -> Callable[[Path], list[Scene]]:
    """One empty scene per kind of store, kept in subfolders of the given one."""

    def make(folder: Path) -> list[Scene]:
        for kind in KINDS:
            (folder / kind).mkdir()
        return [Scene(open_kind(folder / kind)) for kind, open_kind in KINDS.items()]

    return make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger of a test lies."""
    return tmp_path / "ledger.db"


@pytest.fixture
def open_scene(path: Path) -> Callable[..., Scene]:
    """A maker of scenes on the same SQLite file, as other processes would open it."""
    return lambda **options: Scene(SqliteStore(path, **options))
