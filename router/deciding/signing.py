"""The signing key of decision ids: given by the operator, else created once beside the ledger."""

import os
import secrets
from hashlib import blake2b
from pathlib import Path

from router.deciding.decision_id import Signer, SigningKey
from router.errors import ConfigInvalid

_SMALLEST = 32


def load_signer(store_url: str, key_text: str | None) -> Signer:
    """A signer from the operator's key text, from the file beside an SQLite ledger, or for this process alone.

    Raises ConfigInvalid for a key that is too short, or when several nodes share a store and none is given.
    """
    if key_text is not None:
        if len(key_text) < _SMALLEST:
            raise ConfigInvalid(
                f"the signing key has {len(key_text)} characters, must have at least {_SMALLEST}; "
                "make one with: openssl rand -hex 32"
            )
        return Signer(_key(key_text.encode()))
    if store_url.startswith(("redis:", "rediss:", "unix:")):
        raise ConfigInvalid(
            "several nodes need one signing key: set POINTSMAN_SIGNING_KEY to the same on each"
        )
    if store_url.startswith("memory:"):
        return Signer(_key(secrets.token_bytes(_SMALLEST)))
    return Signer(_key(_kept_beside(Path(store_url.removeprefix("sqlite:///")))))


def signing_key_path(ledger: Path) -> Path:
    """Where the key of an SQLite ledger is kept."""
    return ledger.with_name(ledger.name + ".signing-key")


def _kept_beside(ledger: Path) -> bytes:
    """The key file's content, created readable by its owner only; the first process to create it wins."""
    path = signing_key_path(ledger)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_hex(_SMALLEST).encode())
        file.flush()
        os.fsync(file.fileno())
    return _read(path)


def _read(path: Path) -> bytes:
    text = path.read_bytes().strip()
    if len(text) < _SMALLEST:
        raise ConfigInvalid(
            f"{path} holds no signing key; remove it to have a new one made (old ids become invalid)"
        )
    return text


def _key(material: bytes) -> SigningKey:
    """Key material of any length to a key; its id is a digest, so that rotated keys are told apart."""
    secret = blake2b(material, digest_size=32, person=b"pointsman-sign").digest()
    return SigningKey(blake2b(secret, digest_size=1).digest()[0], secret)
