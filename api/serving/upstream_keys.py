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
        self._secrets: Mapping[str, Mapping[str, str]] = {}

    def secrets(self) -> list[str]:
        """All keys in use, for the redaction of logs."""
        return list(provider_keys(self._engine.snapshot.document, self._environ).values())

    def secrets_of(self, site: str) -> Mapping[str, str]:
        """What a site's dialect asks for instead of a key, as far as the environment has it."""
        self._current()
        return self._secrets.get(site, {})

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
            places = [place for name, model in snapshot.models.items() for place in _places(name, model)]
            self._keys = {
                site: found[place.api_key_env] for site, place in places if place.api_key_env in found
            }
            self._secrets = {
                site: {word: found[name] for word, name in place.secrets_env.items() if name in found}
                for site, place in places
                if place.secrets_env
            }
            self._seen = snapshot
        return self._keys


def _places(name: str, model: Model) -> Iterator[tuple[str, Model]]:
    """The model as each of its sites serves it."""
    yield name, model
    for site, deployment in zip(site_ids(name, model), model.deployments, strict=True):
        yield site, model.at(deployment)
