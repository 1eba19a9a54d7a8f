"""What a stream minimises is well defined, or refused."""

import numpy as np
import pytest

from fedmetaalign.model.objective import LOSS, Objective

W = np.array([1.0, -2.0], np.float32)


def test_a_scale_needs_an_offset_and_mu_a_linear_term():
    # Without its vector, training would leave the term out.
    with pytest.raises(ValueError, match=r"A scale of 0\.5 needs an offset"):
        Objective(scale=0.5)
    with pytest.raises(ValueError, match="A mu of 2 needs a linear term"):
        Objective(mu=2.0)
    assert Objective(scale=0.5, offset=W).linear is None
    assert Objective(mu=2.0, linear=W).offset is None
    assert Objective() == LOSS


def test_the_objectives_of_the_literature():
    near = Objective.proximal(W, 0.5)  # 1/4 |w - W|^2 = 1/4 |w|^2 - 1/2 <W, w> + ...
    assert (near.mu, near.linear.tolist(), near.linear.dtype) == (0.5, [-0.5, 1.0], np.float32)
    assert Objective.corrected(3 * W).linear.tolist() == [3.0, -6.0]
    mixed = Objective.mixed(0.25, W)
    assert (mixed.scale, mixed.offset.tolist()) == (0.25, [0.75, -1.5])
