"""What tables are made of: their metadata, and types that every database stores alike."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Column, Dialect, MetaData, String, TypeDecorator

from trunkline.domain.ids import instant, micros

metadata = MetaData()

SID_LENGTH = 34
POSITION_LENGTH = 32
ADDRESS_LENGTH = 128
FLOW_LENGTH = 9


class Instant(TypeDecorator[datetime]):
    """An aware UTC time, stored as microseconds since 1970 on every database alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return what the database stores."""
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the aware time."""
        return None if value is None else instant(value)


class Money(TypeDecorator[Decimal]):
    """An amount in the price unit, stored as millionths."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """Return what the database stores."""
        return None if value is None else int((value * 1_000_000).to_integral_value())

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        """Return the amount."""
        return None if value is None else Decimal(value) / 1_000_000


def sid_column(name: str, *, key: bool = False, nullable: bool = False) -> Column[str]:
    """Return a column that holds a SID."""
    return Column(name, String(SID_LENGTH), primary_key=key, nullable=nullable)
