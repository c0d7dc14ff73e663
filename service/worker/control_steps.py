"""The steps of a search around its controls: which there are, and their measurements."""

from service.jobs.job_devices import OWN
from service.jobs.use_cases import get_job
from service.worker import control_lines
from service.worker.control_lines import control_name
from service.worker.flow import Flow
from service.worker.search_steps import ask_for_file
from service.worker.stage_results import of_place, read_result, round_folder


def wants_controls(flow: Flow) -> bool:
    """Step: return whether the job asks for controls."""
    with flow.context.database.reading() as session:
        return control_lines.wants_controls(get_job(session, flow.job_id).request)


def control_files(flow: Flow, number: int) -> list[str]:
    """Step: return the names of the controls that have a file to measure."""
    lines = read_result(flow, number, "controls")["controls"]
    return [line["name"] for line in lines if "path" in line]


def ask_for_control(flow: Flow, number: int, name: str, place: int = OWN) -> str:
    """Step: ask a device to time its file of a control, as it timed that of the network."""
    lines = read_result(flow, number, "controls")["controls"]
    file = of_place(next(line for line in lines if line["name"] == name), place)
    path = round_folder(flow, number) / file["path"]
    return ask_for_file(flow, path, file["sha256"], control_name(number, name, place), place)
