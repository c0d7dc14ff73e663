"""Compressions: a network that exists is to be fitted to the budget of a device."""

import json

from latency.graph import NetworkGraph
from service.artifacts.store import ArtifactStore
from service.artifacts.use_cases import record_artifact
from service.datasets.use_cases import find_dataset
from service.devices.use_cases import find_device
from service.errors import invalid_field, public_message
from service.jobs.feasibility import refuse_impossible_budget
from service.jobs.given_network import given_space
from service.jobs.schemas import CompressionCreate
from service.jobs.search_order import compress_request
from service.jobs.use_cases import JobDesk, store_job
from service.lifecycle import JobKind
from service.tables.job import JobRow


def create_compression(
    desk: JobDesk, store: ArtifactStore, order: CompressionCreate, graph: NetworkGraph | None
) -> JobRow:
    """Start a compression.

    Args:
        desk: of the caller.
        store: of the files.
        order: whose network is known to be there.
        graph: of a file, as `read_graph` returned it; None: the network is a built-in one.

    Raises:
        NotFoundError: unknown device or data set; the message names the known ones.
        InvalidValueError: the network is not for images or classes of the data set.
        BudgetInfeasibleError: the table of the device says that no plan of its layers is so fast.
    """
    device = find_device(desk.session, order.device)
    dataset = find_dataset(desk.session, order.dataset)
    values = order.model_dump(mode="json") | {"device": device.name}
    network = "" if graph is None else f"{order.network}.onnx"  # a path, later
    try:
        compress_request(values, dataset, network=network)
        space = given_space(values, graph, dataset.task)
    except ValueError as error:
        raise invalid_field("", public_message(error)) from error
    refuse_impossible_budget(desk.session, device, space, order.budget_ms, order.rows)
    if graph is not None:
        stored = store.add_bytes(json.dumps(graph.to_dict()).encode())
        record_artifact(desk.session, stored, media_type="application/json", now=desk.now)
        values["graph_sha256"] = stored.sha256
    return store_job(desk, JobKind.COMPRESS, device, values, dataset)
