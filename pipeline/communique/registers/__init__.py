"""Registers that the normalisers and the identity sieves read."""
