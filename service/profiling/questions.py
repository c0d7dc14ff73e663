"""Questions that a table answers without a device: how long to measure, how fast is a network."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from latency.estimate.estimator import Prediction
from latency.estimate.lookup_table import TableEstimator
from latency.plan import Plan, RowPlan
from search.space.networks import AnyGenotype, network_graph
from search.space.search_space import SearchSpace
from search.space.task import TaskShape
from service.devices.use_cases import Device
from service.errors import ConflictError, invalid_field, public_message
from service.profiling import use_cases
from service.profiling.planning import CALIBRATION_NETWORKS, next_rows


@dataclass(frozen=True, kw_only=True)
class PlannedProfile:
    """What a device still has to measure before it can be searched for."""

    plan: Plan
    rows: RowPlan


@dataclass(frozen=True, kw_only=True)
class TablePrediction:
    """A prediction and the table that it comes from."""

    table_id: str
    prediction: Prediction


def plan_profile(
    session: Session, device: Device, space: SearchSpace, *, held_out: int, rows: int
) -> PlannedProfile:
    """Return what a profile of a space would measure first, and the time that it will take.

    Args:
        session: to read from.
        device: whose table is planned.
        space: what the table has to price.
        held_out: whole networks of each regime that judge the table.
        rows: that the table is to have for the space at most.

    Raises:
        InvalidValueError: there is no such space.
    """
    target = device.target
    known = use_cases.measured_operators(session, device.target_fingerprint)
    costs = use_cases.measuring_costs(session, device.target_fingerprint)
    try:
        planned = next_rows(space, target, known, {}, costs, rows)
    except ValueError as error:
        raise invalid_field("/channels", public_message(error)) from error
    networks = (CALIBRATION_NETWORKS + held_out) * (2 if target.has_library else 1)
    plan = Plan(operators=planned.operators, networks=networks, costs=costs)
    return PlannedProfile(plan=plan, rows=planned)


def predict_latency(
    session: Session, device: Device, genotype: AnyGenotype, task: TaskShape
) -> TablePrediction:
    """Return the predicted latency of a network on what a device is now.

    Raises:
        ConflictError: the device has no table yet, all were withdrawn, or none can price these
            operators.
        InvalidValueError: the genotype is no network for this task.
    """
    row = use_cases.latest_table(session, device.id)
    if row is None:
        raise ConflictError(_no_table(session, device), code="no-table")
    try:
        graph = network_graph(genotype, task)
    except ValueError as error:
        raise invalid_field("/genotype", public_message(error)) from error
    estimator = TableEstimator(use_cases.load_table(session, row.id))
    try:
        prediction = estimator.predict(graph)
    except ValueError as error:
        raise ConflictError(public_message(error), code="unpriced-operators") from error
    return TablePrediction(table_id=row.id, prediction=prediction)


def _no_table(session: Session, device: Device) -> str:
    versions = use_cases.count_versions(session, device.target_fingerprint)
    if versions == 0:
        return "This device has no latency table yet: profile it first (`edgewright profile`)."
    return (
        f"Every latency table of this device was withdrawn ({versions} of {versions} versions), because "
        "what it rested on cannot be trusted: profile it again (`edgewright profile`)."
    )
