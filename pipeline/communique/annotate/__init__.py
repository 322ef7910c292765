"""From releases to annotated releases: sources, the run, sinks, and a view for people."""
