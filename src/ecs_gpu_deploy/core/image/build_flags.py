"""Flags of the image builder that a user passes on, and what each builder can do of what is asked.

Source: the reference of `docker buildx build` in github.com/docker/buildx, Podman's manual page podman-build.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ecs_gpu_deploy.core.definition.secret_text import hidden
from ecs_gpu_deploy.core.text import nearest, plain
from ecs_gpu_deploy.errors import InvalidInput

SET_UP_BUILDX: Final = "Set up buildx (docker/setup-buildx-action)"
_NEWER: Final = "Use a newer buildx (docker/setup-buildx-action)"
_OURS: Final[Mapping[str, str]] = {
    "annotation": "the input annotations",
    "attest": "the inputs provenance and sbom",
    "build-arg": "the input build-args",
    "build-context": "the input build-contexts",
    "builder": "the environment variable BUILDX_BUILDER",
    "cache-from": "the inputs cache and cache-image",
    "cache-to": "the inputs cache and cache-image",
    "file": "the input dockerfile",
    "label": "the input image-labels",
    "build-arg-file": "the input build-args",
    "network": "the input build-network",
    **dict.fromkeys(("platform", "all-platforms", "arch", "os", "variant"), "the input platforms"),
    "provenance": "the input provenance",
    "sbom": "the input sbom",
    "secret": "the inputs build-secrets and build-secret-files",
    "ssh": "the input ssh",
    "tag": "the inputs image-tag and extra-tags",
    "target": "the input target",
}
"""Flag → what stands for it here."""
_NEVER: Final[Mapping[str, str]] = {
    **dict.fromkeys(("load", "push", "output", "manifest"), "where the image goes is this program's part"),
    **dict.fromkeys(("metadata-file", "iidfile"), "the outputs image and image-digest tell the image"),
    **dict.fromkeys(("progress", "quiet", "logfile"), "the program reads the builder's progress"),
    **dict.fromkeys(("creds", "authfile"), "the program logs in by itself, and Docker's own logins hold"),
    **dict.fromkeys(("call", "check", "print", "help", "list-targets"), "with it nothing is built"),
}
"""Flag → why it cannot be passed on."""
_SHORT: Final[Mapping[str, str]] = {
    "t": "tag",
    "f": "file",
    "o": "output",
    "q": "quiet",
    "h": "help",
    "m": "memory",
    "c": "cpu-shares",
    "D": "debug",
}
_OF_BUILDX: Final = frozenset(
    {
        *("add-host", "allow", "cgroup-parent", "debug", "no-cache", "no-cache-filter", "policy", "pull"),
        *("shm-size", "ulimit"),
    }
)
_OF_OTHERS: Final = frozenset(
    {
        *("compress", "cpu-period", "cpu-quota", "cpu-shares", "cpuset-cpus", "cpuset-mems", "force-rm"),
        *("isolation", "memory", "memory-swap", "rm", "security-opt", "squash"),
    }
)
_ONCE: Final = frozenset({"no-cache", "no-cache-filter", "pull"})
"""Flags for the build alone: the push after it finds every step in the builder's cache."""
_FLAG: Final = re.compile(r"(?:--([a-z][a-z0-9-]*)|-([A-Za-z]))(?:=(.*))?", re.DOTALL)
_ATTACHED: Final = re.compile(r"(-[tfomc])([^=].*)", re.DOTALL)
"""A short flag with its value in the same word, as -tNAME."""
_HINT: Final = "Write one flag of `docker buildx build` a line, such as --add-host=db:10.0.0.1."


def build_flags(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the flags that *lines* hold, each as --flag or --flag=value; raise InvalidInput.

    Refused is what has an input of its own, and what would take the build out of our hands.
    """
    return tuple(map(_flag, lines))


def _flag(line: str) -> str:
    try:
        first, *values = shlex.split(line)
    except ValueError as error:
        _check_name(_name_and_value(line.partition(" ")[0].strip("\"'"))[0])
        raise _wrong(line, f"cannot be split as a shell does ({error})") from error
    name, value = _name_and_value(first)
    if not name:
        raise _wrong(line, "is no flag")
    _check_name(name)
    if len(values) > 1 or (values and (value is not None or values[0].startswith("-"))):
        raise _wrong(line, "is more than one flag and its value")
    return "=".join([f"--{name}", *values, *([] if value is None else [value])])


def _name_and_value(word: str) -> tuple[str, str | None]:
    """Return the long name of the flag that *word* is, "" for none, and the value that stands in it."""
    if attached := _ATTACHED.fullmatch(word):
        return _SHORT[attached[1].removeprefix("-")], attached[2]
    found = _FLAG.fullmatch(word)
    if found is None:
        return "", None
    long, short, value = found.groups()
    return long or _SHORT.get(short, short), value


def _check_name(name: str) -> None:
    """Raise InvalidInput for a flag that is not the user's to give."""
    if ours := _OURS.get(name):
        raise InvalidInput(f"build-options has --{name}, which has its own place here.", hint=f"Use {ours}.")
    if why := _NEVER.get(name):
        raise InvalidInput(f"build-options has --{name}, and {why}.", hint="Leave it out.")


def _wrong(line: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"build-options has the line {plain(hidden(line), limit=60)!r}, which {why}.", hint=_HINT
    )


def flags_of_push(flags: Iterable[str]) -> tuple[str, ...]:
    """Return those of *flags* that the push of what was built gets as well."""
    return tuple(flag for flag in flags if _name(flag) not in _ONCE)


def _name(flag: str) -> str:
    return flag.removeprefix("--").partition("=")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """What builds: `name` as people call it, `known` the flags that its help names, none where it is silent.

    `attests`: it makes images with attestations. `is_docker_driver`: it is buildx over the daemon's own
    builder.
    """

    name: str
    is_buildx: bool = False
    known: frozenset[str] = frozenset()
    attests: bool = False
    is_docker_driver: bool = False


def flags_in_help(lines: Iterable[str]) -> frozenset[str]:
    """Return the long flags that the help of a command line names."""
    found = (re.match(r" {0,8}(?:-\w, )?--([a-z][a-z0-9-]*)", line) for line in lines)
    return frozenset(one[1] for one in found if one)


def check_builder(builder: Builder, wanted: Mapping[str, str], flags: Iterable[str]) -> None:
    """Raise InvalidInput for what *builder* cannot do: *wanted* maps flags to the inputs that ask for them.

    *flags* are those of build-options.
    """
    for flag in ("provenance", "sbom"):
        if flag in wanted and not builder.attests:
            raise _no_attestation(builder, flag)
    if not builder.known:
        return
    for flag, name in wanted.items():
        if flag not in builder.known:
            newer = "a newer one is needed" if builder.is_buildx else "it needs buildx"
            hint = _NEWER if builder.is_buildx else SET_UP_BUILDX
            raise InvalidInput(
                f"{name} is given, and {builder.name} has no --{flag}: {newer}.",
                hint=f"{hint}, or leave {name} out.",
            )
    for name in map(_name, flags):
        if name not in builder.known:
            raise _unknown(builder, name)


def _no_attestation(builder: Builder, name: str) -> InvalidInput:
    if builder.is_docker_driver:
        return InvalidInput(
            f"{name} is given, and the builder of Docker's daemon makes no attestations.",
            hint=f"{SET_UP_BUILDX}: its builder does. Or turn on the daemon's containerd image store.",
        )
    return InvalidInput(
        f"{name} is given, and {builder.name} makes no attestations: it needs buildx.",
        hint=f"{SET_UP_BUILDX}, or leave {name} out.",
    )


def _unknown(builder: Builder, name: str) -> InvalidInput:
    what = f"build-options has --{name}, which {builder.name} does not know"
    if name in _OF_BUILDX and not builder.is_buildx:
        return InvalidInput(f"{what}: it needs buildx.", hint=f"{SET_UP_BUILDX}, or leave it out.")
    if name in _OF_BUILDX:
        return InvalidInput(f"{what}.", hint=f"{_NEWER}.")
    if name in _OF_OTHERS:
        return InvalidInput(f"{what}: other builders have it.", hint="Leave it out.")
    near = nearest(name, builder.known - _OURS.keys() - _NEVER.keys())
    return InvalidInput(f"{what}.", hint=f"Did you mean --{near}?" if near else _HINT)
