"""The inbox: what was acknowledged and is not processed yet. Doors append, the pipeline reads and forgets.

It holds bytes and numbers them; what a record means is not its business.
"""
