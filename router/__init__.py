"""The use cases: choose, dispatch, record, plan, promote; the only floor that calls a model provider."""
