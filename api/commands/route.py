"""route: which model a request would get now, and everything that was considered; nothing is recorded."""

from typing import Annotated

import typer

from api.commands.opening import target
from api.commands.output import Fields, Form, say, show_one

Hint = typer.Option
_Optional = str | None


def route(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="The newest user message.")] = "",
    task: Annotated[_Optional, Hint("--task", help="Task that the request names.")] = None,
    metadata: Annotated[list[str] | None, Hint("--metadata", metavar="KEY=VALUE", help="Metadata.")] = None,
    unit: Annotated[_Optional, Hint("--unit", help="Unit that the request names.")] = None,
    session: Annotated[_Optional, Hint("--session", help="Conversation.")] = None,
    user: Annotated[_Optional, Hint("--user", help="User.")] = None,
    trace: Annotated[_Optional, Hint("--trace", help="Workflow or trace.")] = None,
    override: Annotated[_Optional, Hint("--override", metavar="MODEL", help="Pinned model.")] = None,
    tier: Annotated[int | None, Hint("--tier", help="Tier asked for.")] = None,
    max_cost: Annotated[float | None, Hint("--max-cost", metavar="USD", help="Most it may cost.")] = None,
    latency: Annotated[_Optional, Hint("--latency", help="interactive or batch.")] = None,
    residency: Annotated[_Optional, Hint("--residency", help="Where its data must stay.")] = None,
    language: Annotated[_Optional, Hint("--language", help="Language, as de.")] = None,
    domain: Annotated[_Optional, Hint("--domain", help="Subject.")] = None,
    skills: Annotated[_Optional, Hint("--skills", metavar="A,B", help="Skills asked for.")] = None,
    tags: Annotated[_Optional, Hint("--tags", metavar="A,B", help="Tags asked for.")] = None,
    needs: Annotated[
        _Optional, Hint("--needs", metavar="A,B", help="What it carries: tools, vision, audio, json_mode.")
    ] = None,
    explain: Annotated[bool, Hint("--explain", help="Say everything that was considered.")] = False,
    form: Form = "text",
) -> None:
    """Say which model a request would get now; nothing is decided, recorded or called."""
    asked: dict[str, object] = {
        "text": text, "task": task, "metadata": _pairs(metadata or []), "unit": unit, "session_id": session,
        "user": user, "trace_id": trace, "override": override, "tier": tier, "max_cost": max_cost, "latency": latency,
        "residency": residency, "language": language, "domain": domain, "skills": _split(skills),
        "tags": _split(tags), "needs": dict.fromkeys(_split(needs) or (), True) or None,
    }  # fmt: skip
    with target(ctx) as found:
        seen = found.explain({name: value for name, value in asked.items() if value is not None})
    if form == "json" or not explain:
        show_one(seen, f"{seen['model']}: {seen['explanation']}", form)
        return
    say("\n".join(_lines(seen)))


def _lines(seen: Fields) -> list[str]:
    considered = seen["considered"]
    assert isinstance(considered, list | tuple)
    return [str(line) for line in considered]


def _pairs(texts: list[str]) -> dict[str, str]:
    from router.errors import InvalidRequest

    pairs = [text.partition("=") for text in texts]
    for key, sign, _ in pairs:
        if not sign or not key:
            raise InvalidRequest(f"--metadata {key[:60]!r} must be KEY=VALUE", "metadata")
    return {key: value for key, _, value in pairs}


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]
