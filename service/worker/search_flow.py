"""The flows that make a network, from the order to the certificate; read them from top to bottom.

A search:

table of each device -> can its budget be met? -> search, unless the network is given
  -> up to three rounds: derive -> measure with random weights -> over budget: tighten
     -> train -> export -> measure the file itself -> over budget: tighten
     a measurement over the budget that was disturbed, or that nobody expected, is made again first
  -> the file beside its dense parent, in the same processes
     (measured is on each device, budgets are tightened device by device)
  -> if asked for: controls trained, and their files measured
  -> if asked for: a front of candidates from the same supernet, measured with random weights
  -> certificate

A compression, whose one stage trains, plans, prunes and exports:

table of the device for the layers of the network -> can its budget be met?
  -> up to three rounds: compress -> measure the file itself -> over budget: tighten
  -> the file beside its dense parent -> certificate
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.errors import BudgetInfeasibleError
from service.jobs.job_devices import OWN, places
from service.worker import control_steps, front_steps
from service.worker import search_steps as steps
from service.worker.device_work import wait_for_device
from service.worker.flow import Flow, JobFailedError
from service.worker.space_table import ensure_table
from service.worker.stages import (
    COMPRESS_STAGE,
    FRONT_STAGE,
    SEARCH_STAGE,
    StageOrder,
    run_stage,
)

MOST_ROUNDS = 3

Tighten = tuple[float, ...]  # factors on the budgets, device by device


async def search_flow(flow: Flow, stage_flow: Callable[..., Any]) -> None:
    """Carry one search job to its certificate.

    Raises:
        JobFailedError: it cannot be done.
        JobStoppedError: it was cancelled.
    """
    devices = int(await flow.step(steps.count_devices))
    for place in places(devices):
        await ensure_table(flow, place)
    priority = int(await flow.step(steps.check_feasible))
    training = _Training(flow=flow, stage_flow=stage_flow, priority=priority, devices=devices)
    last, tighten = await _make_network(training)
    for place in places(devices):
        await wait_for_device(flow, await flow.step(steps.ask_for_comparison, last, place))
    if await flow.step(control_steps.wants_controls):
        await training.run("controls", last, tighten)
        await measure_controls(flow, last, devices)
    if await flow.step(front_steps.wants_front):
        await training.run(FRONT_STAGE, last, tighten)
        await measure_front(flow, last, devices)
    await flow.step(steps.finish, last)


async def compress_flow(flow: Flow, stage_flow: Callable[..., Any]) -> None:
    """Carry one compression to its certificate.

    Raises:
        JobFailedError: it cannot be done.
        JobStoppedError: it was cancelled.
    """
    await ensure_table(flow)
    priority = int(await flow.step(steps.check_feasible))
    training = _Training(flow=flow, stage_flow=stage_flow, priority=priority, devices=1)
    last = 0
    tighten: Tighten = (1.0,)
    for number in range(MOST_ROUNDS):
        if not await _is_derived(training, number, tighten, COMPRESS_STAGE):
            break  # no plan is tighter than that of the round before
        last = number
        tighter = await _measure(training, steps.ask_for_model, number, tighten)
        if tighter is None:
            break
        tighten = tighter
    await wait_for_device(flow, await flow.step(steps.ask_for_comparison, last))
    await flow.step(steps.finish, last)


async def _make_network(training: "_Training") -> tuple[int, Tighten]:
    """Search, and go through the rounds; returns the last one and the factors on its budgets."""
    rounds = 1  # a network that is given can only be taken as it is
    if not await training.flow.step(steps.is_given):
        await training.run(SEARCH_STAGE)
        rounds = MOST_ROUNDS
    before = tighten = (1.0,) * training.devices
    last = 0
    for last in range(rounds):
        is_last = last == rounds - 1
        if not await _is_derived(training, last, tighten):
            await training.run("derive", last, before)
            tighten, is_last = before, True
        tighter = await _one_round(training, last, tighten, is_last=is_last)
        if tighter is None:
            break
        before, tighten = tighten, tighter
    return last, tighten


async def _is_derived(
    training: "_Training", number: int, tighten: Tighten, stage: str = "derive"
) -> bool:
    """Derive a network; whether there is one. Budgets tightened one by one may be too much together.

    Raises:
        JobFailedError: already the budgets that were asked for cannot be met together.
    """
    try:
        await training.run(stage, number, tighten)
    except JobFailedError as failure:
        if number == 0 or failure.error.get("code") != BudgetInfeasibleError.default_code:
            raise
        return False
    return True


async def _one_round(
    training: "_Training", number: int, tighten: Tighten, *, is_last: bool
) -> Tighten | None:
    """Make the derived network; returns factors on the budgets for the next round, None when done."""
    tighter = await _measure(training, steps.ask_for_graph, number, tighten)
    if tighter is not None and not is_last:
        return tighter
    await training.run("train", number, tighten)
    await training.run("export", number, tighten)
    tighter = await _measure(training, steps.ask_for_model, number, tighten)
    return None if is_last else tighter


async def _measure(
    training: "_Training",
    ask: Callable[[Flow, int, int, int], str],
    number: int,
    tighten: Tighten,
) -> Tighten | None:
    """Have a network measured on each device; returns tighter factors where that is of use."""
    flow = training.flow
    found: list[float | None] = []
    for place in places(training.devices):
        units = await measure_in_tries(flow, ask, number, place)
        found.append(await flow.step(steps.judge, units, number, place))
    if all(tighter is None for tighter in found):
        return None
    pairs = zip(tighten, found, strict=True)
    return tuple(before if tighter is None else tighter for before, tighter in pairs)


async def measure_in_tries(
    flow: Flow, ask: Callable[[Flow, int, int, int], str], number: int, place: int = OWN
) -> list[str]:
    """Have a network measured, and again while the result is in doubt; returns the units."""
    units: list[str] = []
    while True:
        unit_id: str = await flow.step(ask, number, len(units), place)
        await wait_for_device(flow, unit_id)
        units = [*units, unit_id]
        if not await flow.step(steps.is_doubtful, units, number, place):
            return units


async def measure_controls(flow: Flow, number: int, devices: int) -> None:
    """Have the files of each control measured; one that cannot be is noted, and nothing else."""
    for name in await flow.step(control_steps.control_files, number):
        for place in places(devices):
            unit_id: str = await flow.step(control_steps.ask_for_control, number, name, place)
            await _wait_or_note(flow, unit_id, f"control {name}", place)


async def measure_front(flow: Flow, number: int, devices: int) -> None:
    """Have each candidate of the front measured; one that cannot be is noted, and nothing else."""
    for index in await flow.step(front_steps.front_candidates, number):
        for place in places(devices):
            unit_id: str = await flow.step(front_steps.ask_for_candidate, number, index, place)
            await _wait_or_note(flow, unit_id, f"candidate {index} of the front", place)


async def _wait_or_note(flow: Flow, unit_id: str, what: str, place: int) -> None:
    try:
        await wait_for_device(flow, unit_id)
    except JobFailedError as failure:  # the network is done all the same
        await flow.step(steps.note_unmeasured, what, failure.error, place)


@dataclass(frozen=True, kw_only=True)
class _Training:
    """Runs the stages of one job."""

    flow: Flow
    stage_flow: Callable[..., Any]
    priority: int
    devices: int  # that the network is for

    async def run(self, stage: str, round_number: int = 0, tighten: Tighten = ()) -> None:
        order = StageOrder(
            job_id=self.flow.job_id,
            attempt=self.flow.attempt,
            stage=stage,
            round_number=round_number,
            tighten=tighten,
        )
        await run_stage(self.stage_flow, order, self.priority)
