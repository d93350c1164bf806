"""How PostgreSQL is reached: libpq's own addresses, and connections that carry no session state.

Rules: whatever a transaction needs is set within it, so that a pooler may stand in between; texts
are compared by their bytes, however the database sorts; no error shows a password or a row.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.string import StrDumper
from sqlalchemy import Column, Connection, Engine, create_engine, event
from sqlalchemy.dialects.postgresql.base import PGTypeCompiler
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from trunkline.store.bulk import send_rows_together

SCHEMES = ("postgresql", "postgres")
CONNECT_SECONDS_MAX = 5  # For each host of the list; a failover asks the next one then.
# A server that is cut off is noticed after about 25 seconds, also where nothing is sent.
_DEFAULTS = {
    "application_name": "trunkline",
    "client_encoding": "utf8",
    "connect_timeout": str(CONNECT_SECONDS_MAX),
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
# Options of ours in an address, which libpq would not know.
_PREPARE = "prepare"
SPARE_MAX = 10  # Beside the writer: media that are kept or served, and preparations.
PREPARE_MAX = 1000  # Executions before a statement is prepared; more means never.

BEGIN = "BEGIN"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is; prepare_after None leaves every statement unprepared."""

    conninfo: str
    prepare_after: int | None = None


def parse_address(text: str) -> Address:
    """Return what a postgresql:// URL says; raises ValueError with a reason that shows no secret.

    The URL is libpq's, several hosts included. `prepare=N` is ours: a statement is prepared on the
    server once it was executed N times, which poolers before PgBouncer 1.21 do not survive.
    """
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        prepare = options.pop(_PREPARE, None)
        plain = urlunsplit(parts._replace(query=urlencode(options)))
        given = conninfo_to_dict(plain)
    except (ValueError, psycopg.Error) as error:
        raise ValueError("it is no address that PostgreSQL's own programs would take") from error
    if parts.scheme not in SCHEMES:
        raise ValueError("it does not begin with postgresql://")
    if prepare is not None and not (prepare.isdecimal() and 1 <= int(prepare) <= PREPARE_MAX):
        raise ValueError(f"prepare is no number from 1 to {PREPARE_MAX}")
    values: dict[str, Any] = {**_DEFAULTS, **given}
    if "," in str(values.get("host") or values.get("hostaddr") or ""):
        values.setdefault("target_session_attrs", "read-write")
    return Address(make_conninfo(**values), None if prepare is None else int(prepare))


def open_engine(
    address: Address, *, opening: str = BEGIN, connections: int = 1, more: int = SPARE_MAX
) -> Engine:
    """Return an engine whose transactions begin with the statements *opening*.

    A connection may have others instead, under the execution option of that name. *connections*
    stay open once they were needed; as many *more* are closed again after their use.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        pool_size=connections,
        max_overflow=more,
        pool_pre_ping=more > 0,  # Whoever has a connection now and then does not look for trouble.
        isolation_level="AUTOCOMMIT",  # The BEGIN is ours, with what belongs to it.
        use_native_hstore=False,
        hide_parameters=True,  # Texts and numbers stay out of the logs of failed statements.
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )
    engine.dialect.type_compiler_instance = _Types(engine.dialect)
    send_rows_together(engine)

    @event.listens_for(engine, "do_connect", named=True)
    def connect(*, cparams: dict[str, Any], **others: object) -> psycopg.Connection:
        connection = psycopg.connect(
            address.conninfo, **cparams, prepare_threshold=address.prepare_after
        )
        connection.adapters.register_dumper(str, _TextDumper)
        return connection

    @event.listens_for(engine, "begin")
    def begin(db: Connection) -> None:
        statements = db.get_execution_options().get("opening", opening)
        send(db, statements)

    event.listen(engine, "handle_error", _hide_rows)
    return engine


def send(db: Connection, statements: str) -> None:
    """Send statements without parameters in one go; the server answers them together."""
    db.exec_driver_sql(statements, execution_options={"no_parameters": True})


class _Types(PGTypeCompiler):
    """Declares every text as one whose order is that of its bytes, as SQLite's is."""

    def _render_string_type(
        self, *arguments: Any, type_expression: object = None, **options: Any
    ) -> str:
        text = super()._render_string_type(*arguments, **options)
        return f'{text} COLLATE "C"' if isinstance(type_expression, Column) else text


class _TextDumper(StrDumper):
    """Puts a replacement where a text has NUL, which PostgreSQL cannot keep."""

    def dump(self, obj: str) -> Any:
        """Return the text as it is sent."""
        return super().dump(obj.replace("\0", "\ufffd"))


def _hide_rows(context: ExceptionContext) -> None:
    """Cut a server's message to its first line: those that follow quote the row."""
    shown = reason(context.original_exception)
    context.original_exception.args = (shown,)
    if context.sqlalchemy_exception is not None:
        kind = type(context.original_exception).__name__
        context.sqlalchemy_exception.args = (f"({kind}) {shown}",)


def reason(error: BaseException) -> str:
    """Return in one line what the server or libpq says of an error."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    lines = str(error).strip().splitlines() or [type(error).__name__]
    telling = [line for line in lines if "FATAL:" in line] or lines
    return re.sub(r"\s+", " ", telling[0]).strip()
