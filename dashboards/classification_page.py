"""The judgement of a classifier as one saved page, with its curve of risk against coverage."""

from dashboards.pages import fill
from dashboards.risk_chart import risk_chart
from evaluation.classification.outcome import Judgement

WIDE, NARROW = 1040.0, 340.0


def render_judgement_page(judgement: Judgement, classifier: str, labels: str) -> str:
    """A page that needs nothing beside it; `classifier` and `labels` are the names of the files."""
    return fill(
        "classification.html",
        standalone=True,
        live=False,
        judgement=judgement,
        classifier=classifier,
        labels=labels,
        charts=[
            ("wide", risk_chart(judgement, WIDE, 320.0)),
            ("narrow", risk_chart(judgement, NARROW, 240.0)),
        ],
    )
