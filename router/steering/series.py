"""Price versions of an experiment: when one changes, its costs before and after are not compared."""

from hashlib import blake2b

from experiments.definition.experiment import Experiment
from router.config.document import Document
from router.config.prices import list_price


def price_version(definition: Experiment, document: Document) -> str:
    """A digest of the candidates' prices; unknown prices count as a version of their own."""
    versions = []
    for candidate in definition.candidates:
        model = document.models.get(candidate)
        price = list_price(candidate, model) if model is not None else None
        versions.append(price.version if price is not None else "unknown")
    return blake2b("/".join(versions).encode(), digest_size=6).hexdigest()
