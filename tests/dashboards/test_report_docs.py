"""docs/report.md and the document name the same fields; and workers render without numpy."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

from pydantic import BaseModel

from experiments.report.document import EffectPart, Report

ROOT = Path(__file__).parents[2]


def paths(model: type, prefix: str = "") -> Iterator[str]:
    """Paths of all fields of a document, lists as `[]`, the three effects as one."""
    for name, annotation in get_type_hints(model).items():
        yield prefix + name
        kinds = [annotation, *get_args(annotation)]
        for kind in kinds:
            if isinstance(kind, type) and (issubclass(kind, BaseModel) or is_dataclass(kind)):
                many = "[]" if kind is not annotation and type(None) not in kinds else ""
                own = "*_effect" if kind is EffectPart else name
                yield from paths(kind, f"{prefix}{own}{many}.")


def test_every_field_of_the_report_is_explained() -> None:
    """A number nobody can look up is guessed at; a row about a field that is gone misleads."""
    text = (ROOT / "docs" / "report.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.\[\]*]+)` \|", text, re.MULTILINE)
    verdicts = text.partition("| Verdict | What to do |")[2].partition("\n\n")[0]
    documented = [row for row in rows if f"| `{row}` |" not in verdicts]
    assert sorted(documented) == sorted(set(paths(Report)))


def test_every_verdict_is_explained() -> None:
    """The verdict is the one word everybody reads."""
    from experiments.verdict.verdict import Kind

    text = (ROOT / "docs" / "report.md").read_text("utf-8")
    assert [kind.value for kind in Kind if f"| `{kind.value}` |" not in text] == []


def test_renderings_import_nothing_heavy() -> None:
    """Serving workers render reports; numpy and scipy would double their memory."""
    modules = ("report_page", "index_page", "report_text", "report_csv")
    code = (
        "import sys\n"
        + "".join(f"import dashboards.{module}\n" for module in modules)
        + "print(*sorted({name.split('.')[0] for name in sys.modules} & {'numpy', 'scipy', 'statsmodels', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
