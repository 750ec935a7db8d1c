"""REST resources: each turns a request into an operation and its value into an answer; no decision is made here."""
