"""The product: API, jobs, devices, artifacts, worker, client and command line."""
