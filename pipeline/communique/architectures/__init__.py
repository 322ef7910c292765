"""Thinc models behind the components, under versioned registered names."""
