"""The demo: sixty days of a small outdoor shop that sells in six countries, told through the real doors."""
