import pytest
from django.db import connection


@pytest.mark.django_db
def test_no_column_of_any_table_is_a_float() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type IN ('real', 'double precision')"
        )
        assert cursor.fetchall() == []


@pytest.mark.django_db
def test_every_amount_of_money_has_twelve_decimals() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name, numeric_precision, numeric_scale FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'numeric'"
            " AND column_name IN ('amount', 'unit_amount', 'cost', 'allocated', 'unallocated', 'net', 'tax', 'gross')"
        )
        rows = cursor.fetchall()
    assert len(rows) >= 8
    assert [row for row in rows if row[2:] != (38, 12)] == []
