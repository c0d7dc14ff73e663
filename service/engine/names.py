"""Names that API and workers must agree on, since they meet only in the database."""

APPLICATION = "edgewright"
# DBOS runs recovered work only on a worker of the same version and derives its default from the
# sources, so every upgrade would strand running jobs. Ours changes when flows change shape.
APPLICATION_VERSION = "1"

FLOW_QUEUE = "flow"  # one entry per job; waiting for a device holds no slot
TRAINER_QUEUE = "trainer"  # one entry per training stage; one at a time and worker

SEARCH_FLOW = "search"
PROFILE_FLOW = "profile"
VERIFY_FLOW = "verify"
COMPRESS_FLOW = "compress"
STAGE_FLOW = "trainer-stage"

DEVICE_TOPIC = "device"  # messages that a work unit of the job has ended

MAX_RECOVERIES = 20  # take-overs of one job after which it counts as the killer of its workers
