"""The first tables."""

import sqlalchemy as sa
from alembic import op

from injector.db.columns import BLOB, DOCUMENT, ID, NAME, TABLE_OPTIONS, TIME, text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "keypairs",
        sa.Column("user_id", ID, primary_key=True),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("document", DOCUMENT, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "flavors",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("name", NAME, unique=True),
        sa.Column("document", DOCUMENT, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "images",
        sa.Column("id", ID, primary_key=True),
        sa.Column("owner", ID, nullable=False, index=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("document", DOCUMENT, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "networks",
        sa.Column("id", ID, primary_key=True),
        sa.Column("project_id", ID, nullable=False, index=True),
        sa.Column("name", NAME, nullable=False),
        sa.Column("document", DOCUMENT, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "hosts",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("document", DOCUMENT, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "instances",
        sa.Column("id", ID, primary_key=True),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("state", text(32), nullable=False),
        sa.Column("host", NAME, nullable=True),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("ram", sa.Integer, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("document", DOCUMENT, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_index("instances_by_project", "instances", ["project_id", "created_at", "id"])
    op.create_index("instances_by_host", "instances", ["host", "state"])
    op.create_index("instances_by_state", "instances", ["state", "updated_at"])
    op.create_table(
        "payloads",
        sa.Column("instance_id", ID, sa.ForeignKey("instances.id"), primary_key=True),
        sa.Column("key_id", ID, nullable=False),
        sa.Column("nonce", BLOB, nullable=False),
        sa.Column("ciphertext", BLOB, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "ports",
        sa.Column("mac", text(17), primary_key=True),
        sa.Column("network_id", ID, sa.ForeignKey("networks.id"), nullable=False, index=True),
        sa.Column("instance_id", ID, sa.ForeignKey("instances.id"), nullable=False, index=True),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "addresses",
        sa.Column("network_id", ID, sa.ForeignKey("networks.id"), primary_key=True),
        sa.Column("ip", text(45), primary_key=True),
        sa.Column("instance_id", ID, sa.ForeignKey("instances.id"), nullable=False, index=True),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "forwards",
        sa.Column("host", NAME, primary_key=True),
        sa.Column("port", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("instance_id", ID, sa.ForeignKey("instances.id"), nullable=False, index=True),
        **TABLE_OPTIONS,
    )
