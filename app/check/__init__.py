"""Seeing that it works: the snippets to paste, the check of a page, and sources that fell silent."""
