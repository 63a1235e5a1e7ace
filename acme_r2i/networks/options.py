"""Options that are given by name: what is refused, and how it is said."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_args


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raises a ValueError unless ``value`` is in ``choices``, a Literal or a collection."""
    choices = tuple(get_args(choices) or choices)
    if value not in choices:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, choices))}")


def option_names(constructor: Callable[..., Any]) -> dict[str, bool]:
    """The named arguments of a class's ``__init__``, and whether each one must be given."""
    parameters = list(inspect.signature(constructor).parameters.values())[1:]
    return {p.name: p.default is p.empty for p in parameters if p.kind is not p.VAR_KEYWORD}


def takes_any_option(constructor: Callable[..., Any]) -> bool:
    """Returns whether a class's ``__init__`` has ``**`` arguments."""
    parameters = inspect.signature(constructor).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def check_options(
    owner: str,
    constructor: Callable[..., Any],
    options: Mapping[str, Any],
    given: Collection[str] = (),
) -> None:
    """Raises a ValueError unless ``constructor`` takes all of ``options`` and needs no others.

    Args:
      owner: what the message calls whose options they are, such as "ssm='s4'".
      constructor: an ``__init__`` without ``**`` arguments that options could get lost in.
      options: the options by name.
      given: arguments that the caller passes itself, which are no options.
    """
    names = {
        name: needed for name, needed in option_names(constructor).items() if name not in given
    }
    for name in options:
        if name not in names:
            raise ValueError(f"{owner} has no option {name!r}; it has {', '.join(names)}")
    missing = [name for name, needed in names.items() if needed and name not in options]
    if missing:
        raise ValueError(f"{owner} needs {', '.join(missing)}")
