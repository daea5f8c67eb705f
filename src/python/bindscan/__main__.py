"""The `bindscan` command."""

import sys

from . import _bindscan


def main() -> None:
    """Run the command line, and exit with its status."""
    sys.exit(_bindscan.main(["bindscan", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
