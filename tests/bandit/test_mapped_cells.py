"""A linear map of the units' vectors maps their cells, and adding cells commutes with it."""

import numpy as np
import pytest

from bandit.cells import SIZE, Cells, Z


def test_mapped_cells_are_the_cells_of_mapped_units():
    """The law: sums of (M z)(M z)' are M S M', with no unit left to look at."""
    generator = np.random.default_rng(1)
    z, matrix = generator.normal(size=(3, 2, 40, SIZE)), generator.normal(size=(SIZE, SIZE))
    np.testing.assert_allclose(
        Cells.of_units(z).mapped(matrix).sums, Cells.of_units(z @ matrix.T).sums, atol=1e-9
    )


def test_the_identity_changes_nothing_and_merging_commutes():
    """Workers' cells are added before or after: the same."""
    generator = np.random.default_rng(2)
    one, other = (Cells.of_units(generator.normal(size=(2, 3, 10, SIZE))) for _ in range(2))
    np.testing.assert_allclose(one.mapped(np.eye(SIZE)).sums, one.sums)
    matrix = np.eye(SIZE)
    matrix[Z.TOTAL, Z.COST] = -1.0
    np.testing.assert_allclose(
        (one + other).mapped(matrix).sums, (one.mapped(matrix) + other.mapped(matrix)).sums, atol=1e-9
    )
    assert Cells.empty(0, 3).mapped(matrix).sums.shape == (0, 3, SIZE, SIZE)


def test_another_shape_is_refused():
    """A map of four components would shift reward into cost."""
    with pytest.raises(ValueError, match="5 by 5"):
        Cells.empty(1, 1).mapped(np.eye(4))
