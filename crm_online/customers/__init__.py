"""Customers: their state, what is derived from it, and its bytes at rest."""
