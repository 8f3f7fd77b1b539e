"""A classifier's file for people who train and judge: written whole or not at all, and read with its name in errors."""

import os
from pathlib import Path

from router.classifying.trained import Trained
from router.classifying.trained_file import ClassifierRefused, parse, read_file


def load(path: Path) -> Trained:
    """The classifier in a file; raises ClassifierRefused naming the file and what is wrong with it."""
    raw = read_file(path)
    try:
        return parse(raw)
    except ClassifierRefused as error:
        raise ClassifierRefused(f"{path} {error}") from None


def save(path: Path, body: bytes) -> None:
    """Write a classifier, in place of any that stands there, in one step."""
    written = path.with_name(path.name + ".new")
    written.write_bytes(body)
    os.replace(written, path)
