"""Task vector negation: it learns the forget data and goes the other way, with no word of the retained data."""

import pytest
from stand_in import Table, gradient, total, views

from unlearn.methods.task_vector import TaskVector


def test_it_learns_the_forget_data_and_then_goes_the_other_way():
    policy, method = Table(1), TaskVector()
    asked = views(method, policy, Table(2))
    slope = gradient(total(method, asked), policy)
    assert (slope * gradient(asked["forget"].ce_tokens.mean(), policy)).sum() > 0  # down the loss, down the forget loss
    assert method.extrapolation() == -1.0
    assert TaskVector(negation=0.3).extrapolation() == -0.3
    assert set(method.needs()) == {"forget"}
    assert not method.needs_reference()


@pytest.mark.parametrize("negation", [0.0, -1.0])
def test_parameters_out_of_range(negation):
    (problem,) = TaskVector(negation=negation).problems()
    assert f"forget_loss.negation is {negation}; allowed are numbers above 0" in problem
