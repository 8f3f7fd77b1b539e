"""What a plan says: one line for each thing that a configuration adds, changes, keeps or may not touch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from router.config.document import Document, Price

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
        *_document_items(old, new),
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
    sections = frozenset({"models", "default", "tasks", "experiments"})
    changed = differences(old, new, sections)
    return [PlanItem("change", "settings of all tasks", "; ".join(changed))] if changed else []


def _fields_text(model: BaseModel) -> str:
    given = [name for name in type(model).model_fields if name in model.model_fields_set]
    return ", ".join(f"{name} {_value_text(getattr(model, name))}" for name in given)


def _value_text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, Price):
        return f"${value.input:g} in, ${value.output:g} out per million tokens"
    if isinstance(value, BaseModel):
        return "{" + _fields_text(value) + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {each}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value_text, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
