"""Keys of the upstreams, by the model that uses them."""

from collections.abc import Iterator, Mapping

from api.settings import missing_keys, provider_keys
from router.deciding.snapshot import Snapshot
from router.engine import Engine


class UpstreamKeys(Mapping[str, str]):
    """A model's key for its upstream, taken from the environment as the configuration in force names it."""

    def __init__(self, engine: Engine, environ: Mapping[str, str]) -> None:
        self._engine = engine
        self._environ = environ
        self._seen: Snapshot | None = None
        self._keys: Mapping[str, str] = {}

    def secrets(self) -> list[str]:
        """All keys in use, for the redaction of logs."""
        return list(provider_keys(self._engine.snapshot.document, self._environ).values())

    def missing(self) -> list[str]:
        """Variables that the configuration names and the environment lacks."""
        return missing_keys(self._engine.snapshot.document, self._environ)

    def __getitem__(self, model: str) -> str:
        return self._current()[model]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    def _current(self) -> Mapping[str, str]:
        snapshot = self._engine.snapshot
        if snapshot is not self._seen:
            found = provider_keys(snapshot.document, self._environ)
            self._keys = {
                name: found[model.api_key_env]
                for name, model in snapshot.models.items()
                if model.api_key_env in found
            }
            self._seen = snapshot
        return self._keys
