"""Config drives have generations, each kept with what makes it again."""

import sqlalchemy as sa
from alembic import op

from injector.db.columns import DOCUMENT, ID, TABLE_OPTIONS

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "generations",
        sa.Column("instance_id", ID, sa.ForeignKey("instances.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("document", DOCUMENT, nullable=False),
        **TABLE_OPTIONS,
    )
