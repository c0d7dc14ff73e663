"""`edgewright` and `python -m service`: the command line."""


def main() -> None:
    """Run the command line."""
    from service.cli.app import app

    app()


if __name__ == "__main__":
    main()
