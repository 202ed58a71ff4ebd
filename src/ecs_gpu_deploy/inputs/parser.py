"""The parser of every command line: a wrong one is told in one sentence, with what was meant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.settings import unknown_name


class Parser(argparse.ArgumentParser):
    """argparse's parser, which raises InvalidInput instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise InvalidInput for what argparse has to say of an argument."""
        where, _, what = message.removeprefix("argument ").partition(": ")
        if what.startswith("expected "):
            raise InvalidInput(
                f"{where} has no value.",
                hint=f"Give it one; one that begins with a dash goes behind a =: {where}=--such.",
            )
        raise InvalidInput(
            f"{message[:1].upper()}{message[1:]}.", hint=f"`{self.prog} --help` lists what there is."
        )

    def parsed(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the flags; InvalidInput for one that is not there, with the nearest."""
        known, unknown = self.parse_known_args(arguments)
        if unknown:
            names = [name.replace("_", "-") for name in vars(known)]
            raise unknown_name("flag", unknown[0], names, command=self.prog.partition(" ")[2])
        return known
