"""The worker: flows that carry a job from its order to its certificate."""
