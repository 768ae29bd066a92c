"""Fixtures of the management tests."""

from tests.management import admin, house, stranger

__all__ = ["admin", "house", "stranger"]
