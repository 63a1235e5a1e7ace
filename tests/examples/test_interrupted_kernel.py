"""A notebook's stop button: training ends as by Ctrl-C, and the cell gets the run so far."""

import pathlib
import queue
import time

import jupyter_client
import pytest

pytestmark = pytest.mark.integration

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 300
# A thread of the user's own, which counts while the run trains and after it.
SETUP = """
import threading, time
import acme_r2i

ticks, ended = [], threading.Event()

def count():
    while not ended.wait(0.01):
        ticks.append(time.monotonic())

counting = threading.Thread(target=count)
counting.start()
"""
TRAIN = """
run = acme_r2i.train(
    "bsuite:memory_len/2", preset="debug", env_steps=10_000_000, workdir="run", log_every=40
)
stopped_at = time.monotonic()
"""


class Kernel:
    """A Jupyter kernel in a folder; each cell has to succeed."""

    def __init__(self, folder):
        self.manager, self.client = jupyter_client.manager.start_new_kernel(cwd=str(folder))

    def start(self, code):
        return self.client.execute(code)

    def finish(self, cell):
        """Returns what the cell has printed, once it has ended."""
        printed, until = "", time.monotonic() + SECONDS
        while time.monotonic() < until:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != cell:
                continue
            content = message["content"]
            if message["msg_type"] == "error":
                raise AssertionError("\n".join(content["traceback"]))
            if message["msg_type"] == "stream":
                printed += content["text"]
            if content.get("execution_state") == "idle":
                return printed
        raise TimeoutError(printed)

    def run(self, code):
        return self.finish(self.start(code))

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    kernel = Kernel(tmp_path)
    yield kernel
    kernel.close()


def wait_for(path, lines):
    until = time.monotonic() + SECONDS
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < until, path
        time.sleep(0.05)


def test_an_interrupt_stops_training_and_nothing_else(kernel, tmp_path):
    kernel.run(SETUP)
    cell = kernel.start(TRAIN)
    wait_for(tmp_path / "run" / "metrics.jsonl", 4)
    kernel.manager.interrupt_kernel()
    assert "stopped: " in kernel.finish(cell)
    assert kernel.run("print(run.summary['interrupted'], run.summary['failure'])") == "True None\n"
    steps = int(kernel.run("print(run.summary['env_steps'])"))
    assert 0 < steps < 10_000_000
    # Checkpoint and parameters are those of that step.
    checkpoints = (tmp_path / "run" / "checkpoints").glob("0*")
    assert [path.name for path in checkpoints] == [f"{steps:012d}"]
    assert kernel.run("print(run.evaluate(episodes=3).env_steps)") == f"{steps}\n"
    # The thread goes on counting, and the kernel is interrupted as before.
    alive = "time.sleep(0.2); print(counting.is_alive(), ticks[-1] > stopped_at); ended.set()"
    assert kernel.run(alive) == "True True\n"
    caught = "try:\n    print('begun', flush=True); time.sleep(60)\nexcept KeyboardInterrupt:\n"
    cell = kernel.start(f"{caught}    print('interrupted')")
    time.sleep(0.5)
    kernel.manager.interrupt_kernel()
    assert kernel.finish(cell) == "begun\ninterrupted\n"
