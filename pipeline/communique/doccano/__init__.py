"""The annotation loop with Doccano: what goes there, what comes back, and what to annotate next."""
