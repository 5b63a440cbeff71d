"""Beam's pool of Python workers on one address: `worker_pool.py 127.0.0.2:50000`.

Beam's own entry point listens on all interfaces, so a machine could hold only one pool, and every
TaskManager needs its own: all TaskManagers give their workers the same names, and in a pool shared
by two, the first to finish stops the other's workers.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer


def serve(address: str) -> None:
    """Starts and stops workers for whoever asks at `address`, until it is killed."""
    server = grpc.server(ThreadPoolExecutor())
    servicer = BeamFnExternalWorkerPoolServicer(use_process=True)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(sys.argv[1])
