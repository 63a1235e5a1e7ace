"""Ctrl-C and SIGTERM: the run ends between two steps, with its files whole."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"


class StopSignals:
    """While this context is entered, the first SIGINT or SIGTERM is noted and the second kills.

    A thread listens, because the main thread may be compiling for half a minute, where Python calls
    no signal handlers: so Ctrl-C is answered at once, and the second one works.

    A signal that is ignored already (SIGINT is in a shell's background jobs) stays ignored. Signals
    reach Python in the main thread only; entered in another, this does nothing.

    Attributes:
      received: the signal that came, or None.
    """

    def __init__(self, what: str = "the run"):
        """Says what is ended, for the user."""
        self._what = what
        self.received: signal.Signals | None = None
        self._former: dict[signal.Signals, Any] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            heard = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
            self._listener, self._sender = socket.socketpair()
            self._sender.setblocking(False)
            self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
            self._thread.start()
            # The interpreter writes the number of each signal it handles here, from C.
            self._former_fd = signal.set_wakeup_fd(self._sender.fileno())
            self._former = {each: signal.signal(each, _do_nothing) for each in heard}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        if self._thread is not None:
            signal.set_wakeup_fd(self._former_fd)
            self._sender.close()
            self._thread.join()
            self._listener.close()
            self._former, self._thread = {}, None

    @property
    def exit_code(self) -> int:
        """0, or what a shell makes of the signal: 130 for SIGINT, 143 for SIGTERM."""
        return 0 if self.received is None else 128 + self.received

    def _listen(self) -> None:
        while number := self._listener.recv(1):
            if number[0] in _SIGNALS:
                self._note(signal.Signals(number[0]))

    def _note(self, number: signal.Signals) -> None:
        if self.received is not None:
            if os.isatty(1):
                os.write(1, _SHOW_CURSOR)  # the live display has hidden it
            os._exit(128 + number)
        self.received = number
        # Not print: another thread may be in the middle of one.
        os.write(2, f"\nr2i: {number.name}: ending {self._what}; once more kills it\n".encode())


def _do_nothing(number: int, frame: Any) -> None:
    """The handler: that there is one makes the interpreter tell the listener."""
