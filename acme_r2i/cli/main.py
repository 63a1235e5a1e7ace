"""The `r2i` command.

It imports what it needs when it needs it: help and wrong arguments are answered at once, and only a
run that can be loads JAX, Acme and the simulators, which takes seconds.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence

from acme_r2i.cli import envs, evaluate, export, imagine, plan, presets, report, sweep, train
from acme_r2i.cli.parsing import Parser, as_typed
from acme_r2i.runs import RunFailedError, UsageError, overrides, reason
from acme_r2i.version import VERSION

_DESCRIPTION = "Recall to Imagine (R2I): a world-model agent with state-space memory."

_EPILOG = """\
r2i COMMAND --help tells what a command takes, e.g.
  r2i train --env popgym:RepeatPreviousEasy --workdir runs/first
"""


_COMMANDS = {
    "train": train.add,
    "evaluate": evaluate.add,
    "sweep": sweep.add,
    "report": report.add,
    "envs": envs.add,
    "presets": presets.add,
    "imagine": imagine.add,
    "export": export.add,
    "plan": plan.add,
}
_INSTALL = (
    "; `pip install .` alone brings what networks need, and `pip install --no-deps -r "
    "requirements.txt` all that r2i needs"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code.

    Args:
      arguments: what was typed after `r2i`; None takes it from the process.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names of files need not be UTF-8, and a terminal need not show all characters.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _heard_ctrl_c():
            code = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
        return code
    except UsageError as error:
        print(f"r2i: error: {as_typed(_in_a_line(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except SystemExit as leaving:  # --help and --version
        return int(leaving.code or 0)
    except BrokenPipeError:  # as in `r2i train --help-fields | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "acme_r2i":
            raise
        print(f"r2i: error: {_in_a_line(error)}{_INSTALL}", file=sys.stderr)
        return 1
    except OSError as error:
        file = "" if error.filename is None else f"{error.filename}: "
        print(f"r2i: error: {file}{reason(error)}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        from acme_r2i.environments import EnvironmentFailedError  # imports NumPy

        if not isinstance(error, EnvironmentFailedError | RunFailedError):
            raise
        print(f"r2i: error: {_in_a_line(error)}", file=sys.stderr)
        return 1
    except ValueError:  # of a print
        if not sys.stdout.closed:
            raise
        print("r2i: error: an environment closed the standard output", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _heard_ctrl_c() -> Iterator[None]:
    """Raises KeyboardInterrupt at Ctrl-C, also if it comes during a garbage collection.

    Python drops what is raised in a callback of the collection, such as JAX's, and a signal that
    comes during a collection is answered there: so it is asked for once more, a moment later.
    """
    former = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if former is not signal.default_int_handler or not in_main_thread:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    callbacks = [getattr(callback, "__code__", None) for callback in gc.callbacks]
    while frame is not None:
        if frame.f_code in callbacks:
            threading.Timer(
                0.01, signal.pthread_kill, (threading.main_thread().ident, number)
            ).start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _run(arguments: list[str]) -> int:
    parser = _make_parser()
    command = next((each for each in arguments if not each.startswith("-")), None)
    if command is not None and command not in _COMMANDS:
        close = overrides.nearest(command, _COMMANDS)
        hint = f"did you mean {close[0]}?" if close else f"commands: {', '.join(_COMMANDS)}"
        raise UsageError(f"unknown command {command!r}; {hint}")
    typed, others = parser.parse_known_args(arguments)
    if typed.command is None:
        if others:
            raise UsageError(f"unexpected argument {others[0]!r}{parser.nearest(others[0])}")
        parser.print_help()
        return 0
    typed.parser.check_flags(others)
    _silence_tensorflow()
    return typed.run(typed, others)


def _make_parser() -> Parser:
    parser = Parser(prog="r2i", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "--version", action="version", version=f"r2i {VERSION}", help="show it and exit"
    )
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for add in _COMMANDS.values():
        add(commands)
    return parser


def _silence_tensorflow() -> None:
    """Hides TensorFlow's start-up complaints unless the user wants some level, as acme_compat does.

    It has to be done before TensorFlow is loaded, and rlax loads it where it is installed, through
    TensorFlow Probability. JAX sets "1" itself, so that is nobody's wish.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
