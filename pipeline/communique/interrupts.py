"""Ctrl-C and SIGTERM as an error that says what they left behind, in place of a traceback."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Iterator, Optional

from .errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """What came in so far: the last signal, and what to tell the user of the state that it leaves."""

    def __init__(self) -> None:
        self.signal: Optional[signal.Signals] = None
        self.note = "nothing was done yet"
        self._held = False

    def handle(self, number: int, frame: Optional[FrameType]) -> None:
        self.signal = signal.Signals(number)
        self.check()

    def check(self) -> None:
        """Raises KeyboardInterrupt where a signal came in, even if some library has swallowed the first one."""
        if self.signal is not None and not self._held:
            raise KeyboardInterrupt

    @contextmanager
    def held(self, note: str) -> Iterator[None]:
        """Finish what is inside before a signal has its effect; ``note`` is what is true from then on.

        Raises KeyboardInterrupt at the end where a signal came in meanwhile.
        """
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.note = note
        self.check()


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Within, SIGINT and SIGTERM raise KeyboardInterrupt where they strike, and Interrupted comes out.

    KeyboardInterrupt, because what catches ValueError or Exception on the way must not take it for an error of its own.
    Signals that the process was started to ignore (``nohup``, jobs of a script in the background) stay ignored; outside
    the main thread, where Python allows no handlers, signals do what they did.
    """
    stop = Stop()
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS} if main else {}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop.handle)
        yield stop
        stop.check()
    except BaseException as err:
        if stop.signal is None:
            raise
        raise Interrupted(stop.signal, stop.note) from err
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
