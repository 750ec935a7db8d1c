"""Runs the migrations on the connection it is given."""

from alembic import context

from injector.db.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
