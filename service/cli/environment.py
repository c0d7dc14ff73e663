"""How options of the command line become settings of child processes."""

import os
from pathlib import Path

from service.supervisor import ServeOptions

_HOST = "127.0.0.1"
_PORT = 8712


def data_folder(given: Path | None) -> Path:
    """Return the data folder: the option, EDGEWRIGHT_DATA_DIR, or ./.edgewright."""
    return (given or Path(os.environ.get("EDGEWRIGHT_DATA_DIR", ".edgewright"))).absolute()


def server_environment(data_dir: Path | None, host: str | None, port: int | None) -> ServeOptions:
    """Return what to serve, with the environment that tells the children the same."""
    folder = data_folder(data_dir)
    address = host or os.environ.get("EDGEWRIGHT_HOST", _HOST)
    number = port or int(os.environ.get("EDGEWRIGHT_PORT", _PORT))
    environment = os.environ | {
        "EDGEWRIGHT_DATA_DIR": str(folder),
        "EDGEWRIGHT_HOST": address,
        "EDGEWRIGHT_PORT": str(number),
    }
    return ServeOptions(data_dir=folder, host=address, port=number, environment=environment)
