"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "keypairs",
        sa.Column("user_id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "flavors",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("name", sa.String(255), unique=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False, index=True),
        sa.Column("created_at", sa.String(40), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "networks",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("project_id", sa.String(64), nullable=False, index=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "hosts",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "instances",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("host", sa.String(255), nullable=True),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("ram", sa.Integer, nullable=False),
        sa.Column("created_at", sa.String(40), nullable=False),
        sa.Column("updated_at", sa.String(40), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("instances_by_project", "instances", ["project_id", "created_at", "id"])
    op.create_index("instances_by_host", "instances", ["host", "state"])
    op.create_index("instances_by_state", "instances", ["state", "updated_at"])
    op.create_table(
        "payloads",
        sa.Column("instance_id", sa.String(64), sa.ForeignKey("instances.id"), primary_key=True),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ports",
        sa.Column("mac", sa.String(17), primary_key=True),
        sa.Column("network_id", sa.String(64), sa.ForeignKey("networks.id"), nullable=False, index=True),
        sa.Column("instance_id", sa.String(64), sa.ForeignKey("instances.id"), nullable=False, index=True),
    )
    op.create_table(
        "addresses",
        sa.Column("network_id", sa.String(64), sa.ForeignKey("networks.id"), primary_key=True),
        sa.Column("ip", sa.String(45), primary_key=True),
        sa.Column("instance_id", sa.String(64), sa.ForeignKey("instances.id"), nullable=False, index=True),
    )
    op.create_table(
        "forwards",
        sa.Column("host", sa.String(255), primary_key=True),
        sa.Column("port", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("instance_id", sa.String(64), sa.ForeignKey("instances.id"), nullable=False, index=True),
    )
