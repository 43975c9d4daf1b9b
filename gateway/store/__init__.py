"""What outlives the process: identities, tokens, failures, keys. ``interface`` has the verbs; one module per engine."""
