"""What the agent's command ends with, in one line."""


class AgentError(Exception):
    """The agent cannot go on; the message says what to do."""
