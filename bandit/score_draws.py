"""Joint draws of every arm's reward and cost, as an objective scores them.

Every normal is used with both signs, which halves the time and steadies the result. Normals lie in one pool, as
making them would take longer than all that is done with them; where a look reads it and which arm takes which of
them with which sign is left to the look's generator, so that errors of one look do not persist. Draws are taken in
blocks that stay in the processor's cache, arm by arm in memory as each later step runs along one arm.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bandit.cells import Floats
from bandit.contrast import Contrasts
from bandit.costs import Costs

BLOCK = 2_048
POOL = 2**18
"""Normals in the pool: some three times what 20 arms read at a look. It is larger where a look reads more."""
POOL_SEED = 20_887


@dataclass(frozen=True)
class JointDraws:
    """Both of shape (draws, arms)."""

    rewards: Floats
    """Rewards per request."""
    costs_usd: Floats
    """Costs per request."""


def blocks(
    rewards: Contrasts, costs: Costs, generator: np.random.Generator, draws: int, size: int = BLOCK
) -> Iterator[JointDraws]:
    """At least `draws` joint draws from the posteriors, `size` at a time, each block's normals with both signs."""
    arms, half = rewards.mean.size, size // 2
    pairs = _count(draws, size) * half
    of_reward, of_cost = _normals(generator, arms, pairs)
    signs = generator.choice((-1.0, 1.0), (2, arms))
    turned = replace(rewards, root=rewards.root[:, generator.permutation(arms)] * signs[0])
    signed = replace(costs, log_sd=costs.log_sd * signs[1])
    for start in range(0, pairs, half):
        block = slice(start, start + half)
        yield JointDraws(turned.draws(of_reward[:, block].T), signed.draws(of_cost[:, block].T))


def joint_draws(
    rewards: Contrasts, costs: Costs, generator: np.random.Generator, draws: int, size: int = BLOCK
) -> JointDraws:
    """At least `draws` joint draws from the posteriors, a multiple of `size`; the first `size` have both signs too."""
    found = list(blocks(rewards, costs, generator, draws, size))
    return JointDraws(
        np.concatenate([block.rewards.T for block in found], axis=1).T,
        np.concatenate([block.costs_usd.T for block in found], axis=1).T,
    )


def _count(draws: int, size: int) -> int:
    """Blocks that hold so many draws."""
    return max(1, -(-draws // size))


def _normals(generator: np.random.Generator, arms: int, pairs: int) -> NDArray[np.float32]:
    """Standard normals for rewards and costs, shape (2, arms, pairs): a stretch of the pool."""
    read = 2 * arms * pairs
    pool = _pool(max(POOL, 1 << (2 * read).bit_length()))
    start = int(generator.integers(pool.size - read))
    return pool[start : start + read].reshape(2, arms, pairs)


@lru_cache(maxsize=2)
def _pool(size: int) -> NDArray[np.float32]:
    """Normals in single precision: fine enough, and faster."""
    pool = np.random.default_rng(POOL_SEED).standard_normal(size, dtype=np.float32)
    pool.flags.writeable = False
    return pool
