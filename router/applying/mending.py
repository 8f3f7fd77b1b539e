"""A stand-in for a broken document, so that its sound parts are checked in the same run."""

from collections.abc import Iterable, Mapping

from router.applying.messages import STAND_IN
from router.applying.nodes import Loc

_MODELS = (STAND_IN + "one-model", STAND_IN + "another-model")
_TASK = STAND_IN + "a-task"
_NEEDED: Mapping[str, Mapping[str, object]] = {
    "models": {"base_url": "http://localhost"},
    "policies": {
        "chooses": list(_MODELS),
        "otherwise": _MODELS[0],
        "rules": [{"when": {"latency": "batch"}, "model": _MODELS[0]}],
    },
    "tasks": {},
    "experiments": {"task": _TASK, "candidates": list(_MODELS)},
}
"""What an entry of each section cannot do without."""


def mended(value: object, broken: Iterable[Loc]) -> object:
    """The document without what is broken, its gaps filled with stand-ins.

    An entry loses the broken field only, as long as the field is known; else it goes as a whole, and a
    model or task leaves a stand-in, lest everything that names it be called wrong too.
    """
    if not isinstance(value, dict):
        return value
    sections = {name: _section(value.get(name)) for name in _NEEDED}
    whole: dict[str, object] = {key: each for key, each in value.items() if key not in sections}
    for loc in broken:
        if len(loc) > 1 and loc[0] in sections:
            _mend(sections[str(loc[0])], _NEEDED[str(loc[0])], loc)
        elif loc:
            whole.pop(str(loc[0]), None)
    sections["models"] |= {name: dict(_NEEDED["models"]) for name in _MODELS}
    sections["tasks"][_TASK] = {}
    return {"default": _MODELS[0], **whole, **sections}


def _section(entries: object) -> dict[str, object]:
    return dict(entries) if isinstance(entries, dict) else {}


def _mend(section: dict[str, object], needed: Mapping[str, object], loc: Loc) -> None:
    """Take the broken part out of one entry; an entry broken as a whole, or a second time, is replaced or dropped."""
    name = str(loc[1])
    entry = section.pop(name, None)
    if len(loc) > 2 and isinstance(entry, dict):
        kept = {key: each for key, each in entry.items() if key != loc[2]}
        section[name] = {**needed, **kept} if "rules" not in needed else dict(needed)
    elif "task" not in needed and entry is not None and entry != needed:
        section[name] = dict(needed)
