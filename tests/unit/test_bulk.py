"""Statements for many rows: which are put together into one for PostgreSQL, and which never."""

import pytest

from trunkline.store.bulk import plan_for

ROWS = "json_to_recordset(%s::json) AS v"


def test_an_insert_takes_all_its_rows_from_one_document() -> None:
    """A document within a row is carried as its text."""
    plan = plan_for("INSERT INTO t (a, doc) VALUES (%(a)s::BIGINT, %(doc)s::JSON)")
    assert plan is not None
    assert plan.statement == (
        f"INSERT INTO t (a, doc) SELECT v.a, v.doc::JSON FROM {ROWS}(a BIGINT, doc TEXT)"
    )
    assert plan.keys == ()


def test_a_conflict_must_not_be_between_rows_of_ours() -> None:
    """PostgreSQL refuses to change a row twice in a statement."""
    tail = " ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE t.b != excluded.b"
    plan = plan_for(f"INSERT INTO t (a, b) VALUES (%(a)s::VARCHAR, %(b)s::VARCHAR){tail}")
    assert plan is not None
    assert plan.statement.endswith(tail)
    assert plan.keys == ("a",)


def test_an_update_finds_its_rows_by_what_stays() -> None:
    """A column that changes tells nothing of whether two of our rows mean the same one."""
    plan = plan_for(
        "UPDATE t SET state=%(new)s::VARCHAR, n=(t.n + %(n_1)s::INTEGER)"
        " WHERE t.sid = %(sid)s::VARCHAR AND t.state = %(old)s::VARCHAR AND t.kind = 'x'"
    )
    assert plan is not None
    assert plan.statement == (
        "UPDATE t SET state=v.new, n=(t.n + v.n_1)"
        f" FROM {ROWS}(new VARCHAR, n_1 INTEGER, sid VARCHAR, old VARCHAR)"
        " WHERE t.sid = v.sid AND t.state = v.old AND t.kind = 'x'"
    )
    assert plan.keys == ("sid",)


def test_a_row_may_be_deleted_twice() -> None:
    """It is gone all the same."""
    plan = plan_for("DELETE FROM t WHERE t.a = %(a)s::VARCHAR AND t.b = %(b)s::VARCHAR")
    assert plan is not None
    assert plan.statement == (
        f"DELETE FROM t USING {ROWS}(a VARCHAR, b VARCHAR) WHERE t.a = v.a AND t.b = v.b"
    )
    assert plan.keys == ()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t (a) VALUES (%(a)s::BYTEA)",
        "INSERT INTO t (a) VALUES (%(a)s)",
        "INSERT INTO t (a) VALUES (%(a)s::VARCHAR) RETURNING t.a",
        "INSERT INTO t (a) VALUES (%(a)s::VARCHAR) ON CONFLICT (b) DO UPDATE SET a = excluded.a",
        "INSERT INTO t (a) VALUES (%(a)s::VARCHAR) ON CONFLICT (a) DO UPDATE SET b = %(b)s::TEXT",
        "UPDATE t SET a=%(a)s::VARCHAR WHERE t.b <= %(b)s::VARCHAR",
        "UPDATE t SET a=%(a)s::VARCHAR WHERE t.a = %(b)s::VARCHAR",
        "UPDATE t SET a=%(a)s::VARCHAR WHERE t.b = %(b)s::VARCHAR OR t.c = %(c)s::VARCHAR",
        "UPDATE t SET a=(SELECT b FROM u WHERE u.a = 1) WHERE t.b = %(b)s::VARCHAR",
        "DELETE FROM t WHERE t.a > %(a)s::VARCHAR",
        "DELETE FROM t WHERE t.a = 1",
        "SELECT a FROM t WHERE t.a = %(a)s::VARCHAR",
    ],
)
def test_what_is_not_known_goes_the_driver_s_way(statement: str) -> None:
    """One row after the other."""
    assert plan_for(statement) is None
