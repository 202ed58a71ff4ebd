"""Placement constraint expressions: the cluster query language, as a predicate over an instance.

Source: AWS page "Create expressions to define container instances for Amazon ECS tasks". Left out on purpose:
`task:group` and `registeredAt`, which a container instance alone cannot answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

_WORD = re.compile(r"[^\s()\[\],=!<>~&|\"']+")
_RAW = re.compile(r"\S+")
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_OPERATOR = re.compile(r"==|!=|=~|!~|>=|<=|>|<|!exists\b|!in\b")
_WORD_OPERATORS = {
    "equals": "==",
    "not_equals": "!=",
    "matches": "=~",
    "not_matches": "!~",
    "greater_than": ">",
    "greater_than_equal": ">=",
    "less_than": "<",
    "less_than_equal": "<=",
    "exists": "exists",
    "not_exists": "!exists",
    "in": "in",
    "not_in": "!in",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySubject:
    """What an expression may ask about an instance."""

    attributes: Mapping[str, str | None] = field(default_factory=dict)
    ec2_instance_id: str = ""
    agent_connected: bool = True
    running_tasks_count: int = 0


Predicate = Callable[[QuerySubject], bool]


@lru_cache(maxsize=512)
def predicate_of(expression: str) -> Predicate:
    """Compile an expression. Raises ValueError with one sentence for one that cannot be read."""
    return _Parser(expression).whole()


class _Parser:
    """Read one expression from left to right: or, and, not, parentheses, comparison."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def whole(self) -> Predicate:
        predicate = self.alternatives()
        self.skip_spaces()
        if self.position != len(self.text):
            raise self.complaint()
        return predicate

    def alternatives(self) -> Predicate:
        terms = [self.conjunction()]
        while self.take_word("or", "||"):
            terms.append(self.conjunction())
        return terms[0] if len(terms) == 1 else lambda subject: any(term(subject) for term in terms)

    def conjunction(self) -> Predicate:
        terms = [self.negation()]
        while self.take_word("and", "&&"):
            terms.append(self.negation())
        return terms[0] if len(terms) == 1 else lambda subject: all(term(subject) for term in terms)

    def negation(self) -> Predicate:
        if self.take_word("not", "!"):
            inner = self.negation()
            return lambda subject: not inner(subject)
        if self.take("("):
            inner = self.alternatives()
            if not self.take(")"):
                raise self.complaint()
            return inner
        return self.comparison()

    def comparison(self) -> Predicate:
        name = self.match(_WORD)
        value_of = _reader_of(name)
        if value_of is None:
            raise self.complaint()
        operator = self.operator()
        if operator in {"exists", "!exists"}:
            wanted = operator == "exists"
            return lambda subject: (value_of(subject) is not None) is wanted
        if operator in {"in", "!in"}:
            members, wanted = self.members(), operator == "in"
            return lambda subject: (value_of(subject) in members) is wanted
        if operator in {"=~", "!~"}:
            pattern, wanted = self.pattern(), operator == "=~"
            return lambda subject: bool(pattern.fullmatch(value_of(subject) or "")) is wanted
        return _ordered(value_of, operator, self.value())

    def operator(self) -> str:
        self.skip_spaces()
        found = _OPERATOR.match(self.text, self.position)
        if found:
            self.position = found.end()
            return found.group()
        word = self.match(_WORD)
        if word not in _WORD_OPERATORS:
            raise self.complaint()
        return _WORD_OPERATORS[word]

    def members(self) -> frozenset[str]:
        if not self.take("["):
            raise self.complaint()
        found = [self.value()]
        while self.take(","):
            found.append(self.value())
        if not self.take("]"):
            raise self.complaint()
        return frozenset(found)

    def pattern(self) -> re.Pattern[str]:
        self.skip_spaces()
        quoted = _QUOTED.match(self.text, self.position)
        try:
            if quoted:
                self.position = quoted.end()
                return re.compile(quoted.group(1) or quoted.group(2) or "")
            return re.compile(self.match(_RAW))
        except re.error:
            raise self.complaint() from None

    def value(self) -> str:
        self.skip_spaces()
        quoted = _QUOTED.match(self.text, self.position)
        if quoted:
            self.position = quoted.end()
            return quoted.group(1) or quoted.group(2) or ""
        return self.match(_WORD)

    def match(self, pattern: re.Pattern[str]) -> str:
        self.skip_spaces()
        found = pattern.match(self.text, self.position)
        if not found:
            raise self.complaint()
        self.position = found.end()
        return found.group()

    def take(self, mark: str) -> bool:
        self.skip_spaces()
        if self.text.startswith(mark, self.position):
            self.position += len(mark)
            return True
        return False

    def take_word(self, word: str, mark: str) -> bool:
        if self.take(mark):
            return True
        found = _WORD.match(self.text, self.position)
        if found and found.group() == word:
            self.position = found.end()
            return True
        return False

    def skip_spaces(self) -> None:
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1

    def complaint(self) -> ValueError:
        return ValueError(f"The expression {self.text!r} cannot be read at character {self.position + 1}.")


def _reader_of(name: str) -> Callable[[QuerySubject], str | None] | None:
    if name.startswith("attribute:"):
        attribute = name.removeprefix("attribute:")

        def value(subject: QuerySubject) -> str | None:
            if attribute not in subject.attributes:
                return None
            return subject.attributes[attribute] or ""

        return value
    match name:
        case "ec2InstanceId":
            return lambda subject: subject.ec2_instance_id
        case "agentConnected":
            return lambda subject: str(subject.agent_connected).lower()
        case "runningTasksCount":
            return lambda subject: str(subject.running_tasks_count)
        case _:
            return None


def _ordered(value_of: Callable[[QuerySubject], str | None], operator: str, wanted: str) -> Predicate:
    if operator == "==":
        return lambda subject: value_of(subject) == wanted
    if operator == "!=":
        return lambda subject: value_of(subject) != wanted

    def compared(subject: QuerySubject) -> bool:
        have = value_of(subject)
        if have is None:
            return False
        try:
            left: float | str = float(have)
            right: float | str = float(wanted)
        except ValueError:
            left, right = have, wanted
        below, same = left < right, left == right  # type: ignore[operator]
        match operator:
            case ">":
                return not below and not same
            case ">=":
                return not below
            case "<":
                return below
            case _:
                return below or same

    return compared
