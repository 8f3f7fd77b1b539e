"""Bearer keys: 256 random bits, shown once, kept as a hash."""

import secrets
from hashlib import blake2b

PREFIX = "pk-"


def new_key() -> str:
    """A fresh key; nothing else than this return value ever holds it."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(secret: str) -> str:
    """What is stored and compared: the key has 256 bits of entropy, so a fast hash is enough."""
    return blake2b(
        secret.encode("utf-8", "surrogatepass"), digest_size=32, person=b"pointsman-key"
    ).hexdigest()
