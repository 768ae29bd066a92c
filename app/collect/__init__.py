"""The doors: untrusted requests in, normalised records into the inbox. Nothing else.

They never touch the database: what they must know is the configuration snapshot. (A caller who asks what
became of its records, by `?wait=stored` or a receipt, is answered from the database, by `receipts` alone.)
"""
