"""`edgewright` and `python -m service`: the command line."""

import sys


def main() -> None:
    """Run the command line; says which role is missing where its libraries are not installed."""
    try:
        from service.cli.app import app
    except ModuleNotFoundError as error:
        sys.exit(
            f"edgewright: {error.name} is not installed. This machine has another role; the "
            "command line needs `pip install '.[client]'`, the server `pip install '.[service]'`."
        )
    app()


if __name__ == "__main__":
    main()
