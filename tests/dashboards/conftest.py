"""Reports of simulated experiments, one for each verdict, as the renderings get them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.dashboards.simulated_reports import PLANS, simulate

Document = dict[str, Any]  # reason: parsed JSON


@pytest.fixture(scope="session")
def documents() -> Mapping[str, Document]:
    """Report documents by the verdict they must show; tests that change one take a copy."""
    return {name: json.loads(simulate(plan).model_dump_json()) for name, plan in PLANS.items()}


@pytest.fixture(params=sorted(PLANS))
def document(request: pytest.FixtureRequest, documents: Mapping[str, Document]) -> Document:
    """Each report in turn."""
    return documents[request.param]
