"""Deployment settings, read once from the environment; the only module that looks there.

Every setting has an environment variable: its name in capitals after `POINTSMAN_`. What is routed where is
no setting but configuration data (router.config.document).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from router.config.document import Document
from router.config.model import Deployment, Model

PREFIX = "POINTSMAN_"
Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseModel):
    """How this installation runs; frozen, built once and passed down."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    store: str = "pointsman.sqlite"
    """Ledger: the path of an SQLite file, or a store's URL."""
    host: str = "127.0.0.1"
    """Address to listen on; any but a loopback address needs at least one key in the store."""
    port: Port = 8080
    """Port to listen on; 0 takes a free one and prints it."""
    workers: Annotated[int, Field(ge=1, le=32)] = 1
    """Serving processes."""
    signing_key: SecretStr | None = None
    """Secret of at least 32 characters that signs decision ids; by default one is made beside the ledger."""
    planner_interval_s: Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)] = 1.0
    """Time between two ticks of the planner."""
    max_connections: Annotated[int, Field(ge=1, le=65_536)] = 1_000
    """Connections that one worker holds; further ones are answered 503."""
    max_in_flight: Annotated[int, Field(ge=1, le=65_536)] = 500
    """Requests to models that one worker has under way; further ones are answered 503 at once."""
    batch_spool: Path | None = None
    """Folder for the files and results of batches; by default one beside the ledger file."""
    batch_spool_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 2_000
    """Files and results of batches that are kept, in megabytes; 0 refuses batches."""
    batch_poll_s: Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)] = 30.0
    """Time between two looks at a batch that a provider works on."""
    head_timeout_s: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 10.0
    """Time in which a client must have sent its request head."""
    body_timeout_s: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 30.0
    """Time in which a client must have sent its request body."""
    shutdown_s: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 8.0
    """Time that running requests have to finish after SIGTERM."""

    @classmethod
    def read(cls, environ: Mapping[str, str], **given: object) -> Self:
        """What is given here, else the environment's, else the defaults; raises pydantic's ValidationError."""
        found = {name: environ[name] for name in environ if name.upper().startswith(PREFIX)}
        named = {name[len(PREFIX) :].lower(): value for name, value in found.items()}
        return cls.model_validate({name: named[name] for name in cls.model_fields if name in named} | given)

    @property
    def signing_key_text(self) -> str | None:
        """The signing key in clear, for the signer only."""
        return None if self.signing_key is None else self.signing_key.get_secret_value()


def environment() -> Mapping[str, str]:
    """The process environment, for the provider keys that the configuration names."""
    return os.environ  # noqa: TID251  # this module is the one place that reads it


def key_names(document: Document) -> list[str]:
    """Environment variables that the configuration's models take their keys from."""
    models = document.models.values()
    places: list[Model | Deployment] = [
        *models,
        *(deployment for model in models for deployment in model.deployments),
    ]
    named = {place.api_key_env for place in places}
    named.update(variable for place in places for variable in place.secrets_env.values())
    return sorted(name for name in named if name is not None)


def provider_keys(document: Document, environ: Mapping[str, str]) -> dict[str, str]:
    """Provider keys by the name of their environment variable; unset and empty ones are left out."""
    return {name: environ[name] for name in key_names(document) if environ.get(name)}


def missing_keys(document: Document, environ: Mapping[str, str]) -> list[str]:
    """Names of the variables that the configuration asks for and the environment lacks."""
    return [name for name in key_names(document) if not environ.get(name)]
