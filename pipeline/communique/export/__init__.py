"""Turns trained pipelines into what other services load."""
