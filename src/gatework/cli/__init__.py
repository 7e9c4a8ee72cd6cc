"""The command line: one verb a file in `verbs/`, found by scan; `gatework --help` imports no torch and no pydantic."""
