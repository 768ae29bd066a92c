"""What was paid elsewhere, told day by day, and the exchange rates that make sums of it."""
