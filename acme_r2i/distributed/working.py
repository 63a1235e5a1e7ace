"""Work that goes on until the program is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

from acme_r2i import launchpad_ray


def work_until_stopped(work: Callable[[], None], stop: threading.Event) -> None:
    """Does the work in a thread of its own; returns when it has ended, or ``stop`` is set.

    What waits for replay cannot be interrupted. So it is left where it is when the program is
    stopped, and ends with the process.

    Raises:
      BaseException: what the work raises.
    """
    ended = threading.Event()
    errors: list[BaseException] = []

    def do() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    def request_stop() -> None:
        stop.set()
        ended.set()

    launchpad_ray.register_stop_handler(request_stop)
    try:
        threading.Thread(target=do, name="work", daemon=True).start()
        ended.wait()
    finally:
        launchpad_ray.unregister_stop_handler(request_stop)
    if errors:
        raise errors[0]
