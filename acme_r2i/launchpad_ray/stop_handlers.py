"""Stop handlers of this process, and the function that ends a program from within.

Acme registers a handler around each of its endless loops
(``acme.utils.signals.runtime_terminator``), which raises SystemExit in the loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_Handler = Callable[[], Any]

_handlers: list[_Handler] = []
# In the process of a node: asks the launching process to stop the program.
_request: _Handler | None = None


def register_stop_handler(handler: _Handler) -> None:
    """Adds a function without arguments that is called when this process is to stop."""
    _handlers.append(handler)


def unregister_stop_handler(handler: _Handler) -> None:
    """Removes a handler; ValueError if it is not registered."""
    _handlers.remove(handler)


def stop() -> None:
    """Ends the program of this process, or the programs that it has launched.

    In a node, this asks the launching process to stop the program, and returns. The handlers of
    all nodes are then called. In any other process it calls the handlers of this process. Unlike
    Launchpad, it catches no signals: a script may call it from its own handler of SIGTERM.
    """
    if _request is None:
        call_stop_handlers()
    else:
        _request()


def call_stop_handlers() -> None:
    """Calls every registered stop handler, the newest first."""
    for handler in reversed(tuple(_handlers)):
        handler()


def send_requests_to(request: _Handler) -> None:
    """Makes ``stop`` call ``request``, as in the process of a node."""
    global _request
    _request = request
