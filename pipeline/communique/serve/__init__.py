"""The HTTP service: releases in, annotated releases out. Needs the extra ``[serve]``."""
