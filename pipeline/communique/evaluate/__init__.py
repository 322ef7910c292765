"""Scores of the annotation guide, as functions on releases and as spaCy scorers."""
