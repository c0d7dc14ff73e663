"""`python -m latency.lowering.describe < MODEL.onnx`: the network of an ONNX model as JSON, without weights.

For processes that must not load onnx, nor trust a file from outside: whatever it does to whoever
reads it, it does here. Exit status: 0 with the `NetworkGraph` on standard output, 65 refused with one
line on standard error that says why.
"""

import json
import sys

from latency.lowering.read_model import parse_model, read_model

REFUSED_EXIT = 65  # EX_DATAERR: a fault of ours is 1


def main() -> int:
    """Run the command; return its exit status."""
    try:
        graph = read_model(parse_model(sys.stdin.buffer.read())).graph
    except ValueError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return REFUSED_EXIT
    sys.stdout.write(json.dumps(graph.to_dict()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
