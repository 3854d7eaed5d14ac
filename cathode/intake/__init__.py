"""Intake: from a user's files to validated events, with labels kept apart."""
