"""Stop handlers, and the function that ends a program from within.

Handlers belong to a process. Acme registers one around each of its endless loops
(``acme.utils.signals.runtime_terminator``), which raises SystemExit in the loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_Handler = Callable[[], Any]

_handlers: list[_Handler] = []
# In a process of a program: what asks whoever launched it to stop the whole program.
_request: _Handler | None = None


def register_stop_handler(handler: _Handler) -> None:
    """Adds a function which is called without arguments when this process is to stop."""
    _handlers.append(handler)


def unregister_stop_handler(handler: _Handler) -> None:
    """Takes a registered function back; ValueError if it is not registered."""
    _handlers.remove(handler)


def stop() -> None:
    """Ends the program this process is part of, or those it has launched.

    In a node, this asks for the end of the program and returns; the handlers of all its processes
    are called from there. In any other process it calls the handlers of this one. Unlike Launchpad,
    no signals are caught: SIGINT and SIGTERM stay with whoever runs the process, who may call this
    from a handler of their own.
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
    """Makes this process one of a program: ``stop`` calls ``request``."""
    global _request
    _request = request
