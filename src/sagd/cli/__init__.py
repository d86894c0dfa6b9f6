"""The command line: parse, call, print; one file a command. Imports nothing heavy until a command needs it."""

from sagd.cli.program import COMMANDS, main

__all__ = ["COMMANDS", "main"]
