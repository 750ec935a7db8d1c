"""What hosts have promised is summed from an index: the rows themselves are as long as their documents."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.drop_index("instances_by_host", "instances")
    op.create_index("instances_by_host", "instances", ["host", "state", "vcpus", "ram"])
