"""The configuration: one tree from files, environment and credentials, checked before anything uses it.

``load`` is the only entrance. A layer is read by ``sources`` (a file) or ``environment``, brought into one form along
the schema by ``layer``, translated from ClearML's spellings by ``spellings``, merged by ``merge`` and made a
``Snapshot`` by ``load``. Nothing here needs the event loop; reading happens in whatever thread calls.
"""
