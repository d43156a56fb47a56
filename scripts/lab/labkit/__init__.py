"""The lab: real kernel dumps with known truth."""


class LabError(Exception):
    """Something the user must know about; its text is the whole message."""
