"""Say whether the operator library was built: `python -m latency.kernels`."""

import sys

from latency.kernels.library import instruction_set, library_path, library_version


def main() -> None:
    """Print where the library is, its version and its instruction set."""
    try:
        path = library_path()
        if path is None:
            print("operator library: not built (no C++ compiler?); models run dense")
        else:
            print(f"operator library: {path}, version {library_version()}, {instruction_set()}")
    except ValueError as error:
        sys.exit(f"operator library: {error}")


if __name__ == "__main__":
    main()
