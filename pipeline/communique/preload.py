"""What every process of a pool needs, imported once before they are forked: see ``communique.workers``.

Numeric libraries read how many threads they may use from the environment when they are imported.
"""

import os

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")}
os.environ.update(ONE_THREAD)

import spacy  # noqa: E402

from .annotate import run, sinks  # noqa: E402, F401

# the first pipeline of a process imports the packages of all components that are installed, whether it has them or not
spacy.blank("en")
