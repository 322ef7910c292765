"""Gold releases: the markup they are written in, the checks they pass, the formats they turn into."""
