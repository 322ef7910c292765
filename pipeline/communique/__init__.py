"""Communique reads government press releases: who met whom, who signed what, who pledged what."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("communique")
except PackageNotFoundError:  # the source tree was put on the path without being installed
    __version__ = "0.0.0"
