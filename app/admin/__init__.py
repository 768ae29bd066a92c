"""The workspace itself: its settings and keys, the log of changes, and what was refused or quarantined."""
