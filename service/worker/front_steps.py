"""The steps of a search around its front: which candidates there are, and their measurements."""

from latency.graph import NetworkGraph
from latency.messages import VerifyWork
from service.jobs.job_devices import OWN
from service.jobs.use_cases import get_job
from service.worker import front_lines
from service.worker.device_work import ask_device
from service.worker.flow import Flow
from service.worker.front_lines import candidate_name
from service.worker.stage_results import of_place, read_result


def wants_front(flow: Flow) -> bool:
    """Step: return whether the job asks for a front."""
    with flow.context.database.reading() as session:
        return front_lines.wants_front(get_job(session, flow.job_id).request)


def front_candidates(flow: Flow, number: int) -> list[int]:
    """Step: return the numbers of the candidates of a round."""
    return list(range(len(read_result(flow, number, "front")["candidates"])))


def ask_for_candidate(flow: Flow, number: int, index: int, place: int = OWN) -> str:
    """Step: ask a device to time a candidate with random weights, as it timed the network."""
    found = of_place(read_result(flow, number, "front")["candidates"][index], place)
    work = VerifyWork(
        name=candidate_name(number, index, place), graph=NetworkGraph.from_dict(found["graph"])
    )
    with flow.job() as (session, job):
        return ask_device(flow, session, job, work, place)
