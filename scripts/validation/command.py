"""Commands of scripts/validate, scripts/compare and scripts/regenerate.

Each command is a module with a function `main(options)`. The module's docstring is the command's help text, and its first
line is the command's line in the list. Help and arguments need the standard library alone: the module is imported after
its packages are installed.

Exit codes: 0, it passed, or it was skipped with one line that begins with "skipped"; 1, something differs or failed;
2, the command line is wrong.
"""

import argparse
import ast
import importlib
import sys

from . import environment


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Leaves texts as they are written; each command has one line in the list."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=28, width=120)


class Command:
    """A command. Subclasses say how it is called and what it needs."""

    name = ""
    # Below scripts/, as Python imports it.
    module = ""
    # Third-party modules that it imports.
    packages = ()

    def add_options(self, parser):
        """Adds the command's options to its parser."""

    def check_options(self, parser, options):
        """Ends the script with the parser's error if options contradict each other."""

    def packages_for(self, options):
        """The third-party modules that it imports with these options."""
        return self.packages

    def extras(self, options):
        """The extras of pyproject.toml that it needs with these options."""
        return environment.extras_of(self.packages_for(options))

    def run(self, options):
        """Runs the command; where it needs packages, in the virtual environment."""
        packages = self.packages_for(options)
        if packages:
            environment.enter(packages)
        importlib.import_module(self.module).main(options)

    def help(self):
        """The module's docstring, read without importing the module."""
        path = environment.SCRIPTS.joinpath(*self.module.split(".")).with_suffix(".py")
        return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def main(script, description, commands, metavar):
    """Parses the command line of scripts/SCRIPT and runs the command that it names."""
    parser = argparse.ArgumentParser(prog=f"scripts/{script}", description=description, formatter_class=Formatter)
    parser.add_argument("--list", action="store_true", help="print the names of the commands, one a line")
    listed = parser.add_subparsers(title="commands", dest="command", metavar=metavar)
    parsers = {}
    for command in commands:
        text = command.help()
        summary = text.partition("\n")[0].rstrip(".").replace("%", "%%")
        added = listed.add_parser(command.name, help=summary, description=text, formatter_class=Formatter)
        command.add_options(added)
        parsers[command.name] = command, added
    options = parser.parse_args()
    if options.list:
        print("\n".join(parsers))
        return
    if options.command is None:
        parser.error(f"name one of the commands: {', '.join(parsers)}")
    command, added = parsers[options.command]
    command.check_options(added, options)
    try:
        command.run(options)
    except KeyboardInterrupt:
        sys.exit(130)
