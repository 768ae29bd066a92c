"""Leads and sales: what the reports of one result add up to, whatever door and order they came by."""
