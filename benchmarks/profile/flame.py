"""An icicle graph of stacks as one SVG file: time runs from left to right, calls from top to bottom."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from html import escape

WIDTH, ROW, SHOWN = 1_600, 16, 0.6
"""Pixels of the graph and of a row, and the narrowest box that is drawn."""


@dataclass
class Box:
    """A function under the functions that called it."""

    weight: float = 0.0
    below: dict[str, "Box"] = field(default_factory=dict)


def icicle(stacks: Iterable[tuple[list[str], float]], title: str, unit_us: float) -> str:
    """The graph; `unit_us` turns weights into microseconds of a request."""
    root = Box()
    for stack, weight in stacks:
        box = root
        box.weight += weight
        for name in stack:
            box = box.below.setdefault(name, Box())
            box.weight += weight
    boxes = list(_drawn(root, "all", 0.0, 0, WIDTH / (root.weight or 1.0), unit_us))
    height = ROW * (2 + max((depth for depth, _ in boxes), default=0) + 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" '
        f'font-size="11"><text x="4" y="12">{escape(title)}</text>'
        + "".join(text for _, text in boxes)
        + "</svg>"
    )


def _drawn(
    box: Box, name: str, x: float, depth: int, scale: float, unit_us: float
) -> Iterator[tuple[int, str]]:
    width = box.weight * scale
    if width < SHOWN:
        return
    y = ROW * (depth + 1)
    shown = escape(name[: int(width / 6.7)]) if width > 14 else ""
    told = escape(f"{name}: {box.weight * unit_us:.1f} us a request")
    yield (
        depth,
        f'<g><title>{told}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" '
        f'fill="{_colour(name)}"/><text x="{x + 2:.1f}" y="{y + 11}">{shown}</text></g>',
    )
    for each, inner in sorted(box.below.items()):
        yield from _drawn(inner, each, x, depth + 1, scale, unit_us)
        x += inner.weight * scale


def _colour(name: str) -> str:
    """One hue for each module."""
    module = name.split(":")[0]
    return f"hsl({blake2b(module.encode(), digest_size=1).digest()[0] * 360 // 256} 65% 75%)"
