"""Installs the peers that are named: `python -m benchmarks.peers cc2dataset daft`."""

from __future__ import annotations

import sys

from benchmarks.peers import HERE, install, missing


def main() -> int:
    """Install them; 2 where one is not known."""
    known = sorted(path.stem for path in HERE.glob("*.txt"))
    names = sys.argv[1:]
    if not names or not set(names) <= set(known):
        print(f"name some of {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names:
        print(install(name))
    for line in missing(*names):
        print(line, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
