"""The one path by which a running daemon takes over a changed configuration (ops.md 1.2, DECISIONS 25).

The watcher, SIGHUP, ``POST /admin/reload`` and ``config forget`` all end here: load in a thread, compare with what is
in force, then apply, hold or refuse. Whatever fails, the snapshot in force stays.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from gateway.config.difference import pending_keys
from gateway.config.load import Snapshot
from gateway.config.origin import Origin, Problem
from gateway.config.reading import digest
from gateway.gentle import GentleLoading
from gateway.reload_report import Attempt, Outcome, Trigger, event_of, shown_keys, tell
from gateway.reload_tried import Tried, digest_now, examine
from gateway.settings import NotWritten, new_settings, with_changes
from gateway.store.interface import Conflict, StoreError
from gateway.telemetry.audit import SwitchedAudit
from gateway.telemetry.notify import notify, reloading

if TYPE_CHECKING:
    from gateway.config.schema import Configuration
    from gateway.runtime import Plan, Runtime
    from gateway.store.interface import Layer, SettingChange

log = logging.getLogger(__name__)

UNASKED: Final = ("file", "stored")
"""Triggers by which nobody has asked for what the files hold: what looks cut short is held."""

WRITE_ATTEMPTS: Final = 20
"""How often a write is begun anew because another process has written in the meantime."""
RETRY_SECONDS: Final = 30.0
"""When a reload that the store has failed is tried again."""
FOLLOW_SECONDS: Final = 1.0
"""How often it is looked whether another process has written."""

_BY_ASKING: Final = "reload by signal or API to apply (ldap-gateway config reload)"
_NEW: Final = Origin("default", "new configuration")
"""Where problems stand that belong to no place of it."""


@dataclass(frozen=True, slots=True)
class Held:
    """A configuration that could be applied, and is not for now."""

    reason: str
    since: float
    """Seconds since 1970."""
    file: Path | None
    """The file that looks cut short; None where it is held for something else."""


class Watching(Protocol):
    """The part of the watcher that a reload steers."""

    @property
    def mode(self) -> str:
        """Whether events wake it, or only the clock."""

    @property
    def errors(self) -> int:
        """How often something was wrong with it."""

    def watch(self, paths: Iterable[Path]) -> None:
        """Watch these files from now on."""


class Reloader:
    """Takes over changed configurations, one at a time, and remembers what came of it.

    ``run`` does the work; the others ask for it. What is asked for during an attempt is done by exactly one more.
    """

    def __init__(
        self,
        files: Sequence[Path],
        environment: Mapping[str, str],
        snapshot: Snapshot,
        runtime: Runtime,
        audit: SwitchedAudit,
        applied: Callable[[Configuration], None],
        *,
        stored: int = 0,
    ) -> None:
        """``applied`` is called with each configuration that came into force; ``stored`` is the generation of what APIs
        wrote that ``snapshot`` was made of."""
        self.snapshot = snapshot
        self.started_at = self.loaded_at = time.time()
        self.counts: Counter[tuple[Trigger, Outcome]] = Counter()
        self.held: Held | None = None
        self.successful = True
        """Whether what was tried last is in force."""
        self.hash = digest(snapshot.contents)
        self.last = Attempt(self.started_at, 0.0, "start", "applied", snapshot.generation, self.hash)
        self.applied = self.last
        """The attempt that put in force what is."""
        self._files = files
        self._environment = environment
        self._runtime = runtime
        self._audit = audit
        self._configure = applied
        self.begun_with = snapshot.configuration
        """What the process started with: its values of keys that need a restart stay in force."""
        self._stored = self._stored_in_force = stored
        """Generation of what APIs wrote: that the last attempt has read, and that is in force."""
        self._layer: Layer | None = None
        """What APIs wrote, as it was read last."""
        self._watched = snapshot.contents
        self._wanted: set[Trigger] = set()
        self._bell = asyncio.Event()
        self._waiting: list[asyncio.Future[Attempt]] = []
        self._loading = asyncio.Lock()
        self._gentle = GentleLoading()
        self._second_look: float | None = None
        """By the loop's clock: when too great a loss is looked at again."""
        self._confirming = False
        self.watcher: Watching | None = None
        self._writing: set[asyncio.Task[Snapshot]] = set()
        runtime.writer = self.write

    @property
    def pending_restart(self) -> tuple[str, ...]:
        """Keys whose values differ from those the process started with, and are in force only after a restart."""
        return pending_keys(self.snapshot.written, self.begun_with)

    @property
    def status(self) -> str:
        """One line for systemd and the log."""
        text = f"generation {self.snapshot.generation}, serving"
        if self.held is not None:
            return f"{text}; reload held: {self.held.reason}"
        return text if self.successful else f"{text}; reload failed, the previous configuration stays in force"

    def audit_start(self) -> None:
        """Write the event of the first snapshot that is served."""
        files = ", ".join(map(str, self.snapshot.files)) or "environment"
        self._audit.write(event_of(self.last, files))

    def follow(self, watcher: Watching) -> None:
        """Tell this watcher from now on which files to watch."""
        self.watcher = watcher
        watcher.watch(tuple(self._watched))

    def request(self, trigger: Trigger) -> None:
        """Ask for a reload, and do not wait for it."""
        self._wanted.add(trigger)
        self._bell.set()

    async def files_changed(self) -> None:
        """What the watcher calls."""
        await self.reload("file")

    async def reload(self, trigger: Trigger = "api") -> Attempt:
        """Ask for a reload and wait: the outcome is that of an attempt that began after this call."""
        waiting: asyncio.Future[Attempt] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self.request(trigger)
        return await waiting

    async def compare(self, files: Sequence[Path] = (), stored: Layer | None = None) -> Tried:
        """Load these files, or the daemon's own, and compare with what is in force; nothing is applied.

        ``stored`` takes the place of what APIs wrote. Raises StoreError.
        """
        async with self._loading:
            return await self._load(files or self._files, stored or await self._read_layer())

    async def write(self, plan: Plan, by: str) -> Snapshot:
        """Store what ``plan`` makes of the snapshot in force and of what APIs have written, and put it in force.

        One write at a time. The files count as they were read for the snapshot in force: a broken one neither keeps an
        API from writing nor is applied by it. Returns when all is in force, whoever gives up waiting. Raises
        ``NotWritten`` where the outcome cannot be used, StoreError, and what ``plan`` raises; nothing has changed then.
        """
        task = asyncio.create_task(self._write(plan, by))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)

    async def _write(self, plan: Plan, by: str) -> Snapshot:
        async with self._loading:
            for _ in range(WRITE_ATTEMPTS):
                try:
                    return await self._try_to_write(plan, by)
                except Conflict:
                    continue  # another process was faster
        raise Conflict("other processes write the configuration all the time")

    async def _try_to_write(self, plan: Plan, by: str) -> Snapshot:
        layer = await self._read_layer()
        if layer.generation != self._stored_in_force:
            with suppress(NotWritten):  # what is written now may mend it
                await self._put_in_force(_nothing, layer, "")
        return await self._put_in_force(plan, layer, by)

    async def _put_in_force(self, plan: Plan, layer: Layer, by: str) -> Snapshot:
        """Put in force what APIs have written, changed by ``plan``. The new layer is stored before the swap."""
        began_at = time.time()
        with self._gentle.requests_first():
            written, after, tried = await asyncio.to_thread(self._examine_write, plan, layer, by)
        if tried is None:
            return self.snapshot
        if tried.snapshot is None:
            raise NotWritten(tuple(problem for problem in tried.problems if problem.severity == "error"))

        async def commit() -> None:
            if written:
                await self._runtime.store.layer_write(written, layer.generation, at=int(began_at), by=by)

        try:
            async with self._audit.switching(tried.snapshot.configuration.audit.to):
                await self._runtime.reload(tried.snapshot, commit)
        except (OSError, ValueError) as error:
            raise NotWritten((Problem(_NEW, "", str(error)),)) from error
        self._layer = after
        self._take_over(tried, began_at, "written through an API" if written else "written by another process")
        return tried.snapshot

    def _examine_write(self, plan: Plan, layer: Layer, by: str) -> tuple[Sequence[SettingChange], Layer, Tried | None]:
        """What is to be written, and what it comes to: None where all of it is in force. Runs in a thread."""
        written = new_settings(plan(self.snapshot, layer), layer)
        if not written and layer.generation == self._stored_in_force:
            return written, layer, None
        after = with_changes(layer, written, int(time.time()), by) if written else layer
        held = self.snapshot.contents
        return written, after, examine(self._files, self._environment, after, self.snapshot, self.begun_with, held)

    async def _read_layer(self) -> Layer:
        """What APIs have written. Reading and opening all of it takes long where it is much."""
        if self._layer is None or self._layer.generation != await self._runtime.store.layer_generation():
            self._layer = await self._runtime.store.layer()
        return self._layer

    async def _follow_store(self) -> None:
        """Put in force what other processes write, until cancelled; the files count as they were read last."""
        told = -1
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            try:
                generation = await self._runtime.store.layer_generation()
                if generation in (told, self._stored_in_force):
                    continue
                told = generation
                await self.write(_nothing, "")
            except NotWritten as error:
                self.counts["stored", "failed"] += 1
                log.error("what another process has written cannot be used here: %s", error)
            except StoreError as error:
                log.error("what other processes have written cannot be read: %s", error)
                told = -1
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:
                log.exception("what another process has written")

    def _take_over(self, tried: Tried, began_at: float, how: str) -> None:
        """Note that a write is in force. What the last attempt to read the files came to stays as it was."""
        if tried.snapshot is None:
            return
        self.snapshot = tried.snapshot
        self._configure(tried.snapshot.configuration)
        if self._stored == self._stored_in_force:
            self._stored = tried.stored
        self._stored_in_force, self.loaded_at = tried.stored, time.time()
        attempt = Attempt(
            began_at, self.loaded_at - began_at, "stored", "applied", self.snapshot.generation, self.hash,
            changes=tried.changes,
        )  # fmt: skip
        self.counts["stored", "applied"] += 1
        self.applied = attempt
        if self.successful and self.held is None:
            self.last = attempt
        log.info("%s: %s; %s", how, shown_keys(attempt.changes), self.status)
        self._audit.write(event_of(attempt, shown_keys(attempt.changes)))

    async def run(self) -> None:
        """Work until cancelled; whoever still waits then is cancelled, too."""
        waiting: list[asyncio.Future[Attempt]] = []
        following = asyncio.create_task(self._follow_store())
        try:
            while True:
                wanted = await self._next()
                waiting, self._waiting = self._waiting, []
                await self._answer(wanted, waiting)
        finally:
            following.cancel()
            for each in (*waiting, *self._waiting):
                each.cancel()
            for write in self._writing:
                write.cancel()

    async def _answer(self, wanted: set[Trigger], waiting: list[asyncio.Future[Attempt]]) -> None:
        if "signal" in wanted:
            reloading()
            await self.reopen_audit()
        try:
            async with self._loading:
                attempt = await self._attempt(_strongest(wanted), time.time())
        except Exception as error:
            log.exception("reload")
            attempt = self._failure(time.time(), _strongest(wanted), f"unforeseen {type(error).__name__}")
            # The same bytes would fail again.
            attempt = self._record(replace(attempt, digest=await asyncio.to_thread(digest_now, self._watched)))
        for each in waiting:
            if not each.done():
                each.set_result(attempt)
        notify(**({"READY": 1} if "signal" in wanted else {}), STATUS=self.status)

    async def _next(self) -> set[Trigger]:
        """Wait for what is wanted; a second look at what is held for a while comes by itself."""
        try:
            async with asyncio.timeout_at(self._second_look):
                await self._bell.wait()
        except TimeoutError:
            self._confirming = True
            self._wanted.add("file")
        self._bell.clear()
        wanted, self._wanted = self._wanted, set()
        return wanted

    async def _attempt(self, trigger: Trigger, now: float) -> Attempt:
        confirming, self._confirming = self._confirming, False
        try:
            if trigger in UNASKED and not confirming and await self._nothing_new():
                return self.last
            before, self.held, self._second_look = self.last.digest if confirming else "", None, None
            return self._record(await self._try(trigger, now, before))
        except StoreError as error:
            # That passes without any file changing.
            self._second_look = asyncio.get_running_loop().time() + RETRY_SECONDS
            return self._record(self._failure(now, trigger, str(error)))

    async def _try(self, trigger: Trigger, now: float, confirmed: str) -> Attempt:
        """Load, and apply what may be; ``confirmed`` is the digest of a great loss that has stood long enough.

        Raises StoreError.
        """
        tried = await self._load(self._files, await self._read_layer())
        in_force = (self.hash, self._stored_in_force)
        self._watched, self._stored = tried.contents, tried.stored
        if self.watcher is not None:
            self.watcher.watch(tuple(tried.contents))
        attempt = Attempt(
            now, 0.0, trigger, "failed", self.snapshot.generation, tried.digest,
            problems=tried.problems, changes=tried.changes,
        )  # fmt: skip
        unchanged = (tried.digest, tried.stored) == in_force
        if trigger in UNASKED and unchanged and tried.snapshot is not None:
            return replace(attempt, outcome="unchanged")
        if trigger in UNASKED and (reason := self._reason_to_hold(tried, tried.digest == confirmed)):
            return replace(attempt, outcome="held", reason=reason)
        return await self._apply(attempt, tried, unchanged=unchanged)

    async def _nothing_new(self) -> bool:
        """Whether all is as the last attempt has read it; a touch and a failure seen twice end here."""
        if await self._runtime.store.layer_generation() != self._stored:
            return False
        return await asyncio.to_thread(digest_now, self._watched) == self.last.digest

    async def _load(self, files: Sequence[Path], stored: Layer) -> Tried:
        with self._gentle.requests_first():
            return await asyncio.to_thread(examine, files, self._environment, stored, self.snapshot, self.begun_with)

    def _reason_to_hold(self, tried: Tried, confirmed: bool) -> str:
        """Why a reload that nobody asked for waits; empty where it does not."""
        if tried.cut is None and confirmed:
            return ""
        reason = self.doubts(tried)
        if reason:
            self.held = Held(reason, time.time(), tried.cut)
            if tried.cut is None and not tried.renumbered:
                hold = self.snapshot.configuration.reload.hold
                self._second_look = asyncio.get_running_loop().time() + hold
        return reason

    def doubts(self, tried: Tried) -> str:
        """Why it would not be applied by itself, or not at once; empty where it would be."""
        if tried.cut is not None:
            what = "is gone" if tried.contents[tried.cut].data is None else "looks cut short"
            return f"{tried.cut} {what}; {_BY_ASKING}"
        if tried.renumbered:
            shown = "; ".join(f"{problem.path} {problem.message}" for problem in tried.renumbered)
            return f"looks like other directories under the names of before: {shown}; {_BY_ASKING}"
        if tried.snapshot is None or not tried.shrunk:
            return ""
        return f"{tried.shrunk}; applied if that is still so after {self.snapshot.configuration.reload.hold:g} s"

    async def _apply(self, attempt: Attempt, tried: Tried, *, unchanged: bool) -> Attempt:
        """Put a snapshot in force. Asked for where nothing has changed it is built anew, because the system's own
        certificates may have, and keeps its generation."""
        snapshot = tried.snapshot
        if snapshot is None:
            return attempt
        if unchanged:
            snapshot = replace(snapshot, generation=self.snapshot.generation)
        try:
            async with self._audit.switching(snapshot.configuration.audit.to):
                with self._gentle.requests_first():
                    await self._runtime.reload(snapshot)
        except (OSError, ValueError) as error:
            return replace(self._failure(attempt.began_at, attempt.trigger, str(error)), digest=tried.digest)
        self.snapshot = snapshot
        self._configure(snapshot.configuration)
        if unchanged:
            return replace(attempt, outcome="unchanged")
        self.hash, self.loaded_at, self._stored_in_force = tried.digest, time.time(), tried.stored
        return replace(attempt, outcome="applied", generation=snapshot.generation)

    def _failure(self, began_at: float, trigger: Trigger, message: str) -> Attempt:
        problem = Problem(_NEW, "", message)
        return Attempt(began_at, 0.0, trigger, "failed", self.snapshot.generation, "", problems=(problem,))

    def _record(self, attempt: Attempt) -> Attempt:
        """Keep and tell what came of an attempt."""
        attempt = replace(attempt, seconds=max(0.0, time.time() - attempt.began_at))
        self.last = attempt
        if attempt.outcome == "applied":
            self.applied = attempt
        self.successful = attempt.outcome in ("applied", "unchanged")
        self.counts[attempt.trigger, attempt.outcome] += 1
        tell(attempt, self.status, self.pending_restart)
        if attempt.outcome != "unchanged" and attempt.trigger != "start":
            self._audit.write(event_of(attempt, shown_keys(attempt.changes)))
        return attempt

    async def reopen_audit(self) -> None:
        """Go on in a new audit file, where the old one was renamed away; no file is read for that."""
        try:
            await asyncio.to_thread(self._audit.reopen)
        except OSError as error:
            log.error("audit.to: %s: %s", error.filename, error.strerror)


def _nothing(_snapshot: Snapshot, _layer: Layer) -> Sequence[SettingChange]:
    """A plan that only puts in force what is stored already."""
    return ()


def _strongest(wanted: set[Trigger]) -> Trigger:
    """The trigger that an attempt made for several of them has."""
    return next(trigger for trigger in ("api", "signal", "stored", "file") if trigger in wanted)
