"""Ingest for a queue: take what asks for it, ingest once for all of it, and only then delete it.

A message says only that something changed: an ingest goes through the whole source, so one run answers every
message that was sent before it looked there. What the run does not answer stays in the queue.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger("rag_service.ingest")

CHANGES = ("Object Created", "Object Deleted")
"""Events of a bucket that ask for an ingest, in EventBridge's words."""


READ_TRIES = 3
"""Ingests in a row for which a document is waited for that the storage does not give."""


class Stopped(Exception):
    """Say that the task was told to end; what was committed stays, and the next ingest goes on from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Hold how long things wait, in seconds."""

    poll: int = 10
    settle: float = 5
    """How long to wait before an ingest: uploads come in bursts, and AWS's clocks may differ by as much.
    S3 itself lists an object before anybody hears of it."""
    visibility: int = 300
    """How long a message is kept from others when this process no longer shows life."""
    strange: int = 60
    """After how long a message that means nothing is looked at again, until the queue puts it aside."""
    again: float = 60
    """How long to wait after an ingest that could not be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Hold one message; `sent` in epoch seconds by the queue's clock, `times` it has been received."""

    name: str
    receipt: str
    body: str
    sent: float
    times: int


def strangeness(body: str, source: str) -> str | None:
    """Say what is wrong with a message; None where it asks for an ingest of the source.

    It does as an event of the source's bucket (EventBridge) or as an object with the member `ingest`.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # nested without end it would end the process, and again after it
        return "it is no JSON"
    if isinstance(document, dict) and "ingest" in document:
        return None
    try:
        kind, detail = document["detail-type"], document["detail"]
        bucket, key = detail["bucket"]["name"], detail["object"]["key"]
    except (KeyError, TypeError):
        return "it is no event of a bucket, and says no `ingest`"
    wanted = urlsplit(source)
    if kind not in CHANGES:
        return f"{str(kind)[:80]!r} asks for nothing"
    if bucket != wanted.netloc or not str(key).startswith(wanted.path.strip("/")):
        return f"it is about s3://{bucket}/{key}"[:300] + f" and not about {source}"
    return None


def is_test(body: str) -> bool:
    """Tell whether S3 only tried whether it may send here."""
    return '"s3:TestEvent"' in body


class Queue:
    """Speak to one SQS queue, by its URL."""

    def __init__(self, url: str, pace: Pace) -> None:
        from botocore.session import get_session

        host = (urlsplit(url).hostname or "").split(".")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        self._client: Any = get_session().create_client(
            "sqs", region_name=region or (host[1] if host[0] == "sqs" else None)
        )
        self._url = url
        self._pace = pace
        self.now = 0.0
        """The queue's own time when it was last asked, in epoch seconds: no other clock is compared."""

    def receive(self, *, wait: int) -> list[Message]:
        """Take up to ten messages, waiting for the first."""
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            VisibilityTimeout=self._pace.visibility,
            AttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
        )
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        self.now = parsedate_to_datetime(date).timestamp() if date else 0.0
        return [
            Message(
                name=one["MessageId"],
                receipt=one["ReceiptHandle"],
                body=one["Body"],
                sent=int(one["Attributes"]["SentTimestamp"]) / 1000,
                times=int(one["Attributes"]["ApproximateReceiveCount"]),
            )
            for one in answer.get("Messages", ())
        ]

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete what was done; one that cannot be deleted comes again, and costs another look."""
        self._batch(self._client.delete_message_batch, messages)

    def hide(self, messages: Sequence[Message], seconds: int) -> None:
        """Keep messages from being received for so long from now."""
        self._batch(self._client.change_message_visibility_batch, messages, VisibilityTimeout=seconds)

    def _batch(self, call: Any, messages: Sequence[Message], **more: int) -> None:
        if messages:
            entries = [{"Id": str(n), "ReceiptHandle": one.receipt, **more} for n, one in enumerate(messages)]
            for failed in call(QueueUrl=self._url, Entries=entries).get("Failed", ()):
                log.warning("the queue refused: %s", failed.get("Message") or failed.get("Code"))


class Consumer:
    """Drain a queue into ingests of one source, one after the other, until told to stop.

    `ingest` does one and names the documents that the storage did not give; it raises Stopped, or one of
    `refusals` where nothing could be done this time.
    """

    def __init__(
        self,
        queue: Queue,
        source: str,
        ingest: Callable[[], Collection[str]],
        *,
        refusals: tuple[type[Exception], ...],
        stop: threading.Event,
        say: Callable[[str], None],
        pace: Pace,
    ) -> None:
        self._queue = queue
        self._source = source
        self._ingest = ingest
        self._refusals = refusals
        self._stop = stop
        self._say = say
        self._pace = pace
        self._tries: Counter[str] = Counter()

    def run(self) -> None:
        """Go on until told to stop; what is held then goes back. An error that is no refusal ends it."""
        held: list[Message] = []
        while not self._stop.is_set():
            held = held or self._asking(self._queue.receive(wait=self._pace.poll))
            if held and not self._stop.is_set():
                held = self._answer(held)
        self._queue.hide(held, 0)

    def _answer(self, held: list[Message]) -> list[Message]:
        """Ingest for these messages; return those that already ask for the next one."""
        looked = self._queue.now
        self._say(f"INFO: an ingest for {len(held)} messages or more")
        try:
            with self._kept(held):
                if self._stop.wait(self._pace.settle):
                    return held
                unread = self._ingest()
        except Stopped:
            return held
        except self._refusals as refusal:
            self._say(f"ERROR: {refusal}")
            self._stop.wait(self._pace.again)
            return []
        if waiting := self._waited_for(unread):
            self._say(f"INFO: {len(waiting)} documents that could not be read are tried again")
            self._stop.wait(self._pace.again)
            return []
        self._queue.delete(held)
        return self._delete_answered(looked)

    def _waited_for(self, unread: Collection[str]) -> list[str]:
        """Choose what may be read the next time: storage that denies or throttles gives in; one that never
        gives a document must not keep the messages of all others."""
        self._tries = Counter({name: self._tries[name] + 1 for name in unread})
        return [name for name, times in self._tries.items() if times < READ_TRIES]

    def _delete_answered(self, looked: float) -> list[Message]:
        """Delete what was sent before the ingest looked at the source; return the first that came later."""
        deleted = 0
        later: list[Message] = []
        while not later and not self._stop.is_set() and (came := self._queue.receive(wait=1)):
            asking = self._asking(came)
            answered = [one for one in asking if one.sent < looked]
            later = [one for one in asking if one.sent >= looked]
            self._queue.delete(answered)
            deleted += len(answered)
        if deleted:
            self._say(f"INFO: it answered {deleted} more messages")
        return later

    def _asking(self, came: Sequence[Message]) -> list[Message]:
        """Choose what asks for an ingest; the rest is left to the queue, which puts it aside in the end."""
        self._queue.delete([one for one in came if is_test(one.body)])
        asking = []
        strange = []
        for one in came:
            why = None if is_test(one.body) else strangeness(one.body, self._source)
            if why is not None:
                strange.append(one)
                if one.times == 1:
                    self._say(f"ERROR: message {one.name} is left to the dead-letter queue: {why}")
            elif not is_test(one.body):
                asking.append(one)
        self._queue.hide(strange, self._pace.strange)
        return asking

    @contextmanager
    def _kept(self, held: Sequence[Message]) -> Iterator[None]:
        """Keep the messages from others and the task from being scaled in, for as long as this lasts."""
        done = threading.Event()

        def beat() -> None:
            while True:
                protect(minutes=max(1, 2 * self._pace.visibility // 60))
                if done.wait(self._pace.visibility / 3):
                    return
                try:
                    self._queue.hide(held, self._pace.visibility)
                except Exception as error:  # noqa: BLE001 - tried again; else they come again, and nothing is lost
                    log.warning("the messages could not be kept: %s", error)

        beating = threading.Thread(target=beat, name="heartbeat", daemon=True)
        beating.start()
        try:
            yield
        finally:
            done.set()
            beating.join()
            protect(minutes=None)


def protect(*, minutes: int | None) -> None:
    """Protect this ECS task from scale-in and deployments for so many minutes, None for no longer.

    Source: Amazon ECS Developer Guide, "Amazon ECS task scale-in protection endpoint".
    """
    agent = os.environ.get("ECS_AGENT_URI")
    if not agent:
        return
    wish = {"ProtectionEnabled": False} if minutes is None else _protected(minutes)
    try:
        request = urllib.request.Request(  # noqa: S310 - the agent's own address
            f"{agent}/task-protection/v1/state",
            data=json.dumps(wish).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            pass
    except (OSError, ValueError, HTTPException) as error:  # no address, or an answer that is no HTTP
        log.warning("the task could not be protected from scale-in: %s", error)


def _protected(minutes: int) -> dict[str, object]:
    return {"ProtectionEnabled": True, "ExpiresInMinutes": minutes}
