"""From records to facts: a literal list of steps over batches, and one transaction for each batch."""
