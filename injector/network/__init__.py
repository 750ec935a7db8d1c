"""Addresses: which a guest gets from a pool, decided on values; the store keeps the claims."""
