"""The page of derivatives says what the code does."""

from coverage_page import PAGE, written


def test_the_page_has_the_tables_of_today():
    page = PAGE.read_text("utf-8")
    assert page == written(page), "run python tests/helpers/coverage_page.py"
