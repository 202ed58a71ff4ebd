"""The language of the rules: JMESPath, and the few functions that it lacks (docs/rules.md#functions).

Each of ours takes null for what is not known and answers null, which no rule takes for a match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

import jmespath
import jmespath.exceptions
import jmespath.functions

from ecs_gpu_deploy.core.rules.command_line import option_value
from ecs_gpu_deploy.core.text import nearest, span

_MethodT = TypeVar("_MethodT", bound=Callable[..., object])

_LONGEST_TEXT: Final = 20_000
_ANY: Final[Mapping[str, Any]] = {"types": []}
_signature: Callable[..., Callable[[_MethodT], _MethodT]] = jmespath.functions.signature


class _Functions(jmespath.functions.Functions):
    """Our functions beside JMESPath's own; jmespath finds them by the names of these methods."""

    @_signature(_ANY, {"types": ["string"]})
    def _func_matches(self, text: object, pattern: str) -> bool | None:
        """matches(text, pattern): whether the regular expression is found in the text."""
        return None if text is None else bool(re.search(pattern, _text(text)))

    @_signature(_ANY, {"types": ["string"]})
    def _func_found(self, text: object, pattern: str) -> str | None:
        """found(text, pattern): what the first group of the regular expression finds, null for nothing."""
        match = None if text is None else re.search(pattern, _text(text))
        return (match[1] if match.re.groups else match[0]) if match else None

    @_signature(_ANY, _ANY)
    def _func_minus(self, left: object, right: object) -> float | None:
        """minus(a, b)."""
        numbers = _numbers(left, right)
        return None if numbers is None else numbers[0] - numbers[1]

    @_signature(_ANY, _ANY)
    def _func_times(self, left: object, right: object) -> float | None:
        """times(a, b)."""
        numbers = _numbers(left, right)
        return None if numbers is None else numbers[0] * numbers[1]

    @_signature(_ANY, _ANY)
    def _func_over(self, left: object, right: object) -> float | None:
        """over(a, b): the quotient, null for a division by 0."""
        numbers = _numbers(left, right)
        return None if numbers is None or not numbers[1] else numbers[0] / numbers[1]

    @_signature(_ANY)
    def _func_span(self, seconds: object) -> str | None:
        """span(seconds): the duration as people write it, such as 2m05s."""
        numbers = _numbers(seconds, 0)
        return None if numbers is None else span(numbers[0])

    @_signature(_ANY, _ANY)
    def _func_with(self, items: object, outer: object) -> list[Any]:
        """with(items, {name: value}): each object of the list with further members, for use in a filter."""
        more = outer if isinstance(outer, dict) else {}
        listed = items if isinstance(items, list) else []
        return [{**more, **item} for item in listed if isinstance(item, dict)]

    @_signature(_ANY, {"types": ["array-string"]})
    def _func_option(self, words: object, names: list[str]) -> str | None:
        """option(words, names): the value of a command line's option (`--port 80`, `--port=80`), or null."""
        listed = [str(word) for word in words] if isinstance(words, list) else []
        return option_value(listed, names)


FUNCTIONS: Final[Mapping[str, str]] = {
    name.removeprefix("_func_"): str(method.__doc__)
    for name, method in vars(_Functions).items()
    if name.startswith("_func_")
}
"""The functions of ours, and how each is called."""
_OPTIONS: Final = jmespath.Options(custom_functions=_Functions())
_KNOWN: Final = frozenset(_Functions.FUNCTION_TABLE)


class BrokenExpression(Exception):
    """An expression that JMESPath cannot read, or that meets a value of another kind than it needs."""


@lru_cache(maxsize=512)
def _compiled(expression: str) -> Any:
    try:
        parsed = jmespath.compile(expression)
        functions = list(_functions_in(parsed.parsed))
    except jmespath.exceptions.JMESPathError as error:
        raise BrokenExpression(_reason(error)) from None
    except RecursionError:
        raise BrokenExpression("it is nested too deeply") from None
    for name in functions:
        if name not in _KNOWN:
            near = nearest(name, _KNOWN)
            raise BrokenExpression(f"there is no function {name}()" + (f"; {near}() is near" if near else ""))
    return parsed


def check_expression(expression: str) -> None:
    """Raise BrokenExpression where *expression* cannot be read, or calls a function that is not there."""
    _compiled(expression)


def value_of(expression: str, document: Mapping[str, Any]) -> Any:
    """Return what *expression* finds in *document*; BrokenExpression where it meets an unfit value."""
    try:
        return _compiled(expression).search(document, options=_OPTIONS)
    except jmespath.exceptions.JMESPathError as error:
        raise BrokenExpression(_reason(error)) from None
    except (re.error, RecursionError) as error:
        raise BrokenExpression(f"the regular expression cannot be used: {error}") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".:^ ")


def _functions_in(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if node.get("type") == "function_expression":
            yield str(node.get("value"))
        for child in node.get("children") or ():
            yield from _functions_in(child)


def _text(value: object) -> str:
    text = " ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else value
    return str(text)[:_LONGEST_TEXT]


def _numbers(*values: object) -> tuple[float, ...] | None:
    """Return the numbers that *values* are, texts of numbers too; None where one is none."""
    found = []
    for value in values:
        try:
            found.append(float(str(value)))
        except ValueError:
            return None
    return tuple(int(number) if number.is_integer() else number for number in found)
