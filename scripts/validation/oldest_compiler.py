"""Checks that no dependency asks for a newer compiler than bindscan does.

usage: cargo metadata --format-version 1 --locked | oldest_compiler.py VERSION
"""

import json
import sys


def key(version):
    """A version as numbers: 1.92 is 1.92.0."""
    numbers = [int(number) for number in version.split(".")]
    return numbers + [0] * (3 - len(numbers))


def main():
    oldest = sys.argv[1]
    packages = json.load(sys.stdin)["packages"]
    asking = [package for package in packages if package["rust_version"]]
    newer = [package for package in asking if key(package["rust_version"]) > key(oldest)]
    for package in newer:
        print(f"{package['name']} {package['version']} asks for Rust {package['rust_version']}", file=sys.stderr)
    if newer:
        sys.exit(f"Cargo.toml says that Rust {oldest} is enough: raise rust-version, or hold these back")
    print(f"none of {len(packages)} packages asks for a newer compiler than Rust {oldest}")


if __name__ == "__main__":
    main()
