"""Pointsman: A/B and bandit experiments for LLM traffic, in process.

    import pointsman

    router = pointsman.Router.open("pointsman.yaml")
    decision = router.route(task="support/billing", user="user-42")
    ...                                       # call decision.model
    router.feedback(decision.id, 1.0, cost_usd=0.0004)
    print(router.report("billing-cheaper"))

`python -m pointsman` is the command line.
"""

import importlib.util
import sys
from pathlib import Path

_FLOORS = ("bandit", "experiments", "storage", "router", "evaluation", "dashboards", "api")


def _check_floors() -> None:
    """Refuse to run on somebody else's package of the same name, naming the path that shadows ours."""
    home = Path(__file__).resolve().parent
    for floor in _FLOORS:
        spec = importlib.util.find_spec(floor)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if origin is None or origin.parent.parent != home:
            found = "nothing" if origin is None else str(origin)
            raise ImportError(
                f"package {floor!r} of Pointsman is shadowed: {found} was found, {home / floor} is needed; "
                "remove the other package or put Pointsman first on the path"
            )


_check_floors()

from router.config.document import Document  # noqa: E402
from router.deciding.choose import Decision  # noqa: E402  (only after the check above)
from router.errors import PointsmanError  # noqa: E402
from router.in_process import Router  # noqa: E402
from storage.records import FeedbackReply  # noqa: E402

__all__ = ["Decision", "Document", "FeedbackReply", "PointsmanError", "Router", "main"]


def main() -> None:
    """Run the command line."""
    from api.cli import main as run

    run()


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[func-returns-value]  # the command line exits by itself
