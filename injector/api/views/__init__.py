"""What callers see: pure functions from values of the house to documents in the shape of the OpenStack APIs."""
