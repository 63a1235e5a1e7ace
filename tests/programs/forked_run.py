"""A process that trains, forked from one that has imported what training imports.

For tests that start many: most of a short process's time goes into importing Acme and TensorFlow.
What has been imported only is safe to fork; JAX and Reverb start their threads in the fork.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pathlib
import signal
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

_PR_SET_PDEATHSIG = 1
_IMPORTED = ("acme_r2i.agents.r2i.builder", "acme_r2i.runs.agent", "acme_r2i.runs.train")


def start(arguments: Sequence[str], log: pathlib.Path, compiled: pathlib.Path) -> BaseProcess:
    """Starts `r2i` with these arguments; the first call takes the time of the imports.

    Args:
      arguments: of the command.
      log: file for what it prints.
      compiled: folder of what JAX has compiled, for the processes after it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    process = context.Process(target=_run, args=(list(arguments), str(log), str(compiled)))
    process.start()
    return process


def _run(arguments: list[str], log: str, compiled: str) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # no test, no run
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    import jax

    from acme_r2i.cli.main import main

    jax.config.update("jax_compilation_cache_dir", compiled)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    sys.exit(main(arguments))
