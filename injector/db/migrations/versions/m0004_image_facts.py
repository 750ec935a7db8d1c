"""What was found inside images, by the digest of their bytes."""

import sqlalchemy as sa
from alembic import op

from injector.db.columns import DOCUMENT, ID, TABLE_OPTIONS

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "image_facts",
        sa.Column("sha256", ID, primary_key=True),
        sa.Column("document", DOCUMENT, nullable=False),
        **TABLE_OPTIONS,
    )
