"""Keeps the history of tables: installs the trigger that writes it, and finds what is known of one row.

The trigger is one for all tables and takes a row as JSON, so that a new column needs nothing here. Columns that
are named as its arguments are left out of what is kept: secrets, and what changes without meaning anything.
"""

from collections.abc import Mapping, Sequence

from django.db import connection, models
from psycopg import sql

from tenants.models import Change

SHOWN_MAX = 200

_INSTALL = """
CREATE OR REPLACE TRIGGER tokenworks_history AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION tokenworks_keep_history({left_out})
"""


_INSTALLED = """
SELECT cls.relname, encode(trg.tgargs, 'escape') FROM pg_trigger trg JOIN pg_class cls ON cls.oid = trg.tgrelid
 WHERE trg.tgname = 'tokenworks_history'
"""


def keep(tables: Mapping[type[models.Model], Sequence[str]]) -> None:
    """Let the history of these tables be kept from now on, each without the columns that are named with it.

    A table that has its trigger is not touched, so nobody waits for a lock that nothing needs.
    """
    with connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor))
        cursor.execute(_INSTALLED)
        installed = dict(cursor.fetchall())
        for table, left_out in tables.items():
            name = table._meta.db_table
            arguments = "".join(f"{column}\\000" for column in left_out)  # As Postgres keeps and shows them.
            if name in there and installed.get(name) != arguments:
                columns = sql.SQL(", ").join(map(sql.Literal, left_out))
                statement = sql.SQL(_INSTALL).format(table=sql.Identifier(name), left_out=columns)
                cursor.execute(statement.as_string(cursor.connection))


def changes_of(row: models.Model) -> list[Change]:
    """The newest changes of one row, with who made them."""
    kept = Change.objects.filter(table=row._meta.db_table, row_id=str(row.pk)).select_related("context")
    return list(kept[:SHOWN_MAX])
