"""These tests are of what only PostgreSQL does; CLICKTRAIL_TEST_ENGINE=postgresql runs them."""

import pytest

from tests import engines


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not engines.POSTGRESQL:
        here = __file__.rpartition("/")[0]
        for item in items:
            if str(item.path).startswith(here):
                item.add_marker(pytest.mark.skip(reason="CLICKTRAIL_TEST_ENGINE is not postgresql"))
