"""What a plan says: one line for each thing that a configuration adds, changes, keeps or may not touch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from router.classifying.trained_file import packed_digest
from router.config.classifier import Classifier
from router.config.document import Document
from router.config.price import Price

Action = Literal["add", "change", "remove", "keep", "refuse"]
SIGNS: Mapping[Action, str] = {"add": "+", "change": "~", "remove": "-", "keep": "=", "refuse": "!"}


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One line of a plan."""

    action: Action
    subject: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{SIGNS[self.action]} {self.subject}" + (f": {self.detail}" if self.detail else "")


def setting_items(old: Document | None, new: Document) -> list[PlanItem]:
    """Models, settings and tasks that differ; champions and experiments are told apart elsewhere."""
    before = old.models if old else {}
    return [
        *_section_items("model", before, new.models, frozenset()),
        *_section_items("policy", old.policies if old else {}, new.policies, frozenset()),
        *_document_items(old, new),
        *_classifier_items(old.classifier if old else None, new.classifier),
        *_section_items("task", old.tasks if old else {}, new.tasks, frozenset({"default"})),
    ]


def differences(old: BaseModel, new: BaseModel, left_out: frozenset[str] = frozenset()) -> list[str]:
    """Fields that differ, as `field: old -> new`."""
    return [
        f"{field.alias or name}: {_value_text(getattr(old, name))} -> {_value_text(getattr(new, name))}"
        for name, field in type(new).model_fields.items()
        if name not in left_out and getattr(old, name) != getattr(new, name)
    ]


def _section_items(
    kind: str, old: Mapping[str, BaseModel], new: Mapping[str, BaseModel], left_out: frozenset[str]
) -> list[PlanItem]:
    items = [PlanItem("add", f"{kind} {name}", _fields_text(new[name])) for name in new if name not in old]
    for name in new:
        changed = differences(old[name], new[name], left_out) if name in old else []
        if changed:
            items.append(PlanItem("change", f"{kind} {name}", "; ".join(changed)))
    return items + [PlanItem("remove", f"{kind} {name}") for name in old if name not in new]


def _document_items(old: Document | None, new: Document) -> list[PlanItem]:
    if old is None:
        return []
    sections = frozenset({"models", "policies", "default", "tasks", "classifier", "experiments"})
    changed = differences(old, new, sections)
    return [PlanItem("change", "settings of all tasks", "; ".join(changed))] if changed else []


def _classifier_items(old: Classifier | None, new: Classifier | None) -> list[PlanItem]:
    if old == new:
        return []
    if new is None:
        return [PlanItem("remove", "classifier")]
    shown = _classifier_text(new)
    if old is None:
        return [PlanItem("add", "classifier", shown)]
    return [PlanItem("change", "classifier", f"{_classifier_text(old)} -> {shown}")]


def _classifier_text(classifier: Classifier) -> str:
    """A classifier by its digest: what is packed is nothing to read."""
    given = {name: getattr(classifier, name) for name in type(classifier).model_fields if name != "packed"}
    parts = [f"{name} {_value_text(value)}" for name, value in given.items() if value is not None]
    if classifier.packed is not None:
        parts.append(f"digest {packed_digest(classifier.packed)}")
    return ", ".join(parts)


def _fields_text(model: BaseModel) -> str:
    given = [
        (field.alias or name, getattr(model, name))
        for name, field in type(model).model_fields.items()
        if name in model.model_fields_set
    ]
    return ", ".join(f"{name} {_value_text(value)}" for name, value in given)


def _further_text(price: Price) -> str:
    """What a price says beyond input and output, so that every change of it shows."""
    values = {
        name: getattr(price, name) for name in type(price).model_fields if name not in ("input", "output")
    }
    shown = [f"{name} {_value_text(value)}" for name, value in values.items() if value]
    return f" ({', '.join(shown)})" if shown else ""


def _value_text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Price):
        return f"${value.input:g} in, ${value.output:g} out per million tokens" + _further_text(value)
    if isinstance(value, BaseModel):
        return "{" + _fields_text(value) + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value_text, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
