"""Clicktrail: self-hosted conversion tracking. `main.create_app` is the composition root."""

__version__ = "0.1.0"
