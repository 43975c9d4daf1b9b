"""The ClearML dialect: what the ``clearml`` SDK, ``clearml-agent``, curl and the web UI speak (clearml.md)."""
