"""The form of tokens, and what the database knows of them."""

import stat
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from service.access.admin_token import ensure_admin_token, read_admin_token
from service.access.tokens import TokenKind, is_well_formed, new_token, token_digest
from service.access.use_cases import (
    authenticate,
    create_token,
    revoke_token,
    use_enrolment,
)
from service.database import Database
from service.errors import ConflictError, NotFoundError, UnauthenticatedError
from service.tables.token import TokenRow
from tests.service.board import enrol
from tests.service.fakes import HeldClock


class TestForm:
    @given(st.sampled_from(TokenKind))
    def test_new_tokens_are_well_formed_and_all_different(self, kind: TokenKind) -> None:
        first, second = new_token(kind), new_token(kind)
        assert first != second
        assert is_well_formed(first)
        assert first.startswith(f"ew_{kind.value}_")

    @given(st.data())
    def test_one_wrong_character_is_noticed(self, data: st.DataObject) -> None:
        token = new_token(TokenKind.USER)
        position = data.draw(st.integers(0, len(token) - 1))
        # What is drawn must not depend on the token, which is a new one in every run.
        letters = "0123456789abcdefXYZ_-"
        first, second = data.draw(st.permutations(letters).map(lambda order: order[:2]))
        character = first if first != token[position] else second
        assert not is_well_formed(token[:position] + character + token[position + 1 :])

    @given(st.text())
    def test_other_texts_are_not_tokens(self, text: str) -> None:
        assert not is_well_formed(text)


class TestUseCases:
    def test_the_secret_is_not_stored(self, database: Database, clock: HeldClock) -> None:
        with database.transaction() as session:
            issued = create_token(session, TokenKind.USER, name="ci", now=clock())
        with database.reading() as session:
            row = session.scalars(select(TokenRow)).one()
            assert row.sha256 == token_digest(issued.token)
            assert issued.token not in str(vars(row))
            principal = authenticate(session, issued.token, clock())
        assert (principal.kind, principal.name) == (TokenKind.USER, "ci")

    def test_expiry(self, database: Database, clock: HeldClock) -> None:
        with database.transaction() as session:
            issued = create_token(session, TokenKind.USER, name="x", now=clock(), lifetime_s=10)
        clock.advance(9.9)
        with database.reading() as session:
            authenticate(session, issued.token, clock())
        clock.advance(0.1)
        with database.reading() as session, pytest.raises(UnauthenticatedError) as caught:
            authenticate(session, issued.token, clock())
        assert caught.value.code == "token-expired"

    def test_revocation_is_effective_at_once(self, database: Database, clock: HeldClock) -> None:
        with database.transaction() as session:
            issued = create_token(session, TokenKind.USER, name="x", now=clock())
        with database.transaction() as session:
            revoked = revoke_token(session, issued.token_id, clock())
            first = revoked.revoked_at
        clock.advance(5)
        with database.transaction() as session:
            assert revoke_token(session, issued.token_id, clock()).revoked_at == first
            with pytest.raises(UnauthenticatedError) as caught:
                authenticate(session, issued.token, clock())
            assert caught.value.code == "token-revoked"
            with pytest.raises(NotFoundError):
                revoke_token(session, "0" * 32, clock())

    def test_enrolment_is_single_use(self, database: Database, clock: HeldClock) -> None:
        with database.transaction() as session:
            issued = create_token(session, TokenKind.ENROL, name="x", now=clock())
            use_enrolment(session, issued.token_id, clock())
        with database.transaction() as session, pytest.raises(ConflictError):
            use_enrolment(session, issued.token_id, clock())


class TestAdminToken:
    def test_made_once_and_kept(self, database: Database, clock: HeldClock, tmp_path: Path) -> None:
        path = tmp_path / "admin-token"
        assert read_admin_token(path) is None
        token = ensure_admin_token(database, path, clock)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ensure_admin_token(database, path, clock) == token == read_admin_token(path)

    def test_replaced_where_it_is_not_valid(
        self, database: Database, clock: HeldClock, tmp_path: Path
    ) -> None:
        path = tmp_path / "admin-token"
        path.write_text("ew_admin_of_another_database\n")
        token = ensure_admin_token(database, path, clock)
        with database.reading() as session:
            assert authenticate(session, token, clock()).kind is TokenKind.ADMIN
        assert [file.name for file in tmp_path.glob("*admin-token*")] == ["admin-token"]


class TestOverHttp:
    @pytest.mark.parametrize(
        "header",
        [
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Basic abc"},
            {"Authorization": "Bearer ew_admin_wrong"},
            {"Authorization": "Bearer " + "ew_admin_" + "a" * 43 + "_00000000"},
        ],
    )
    def test_without_a_valid_token(self, api: TestClient, header: dict[str, str]) -> None:
        response = api.get("/v1/devices", headers=header)
        assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")

    def test_kinds_may_do_what_they_are_for(
        self, app: FastAPI, admin: TestClient, database: Database, clock: HeldClock
    ) -> None:
        board = enrol(app, admin)
        with database.transaction() as session:
            issued = create_token(session, TokenKind.ENROL, name="x", now=clock())
        enroller = TestClient(app, headers={"Authorization": f"Bearer {issued.token}"})
        for client in (board.http, enroller):
            response = client.get("/v1/devices")
            assert (response.status_code, response.json()["code"]) == (403, "wrong-scope")
        assert admin.post("/v1/work/claim", content=b"{}").status_code == 403

    def test_a_revoked_agent_is_told_so(
        self, app: FastAPI, admin: TestClient, database: Database, clock: HeldClock
    ) -> None:
        board = enrol(app, admin)
        with database.transaction() as session:
            statement = select(TokenRow.id).where(TokenRow.device_id == board.device_id)
            revoke_token(session, session.scalars(statement).one(), clock())
        response = board.http.post("/v1/work/claim", content=b"{}")
        assert (response.status_code, response.json()["code"]) == (401, "token-revoked")
