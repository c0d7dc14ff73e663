"""Networks that users bring: an ONNX file in the store becomes the graph that a job is about.

Files are read by a child process: this one must not load onnx, and nobody knows what they do to it.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from latency.graph import NetworkGraph
from search.space.given_space import GivenSpace
from search.space.graph_genotype import GraphGenotype, refuse_untrainable
from search.space.networks import network_graph
from search.space.rivals import PARENTS
from search.space.search_space import SearchSpace
from search.space.task import TaskShape
from service.artifacts.store import ArtifactStore
from service.artifacts.use_cases import get_artifact, open_artifact
from service.errors import InvalidValueError, invalid_field
from service.profiling.planning import profiled_space
from service.shapes import SHA256_PATTERN

_REFUSED_EXIT = 65  # of latency.lowering.describe
_TIMEOUT_S = 60.0
_LONGEST_MESSAGE = 4000  # it lists every node that cannot be read


def is_built_in(network: str) -> bool:
    """Return whether a compression starts from a network that comes with the product."""
    return network in PARENTS


def check_network(session: Session, network: str) -> None:
    """Refuse what is neither the name of a network nor the digest of a file that is there.

    Raises:
        InvalidValueError: the message lists the names.
        NotFoundError: there is no such file.
    """
    if is_built_in(network):
        return
    if not re.fullmatch(SHA256_PATTERN, network):
        raise invalid_field(
            "/network",
            f"Must be one of {', '.join(PARENTS)}, or the SHA-256 of an ONNX file that was stored by "
            "POST /v1/artifacts",
        )
    get_artifact(session, network)


def read_graph(store: ArtifactStore, sha256: str) -> NetworkGraph:
    """Return the network of a stored ONNX file; takes a second, so never in a transaction.

    Raises:
        InvalidValueError: it is no network that can be read and trained; the message lists what is
            in the way, by node.
        ArtifactUnavailableError: the file is damaged.
    """
    with open_artifact(store, sha256) as file:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "latency.lowering.describe"],
                stdin=file,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _refused(f"reading it took longer than {_TIMEOUT_S:g} s") from error
    if done.returncode == _REFUSED_EXIT:
        raise _refused(done.stderr.decode(errors="replace"))
    if done.returncode != 0:
        raise _refused("reading it ended the process that read it")
    graph = NetworkGraph.from_dict(json.loads(done.stdout))
    try:
        refuse_untrainable(graph)
    except ValueError as error:
        raise _refused(str(error)) from error
    return graph


def job_space(store: ArtifactStore, request: Mapping[str, Any], task: TaskShape) -> SearchSpace:
    """Return the networks that a job of any kind needs a table of.

    Raises:
        ValueError: the request does not fit the task, or the size of its space is out of range.
    """
    if "network" not in request:
        return profiled_space(dict(request), task)
    if is_built_in(request["network"]):
        genotype = PARENTS[request["network"]](request["width"])
        return GivenSpace(graph=network_graph(genotype, task), task=task)
    graph = NetworkGraph.from_dict(json.loads(store.read_bytes(request["graph_sha256"])))
    return GivenSpace(graph=GraphGenotype(graph=graph).network(task), task=task)


def _refused(why: str) -> InvalidValueError:
    """Return the error that says why; names in a file are its author's text."""
    text = "".join(letter if letter.isprintable() else " " for letter in why).strip()
    message = f"The file cannot be compressed: {text[:_LONGEST_MESSAGE]}"
    return invalid_field("/network", message, code="network-refused")
