"""What the numbers are about: channels, campaigns, ads, partners, goals; and how management changes things.

fields    what a field of the management API may hold        paging   limit and cursor of every list
slugs     how a name becomes a row                           changes  who is told of a change
schemas, rules, store, routes                                the five slug collections themselves
"""
