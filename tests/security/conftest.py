"""Fixtures of the security tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.tenants import Town, open_town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Three workspaces for the tests of one file: leave them as you found them."""
    with open_town(tmp_path_factory.mktemp("town")) as town:
        yield town


@pytest.fixture
def fresh_town(tmp_path: Path) -> Iterator[Town]:
    """Three workspaces of this test's own."""
    with open_town(tmp_path) as town:
        yield town
