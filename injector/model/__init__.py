"""The nouns of the house: frozen values that every station understands; they import errors and each other only."""
