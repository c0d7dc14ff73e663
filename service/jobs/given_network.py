"""Networks that users bring: an ONNX file in the store becomes the graph that a job is about.

Files are read by a child process: this one must not load onnx, and nobody knows what they do to it.
"""

import json
import os
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
from service.processes import die_with_parent
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
                env=_without_secrets(),
                preexec_fn=die_with_parent,
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
    digest = request.get("graph_sha256")
    graph = None if digest is None else NetworkGraph.from_dict(json.loads(store.read_bytes(digest)))
    return given_space(request, graph, task)


def given_space(
    request: Mapping[str, Any], graph: NetworkGraph | None, task: TaskShape
) -> GivenSpace:
    """Return the forms of the network of a compression.

    Args:
        request: fields of a CompressionCreate.
        graph: of a file; None: the network is a built-in one.
        task: image and classes.

    Raises:
        ValueError: the network is not for this task.
    """
    if graph is not None:
        return GivenSpace(graph=GraphGenotype(graph=graph).network(task), task=task)
    genotype = PARENTS[request["network"]](request["width"])
    return GivenSpace(graph=network_graph(genotype, task), task=task)


def _without_secrets() -> dict[str, str]:
    """Return the environment without the settings of the service, some of which are secret."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EDGEWRIGHT_")}


def _refused(why: str) -> InvalidValueError:
    """Return the error that says why; names in a file are its author's text."""
    text = "".join(letter if letter.isprintable() else " " for letter in why).strip()
    message = f"The file cannot be compressed: {text[:_LONGEST_MESSAGE]}"
    return invalid_field("/network", message, code="network-refused")
