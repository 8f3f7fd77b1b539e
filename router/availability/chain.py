"""The chain: which model is tried next, by what went wrong with the ones before."""

from collections.abc import Callable, Iterable

from router.config.availability import Cause, FallbacksOn


class Chain:
    """Models of one decision that are still to be tried. None is tried twice."""

    def __init__(
        self, model: str, fallbacks: Iterable[str], by_cause: FallbacksOn | None, pinned: bool
    ) -> None:
        """A pinned model has no fallbacks: who asks for one wants that one or an error."""
        self._waiting = [model] if pinned else list(dict.fromkeys((model, *fallbacks)))
        self._by_cause = None if pinned else by_cause
        self._tried: set[str] = set()

    @property
    def last(self) -> bool:
        """Whether no model is waiting."""
        return not self._waiting

    @property
    def following(self) -> str | None:
        """Who would be next."""
        return self._waiting[0] if self._waiting else None

    def next(self) -> str | None:
        """The next model."""
        if not self._waiting:
            return None
        model = self._waiting.pop(0)
        self._tried.add(model)
        return model

    def reorder(self, key: Callable[[str], float]) -> None:
        """Try the waiting models in another order."""
        self._waiting.sort(key=key)

    def has(self, cause: Cause) -> bool:
        """Whether a model waits that is named for this cause."""
        if self._by_cause is None:
            return False
        return any(model not in self._tried for model in self._by_cause.models_of(cause) or ())

    def failed(self, cause: Cause, another: bool) -> None:
        """The newest model failed: its cause may name who is next; else `another` says whether anybody is."""
        named = self._by_cause.models_of(cause) if self._by_cause is not None else None
        if named is not None:
            self._waiting = [model for model in dict.fromkeys(named) if model not in self._tried]
        elif not another:
            self._waiting = []
