"""Runs of ``r2i train``, some at a time, each in its own process and folder."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import queue
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence


def train_all(
    runs: Mapping[str, Sequence[str]], out: pathlib.Path, *, parallel: int, pin: bool = False
) -> Iterator[str]:
    """Trains every run and yields a line for each, in the order given, as it ends.

    Args:
      runs: the arguments of ``r2i train`` of each run, by the name of its folder.
      out: the folder that holds the runs' folders and, beside each, its log.
      parallel: runs at a time.
      pin: whether a run keeps to one core, which no other run of these has at the same time.

    Raises:
      ValueError: if more runs are to be pinned at a time than there are cores.
    """
    cores: queue.SimpleQueue[str] = queue.SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(str(core))
    if pin and parallel > cores.qsize():
        raise ValueError(f"{parallel} runs at a time cannot be pinned to {cores.qsize()} cores")
    out.mkdir(parents=True, exist_ok=True)

    def train(name: str) -> str:
        if not pin:
            return _train(name, runs[name], out, [])
        core = cores.get()
        try:
            return _train(name, runs[name], out, ["taskset", "-c", core])
        finally:
            cores.put(core)

    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
        yield from pool.map(train, runs)


def _train(name: str, arguments: Sequence[str], out: pathlib.Path, prefix: list[str]) -> str:
    """Runs one to its end; what came of it, in a line."""
    folder = out / name
    if (folder / "summary.json").exists():
        return f"{name}: already done"
    if folder.exists():
        return f"{name}: {folder} holds a run without a summary; remove it to run it again"
    command = [*prefix, sys.executable, "-m", "acme_r2i.cli", "train", *arguments]
    with (out / f"{name}.log").open("w") as log:
        code = subprocess.run(
            [*command, "--workdir", str(folder)], stdout=log, stderr=subprocess.STDOUT
        ).returncode
    return f"{name}: {'done' if code == 0 else f'exit code {code}, see {log.name}'}"
