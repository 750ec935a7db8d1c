"""How the documentation is built."""

project = "injector"
extensions: list[str] = []
master_doc = "index"
html_theme = "alabaster"
exclude_patterns = ["build"]
