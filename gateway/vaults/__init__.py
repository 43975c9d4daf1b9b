"""ClearML configuration vaults: HOCON documents with a scope, delivered to the clients of those they apply to."""
