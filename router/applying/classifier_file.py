"""The classifier's file on its way into the configuration: read beside it, checked, and packed into it.

The ledger owns the configuration and workers on other nodes have no file, so the document carries the content.
"""

from pathlib import Path

from router.classifying.trained_file import ClassifierRefused, pack, parse, read_file
from router.config.document import Document


def with_classifier(document: Document, folder: Path) -> Document:
    """The document with the content of its classifier's file, named relative to `folder`; raises ClassifierRefused."""
    settings = document.classifier
    if settings is None or settings.file is None or settings.packed is not None:
        return document
    path = folder / settings.file
    raw = read_file(path)
    try:
        parse(raw)
    except ClassifierRefused as error:
        raise ClassifierRefused(f"{settings.file} {error}") from None
    packed = settings.model_copy(update={"packed": pack(raw)})
    return document.model_copy(update={"classifier": packed})
