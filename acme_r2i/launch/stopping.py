"""Ctrl-C and SIGTERM: the run ends between two steps, with its files whole."""

from __future__ import annotations

import os
import signal
import threading
import types
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"


class StopSignals:
    """While this context is entered, the first SIGINT or SIGTERM is noted and the second kills.

    A signal that is ignored already (SIGINT is in a shell's background jobs) stays ignored. Signals
    reach Python in the main thread only; entered in another, this does nothing.

    Attributes:
      received: the signal that came, or None.
    """

    def __init__(self):
        self.received: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            heard = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
            self._former = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """0, or what a shell makes of the signal: 130 for SIGINT, 143 for SIGTERM."""
        return 0 if self.received is None else 128 + self.received

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self.received = signal.Signals(number)
        for each in self._former:
            signal.signal(each, signal.SIG_DFL)
        # Not print: the signal may have come in the middle of one.
        os.write(2, f"\nr2i: {self.received.name}: ending the run; once more kills it\n".encode())
        if os.isatty(1):
            os.write(1, _SHOW_CURSOR)  # in case the next signal kills: a live display hides it
