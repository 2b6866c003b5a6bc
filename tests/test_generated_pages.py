"""What the pages say of the code is what the code says."""

import capabilities_page
import coverage_page
import pytest
import pytorch_page
from generated import written


@pytest.mark.parametrize(
    "made_by", [coverage_page, capabilities_page, pytorch_page], ids=lambda module: module.__name__
)
def test_the_page_has_the_tables_of_today(made_by):
    page = made_by.PAGE.read_text("utf-8")
    assert page == written(page, made_by.tables()), f"run python tests/helpers/{made_by.__name__}.py"
