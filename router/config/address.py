"""Addresses and names of variables, as models, classifiers and webhooks share them."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, StringConstraints

OWN_SETTINGS = "POINTSMAN_"


def _check_foreign(value: str) -> str:
    """Whoever may name an address must not be able to have the signing key sent there."""
    if value.upper().startswith(OWN_SETTINGS):
        raise ValueError(
            f"names beginning with {OWN_SETTINGS} are settings of this server; use another variable"
        )
    return value


EnvironmentName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"), AfterValidator(_check_foreign)
]


def _check_base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable() or " " in value:
        raise ValueError("base_url must start with http:// or https:// and name a host, without spaces")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "base_url must hold no user name, password, query or fragment; put the key into api_key_env"
        )
    if parts.port == 0:
        raise ValueError("base_url names port 0, must be 1 to 65535")
    return value.rstrip("/")


BaseUrl = Annotated[str, StringConstraints(max_length=500), AfterValidator(_check_base_url)]
