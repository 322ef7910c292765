"""The pipeline's own components, one file each."""
