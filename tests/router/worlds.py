"""A small configured world in memory, with a clock that tests move by hand."""

from dataclasses import dataclass, field

from router.applying.plan import seed
from router.config.document import Document
from router.deciding.decision_id import Signer, SigningKey
from router.engine import Engine
from router.recording.feedback import FeedbackItem
from router.steering.control import Control
from router.steering.planner import Planner
from storage.memory.store import MemoryStore
from storage.records import FeedbackReply
from storage.store import Store

START_MS = 1_790_000_000_000
SIGNER = Signer(SigningKey(1, b"k" * 32))


class HandClock:
    """Time that stands still until it is moved."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, ms: int) -> None:
        """Let time pass."""
        self.now_ms += ms


def model(input_price: float = 1.0, output_price: float = 2.0, **more: object) -> dict[str, object]:
    """One model of the file, with a price."""
    return {
        "base_url": "http://127.0.0.1:9/v1",
        "price": {"input": input_price, "output": output_price},
        **more,
    }


def document(**changes: object) -> Document:
    """A dear and a cheap model, two tasks, one experiment named `cheaper`."""
    raw: dict[str, object] = {
        "models": {"dear": model(10.0, 20.0, tier=2), "cheap": model(1.0, 2.0, tier=1), "spare": model()},
        "default": "dear",
        "tasks": {
            "support": {"default": "dear", "fallbacks": ["spare"], "timeout_s": 20.0},
            "support/billing": {"match": {"metadata": {"queue": "billing"}, "keywords": ["invoice"]}},
        },
        "experiments": {"cheaper": experiment()},
    }
    return Document.model_validate({**raw, **changes})


def experiment(**changes: object) -> dict[str, object]:
    """The body of an experiment that compares the two models on support/billing."""
    return {
        "task": "support/billing",
        "candidates": ["dear", "cheap"],
        "reward": {"window": "1s"},
        "objective": {"reward_margin": 0.05},
        **changes,
    }


@dataclass
class World:
    """Store, engine, control and planner on one clock."""

    store: Store
    clock: HandClock
    engine: Engine
    control: Control
    planner: Planner
    sent: int = field(default=0)

    def tick(self) -> None:
        """Flush, look, follow."""
        self.engine.recorder.flush()
        assert self.planner.run_once()
        self.engine.refresh()

    def give(self, decision_id: str, **values: object) -> FeedbackReply:
        """Feedback for one decision."""
        self.sent += 1
        return self.engine.give_feedback(
            [FeedbackItem.model_validate({"decision_id": decision_id, **values})]
        )[0]

    def close(self) -> None:
        """End threads and store."""
        self.engine.close()
        self.store.close()


def world(configured: Document | None = None, *, started: bool = True, store: Store | None = None) -> World:
    """A world with its configuration applied and, if wanted, its drafts started."""
    clock = HandClock()
    kept = store if store is not None else MemoryStore()
    seed(kept, configured or document(), clock, "test")
    control = Control(kept, clock)
    if started:
        for row in control.experiments():
            control.start(row.name, "test")
    engine = Engine(kept, SIGNER, 0, clock, follow=False)
    return World(kept, clock, engine, control, Planner(kept, "planner-1", clock))
