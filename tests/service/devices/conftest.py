"""One enrolled device."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.service.board import Board, enrol


@pytest.fixture
def board(app: FastAPI, admin: TestClient) -> Board:
    return enrol(app, admin)
