"""The tag: the built script, its versions, and the lines that a website pastes."""
