"""Logs of a run's metrics beside its own files: TensorBoard's, and Weights & Biases'.

They are views of ``metrics.jsonl``: opened with the lines that are there, given each new one. So
one that is asked for when a run goes on shows all of it, and what was cut from the file is in none.
"""

from __future__ import annotations

import pathlib
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from acme_r2i.runs import UsageError
from acme_r2i.runs.run_folder import read_metrics

WANDB_MODES = ("online", "offline")
DEFAULT_WANDB_PROJECT = "acme_r2i"

_TENSORBOARD = "tensorboard"
_WANDB = "wandb"
_STEP = "env_steps"


class LogOptions(Protocol):
    """Options of a run that its logs need; see ``TrainConfig``."""

    workdir: pathlib.Path
    tensorboard: bool
    wandb: str | None
    wandb_project: str


class MetricsLog(Protocol):
    """Takes lines of metrics."""

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Takes a line, with None where there is no number."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """Writes what is not written yet, and ends."""


class TensorBoardLog:
    """An event file in the run's folder, over environment steps.

    TensorBoard has no way to take back what a file says. So the file is written anew when it is
    opened, from the lines that are there.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        history: Iterable[Mapping[str, Any]] = (),
        *,
        began: float | None = None,
    ):
        """Opens the file in place of what is there.

        Args:
          folder: of the run.
          history: the lines so far.
          began: when the run would have begun without pauses, in seconds since 1970; None is now.
        """
        # Without TensorFlow, which this module of TensorBoard does not need.
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = folder / _TENSORBOARD
        former = list(folder.glob("events.out.tfevents.*")) if folder.exists() else []
        self._began = time.time() if began is None else began
        self._writer = EventFileWriter(str(folder))
        for metrics in history:
            self.write(metrics)
        self._writer.flush()
        for path in former:
            path.unlink()

    def write(self, metrics: Mapping[str, Any]) -> None:
        """See MetricsLog."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in metrics.items()
            if name != _STEP and value is not None
        ]
        wall_time = self._began + metrics["wall_seconds"]
        self._writer.add_event(
            Event(step=metrics[_STEP], wall_time=wall_time, summary=Summary(value=values))
        )

    def close(self, summary: Mapping[str, Any]) -> None:
        """See MetricsLog."""
        self._writer.close()


class WandbLog:
    """A run of Weights & Biases, over environment steps; its files are in the run's folder.

    Online, a run that is resumed goes on under its name there, and does not send a step again that
    was sent before. Offline, each process leaves a folder with the whole run under the same name,
    so the latest is the one to send: ``wandb sync RUN/wandb/latest-run``.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        history: Iterable[Mapping[str, Any]] = (),
        *,
        mode: str,
        project: str = DEFAULT_WANDB_PROJECT,
        name: str = "",
        config: Mapping[str, Any],
    ):
        """Begins the run, or goes on with it.

        Args:
          folder: of the run.
          history: the lines so far.
          mode: one of WANDB_MODES.
          project: where it appears. Account and server are what W&B's own variables say.
          name: what it is called there; the folder's by default.
          config: what config.json says.

        Raises:
          UsageError: if W&B cannot be reached, or knows no account.
        """
        import wandb

        path = folder / _WANDB / "run_id"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text(secrets.token_hex(4), encoding="utf-8")
        online = mode == "online"
        try:
            self._run = wandb.init(
                dir=str(folder),
                project=project,
                name=name or folder.name,
                id=path.read_text(encoding="utf-8"),
                mode=mode,
                resume="allow" if online else None,
                config=dict(config),
                save_code=False,
                settings=wandb.Settings(console="off", silent=True),
            )
        except wandb.errors.Error as error:
            raise UsageError(f"TrainConfig.wandb {mode} does not work here: {error}") from None
        self._sent = self._run.step if self._run.resumed else -1
        for metrics in history:
            self.write(metrics)

    @property
    def place(self) -> str:
        """Where it can be looked at: an address, or offline the folder of its files."""
        return self._run.dir.removesuffix("/files") if self._run.offline else self._run.url

    def write(self, metrics: Mapping[str, Any]) -> None:
        """See MetricsLog."""
        if metrics[_STEP] >= self._sent:
            known = {name: value for name, value in metrics.items() if value is not None}
            self._run.log(known, step=metrics[_STEP])

    def close(self, summary: Mapping[str, Any]) -> None:
        """See MetricsLog."""
        self._run.summary.update(dict(summary))
        self._run.finish(exit_code=1 if summary.get("failure") else 0)


def open_logs(
    options: LogOptions, config: Mapping[str, Any], wall_seconds: float
) -> list[MetricsLog]:
    """Opens the logs that were asked for, with what the run has told so far.

    Args:
      options: of the run.
      config: what config.json says.
      wall_seconds: what the run has taken so far, without the time between its processes.

    Raises:
      UsageError: if W&B cannot be reached.
    """
    folder = options.workdir
    history = read_metrics(folder) if options.tensorboard or options.wandb else []
    logs: list[MetricsLog] = []
    if options.tensorboard:
        logs.append(TensorBoardLog(folder, history, began=time.time() - wall_seconds))
    if options.wandb:
        names = {"mode": options.wandb, "project": options.wandb_project}
        log = WandbLog(folder, history, **names, config=config)
        logs.append(log)
        print(f"{'wandb':<12}{log.place}", flush=True)
    return logs


def packages(options: LogOptions) -> list[str]:
    """Packages that the logs of a run take."""
    asked_for = {"tensorboard": options.tensorboard, "wandb": options.wandb}
    return [name for name, value in asked_for.items() if value]


def check_wandb(mode: str) -> None:
    """Checks, before anything else is done, whether a run of W&B can be begun.

    Raises:
      UsageError: if W&B knows no account that it could use.
    """
    if mode == "online":
        import wandb

        if not wandb.Settings().api_key and not wandb.api.api_key:
            raise UsageError(
                "TrainConfig.wandb online takes an account: `wandb login`, or set WANDB_API_KEY; "
                "offline sends nothing"
            )
