"""Which identifiers are one person: a graph of facts, and the people that follow from it."""
