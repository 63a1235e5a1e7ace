"""What the commands' parsers have in common."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from acme_r2i.runs import UsageError, overrides, train_config


class Parser(argparse.ArgumentParser):
    """Raises UsageError for wrong arguments; takes no abbreviations, which may be of fields."""

    def __init__(self, **arguments: Any):
        super().__init__(
            **arguments,
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument("--help", "-h", action="help", help="show this and exit")

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Reads options; hyphens and underscores in their names are the same."""
        arguments = sys.argv[1:] if args is None else args
        return super().parse_known_args([self._hyphens(each) for each in arguments], namespace)

    def nearest(self, argument: str) -> str:
        """Returns ``; did you mean --NAME?``, or ``; see COMMAND --help``."""
        return self._did_you_mean(argument) or f"; see {self.prog} --help"

    def _did_you_mean(self, argument: str) -> str:
        """Returns ``; did you mean --NAME?``, or "" where no option of this parser is near."""
        name = argument.partition("=")[0].replace("_", "-")
        close = overrides.nearest(name, self._option_string_actions)
        return f"; did you mean {', '.join(close)}?" if name.startswith("--") and close else ""

    def check_flags(self, others: Sequence[str]) -> None:
        """Refuses a name without a value that resembles an option of this parser.

        Args:
          others: arguments that are no options of this parser, e.g. fields with their values.
        """
        flags = {f"--{name.replace('_', '-')}" for name in train_config.flags()}
        for each, after in zip(others, [*others[1:], "--"], strict=False):
            is_name = each.startswith("--") and "=" not in each and each not in flags
            hint = self._did_you_mean(each) if is_name and after.startswith("--") else ""
            if hint:
                raise UsageError(f"{each} needs a value{hint}")

    def _hyphens(self, argument: str) -> str:
        """The argument, spelled as the option of this parser that it names, if it does."""
        name, equals, value = argument.partition("=")
        spelled = name.replace("_", "-")
        return f"{spelled}{equals}{value}" if spelled in self._option_string_actions else argument

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parse_assignments(arguments: Sequence[str]) -> dict[str, str]:
    """Reads `--name value` and `--name=value`; hyphens in names become underscores.

    Of several assignments of a name, the last counts.

    Raises:
      UsageError: for any other argument.
    """
    assignments = {}
    waiting = iter(arguments)
    for argument in waiting:
        if not argument.startswith("--"):
            raise UsageError(f"unexpected argument {argument!r}")
        name, equals, text = argument[2:].partition("=")
        if not equals:
            text = next(waiting, "--")
            if text.startswith("--"):
                raise UsageError(f"--{name} needs a value")
        assignments[name.replace("-", "_")] = text
    return assignments


def split_suite_options(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Separates options of a task's suite, `--env.NAME VALUE`, from other assignments.

    Returns:
      The other arguments, and the text of each of the suite's options by its name.
    """
    others, options = [], {}
    for name, text in parse_assignments(arguments).items():
        if name.startswith(overrides.SUITE_PREFIX):
            options[name.removeprefix(overrides.SUITE_PREFIX)] = text
        else:
            others.append(f"--{name}={text}")
    return others, options


def path(text: str) -> pathlib.Path:
    """Reads a path, as argparse's ``type``; see ``overrides.absolute_path``."""
    try:
        return overrides.absolute_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def with_default(text: str) -> str:
    """Returns a help text that ends with the default."""
    return f"{text} (default: %(default)s)"


def add_command(
    commands: argparse._SubParsersAction,
    run: Callable[[argparse.Namespace, list[str]], int],
    usage: str,
    summary: str,
    description: str,
    epilog: str | None = None,
) -> Callable[..., Any]:
    """Adds the parser of a command.

    Args:
      commands: takes the parser.
      run: runs the command, given the options and the arguments left over; returns the exit code.
      usage: its name and arguments, after "r2i".
      summary: a line for the list of commands.
      description: shown above the options.
      epilog: shown below them.

    Returns:
      The parser's ``add_argument``.
    """
    parser = commands.add_parser(
        usage.partition(" ")[0],
        usage=f"r2i {usage}",
        help=summary,
        description=description,
        epilog=epilog,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser.add_argument


def refuse(others: Sequence[str], typed: argparse.Namespace) -> None:
    """Refuses what is left over of a command that takes no fields; suggests a similar option."""
    if others:
        raise UsageError(f"unexpected argument {others[0]!r}{typed.parser.nearest(others[0])}")


def add_options(add: Callable[..., Any]) -> None:
    """Adds the options of a run, as :class:`TrainConfig` declares them, by ``add_argument``."""
    for name, option in train_config.options().items():
        default = train_config.default_of(name)
        flag = f"--{name.replace('_', '-')}"
        if name in train_config.flags():
            add(flag, action="store_true", default=None, help=option.help)
            continue
        tells = default is None or default is dataclasses.MISSING
        add(
            flag,
            type=path if name in train_config.paths() else str,
            metavar="|".join(option.choices) or option.metavar,
            help=option.help if tells else f"{option.help} (default: {default})",
        )


def options_table() -> str:
    """The options of a run as a Markdown table, which is docs/options.md's."""
    resume = {"fixed": "no", "permitted": "with `--allow-config-change`", "free": "yes"}
    lines = ["| option | default | may change on resume | meaning |", "|---|---|---|---|"]
    for name, option in train_config.options().items():
        default = train_config.default_of(name)
        value = "|".join(option.choices) or option.metavar
        is_none = any(default is none for none in (None, False, dataclasses.MISSING))
        cells = (
            f"`--{name.replace('_', '-')}{' ' if value else ''}{value}`",
            "" if is_none else f"`{default}`",
            resume[option.resume],
            option.help,
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def read_options(typed: argparse.Namespace, others: Sequence[str]) -> train_config.TrainConfig:
    """Returns the run that was typed.

    Args:
      typed: what ``add_options`` has read.
      others: assignments of fields and of the suite's options, e.g. ["--batch_size", "8",
        "--env.size", "32"].

    Raises:
      UsageError: naming what is wrong, what is allowed, and what is near an unknown name.
    """
    given = {
        name: value
        for name in train_config.options()
        if (value := getattr(typed, name)) is not None
    }
    for name in given:
        other = train_config.options()[name].goes_with
        if other is not None and other not in given:
            raise UsageError(as_typed(train_config.goes_with(name, other)))
    task = train_config.task_name(given.get("env"))
    fields, suite_options = split_suite_options(others)
    with naming_flags():
        return train_config.TrainConfig(
            **{**given, "env": task},
            overrides=parse_assignments(fields),
            env_options=overrides.suite_option_values(task, suite_options),
        )


@contextlib.contextmanager
def naming_flags() -> Iterator[None]:
    """Turns a ValueError of the context into a UsageError that names flags; see ``as_typed``."""
    try:
        yield
    except ValueError as error:
        raise UsageError(as_typed(str(error))) from None


def as_typed(message: str) -> str:
    """Returns an error message with the flags in place of the names that the library uses.

    The library calls an option TrainConfig.NAME or EvaluateConfig.NAME, a field of the agent's
    settings TrainConfig.config.PATH, and an option of the suite TrainConfig.env_options.NAME. A
    message about the arguments context, run and video begins with NAME=, and checkpoint= may be
    anywhere.
    """
    for name, flag in ((r"TrainConfig\.config\.", "--"), (r"TrainConfig\.env_options\.", "--env.")):
        message = re.sub(rf"\b{name}(?=\w)", flag, message)
    option = r"\b(?:Train|Evaluate)Config\.(\w+)|^(context|run|video)(?==)"
    message = re.sub(option, lambda found: f"--{(found[1] or found[2]).replace('_', '-')}", message)
    return re.sub(r"(?<![\w-])checkpoint=(?=\w)", "--checkpoint=", message)


def option_names() -> list[str]:
    """Returns the options of `r2i train` beside the agent's settings, without leading hyphens."""
    return [name.replace("_", "-") for name in train_config.options()] + ["help", "help-fields"]


def whole_number(name: str, text: str, minimum: int) -> int:
    """Reads an option of a command that trains nothing.

    Raises:
      UsageError: if it is no whole number in [minimum, 2**32).
    """
    value = overrides.convert(name, text, int)
    train_config.check_number(name, value, minimum)
    return value
