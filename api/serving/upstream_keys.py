"""Keys of the upstreams, by the site that uses them."""

from collections.abc import Iterator, Mapping

from api.settings import missing_keys, provider_keys
from router.availability.sites import site_ids
from router.config.model import Model
from router.deciding.snapshot import Snapshot
from router.engine import Engine


class UpstreamKeys(Mapping[str, str]):
    """A site's key for its upstream, taken from the environment as the configuration in force names it."""

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

    def __getitem__(self, site: str) -> str:
        return self._current()[site]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    def _current(self) -> Mapping[str, str]:
        snapshot = self._engine.snapshot
        if snapshot is not self._seen:
            found = provider_keys(snapshot.document, self._environ)
            self._keys = {
                site: found[variable]
                for name, model in snapshot.models.items()
                for site, variable in _variables(name, model)
                if variable in found
            }
            self._seen = snapshot
        return self._keys


def _variables(name: str, model: Model) -> Iterator[tuple[str, str | None]]:
    """The variable of each site's key."""
    yield name, model.api_key_env
    for site, deployment in zip(site_ids(name, model), model.deployments, strict=True):
        yield site, deployment.api_key_env or model.api_key_env
