"""Which splits a model trains on, and which of them fit each other."""

import pytest

from unlearn.data.views import check_split, check_splits
from unlearn.errors import UserError


@pytest.mark.parametrize(
    ("forget", "retain", "message"),
    [
        ("forget10", "retain95", "forget_split=forget10 goes with retain_split=retain90, given was retain95"),
        ("forget15", "retain90", 'Unknown forget_split "forget15"; allowed are: forget01, forget05, forget10. Did you'),
        ("forget10", "retian90", 'Unknown retain_split "retian90"; .* Did you mean "retain90"'),
        ("retain90", "forget10", 'Unknown forget_split "retain90"'),
    ],
)
def test_splits_that_do_not_fit_are_refused(forget, retain, message):
    with pytest.raises(UserError, match=message):
        check_splits(forget, retain)


def test_fitting_splits_pass():
    for forget, retain in (("forget01", "retain99"), ("forget05", "retain95"), ("forget10", "retain90")):
        check_splits(forget, retain)
        check_split(forget)
        check_split(retain)
    check_split("full")
    with pytest.raises(UserError, match=r'Unknown split "full\+tofu"; allowed are: .* Did you mean "full"'):
        check_split("full+tofu")
