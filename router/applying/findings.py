"""Findings: what is wrong, or perhaps not meant, at one place of a document."""

from dataclasses import dataclass

from router.applying.nodes import Loc
from router.errors import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, or perhaps not meant, at one place of a document."""

    loc: Loc
    message: str
    severity: Severity = "error"
