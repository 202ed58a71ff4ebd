"""Ask a service that runs, as its users do: the golden questions in turn, from many users at once.

    pip install locust
    RAG_KEY=… locust -f load/locustfile.py --host https://rag.example.com --headless --users 64 --run-time 1m

Searches only, unless ASK=1: /ask may cost money at the generator. A refusal for pace (429) is a failure here.
"""

import itertools
import json
import os
from pathlib import Path

from locust import FastHttpUser, task

GOLDEN = Path(os.environ.get("GOLDEN") or Path(__file__).parent.parent / "golden.json")
QUESTIONS = itertools.cycle(entry["question"] for entry in json.loads(GOLDEN.read_text(encoding="utf-8")))
KEY = os.environ.get("RAG_KEY")


class Asker(FastHttpUser):
    """Ask again as soon as the answer is there."""

    default_headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}

    @task
    def ask(self) -> None:
        """Search, or ask for a whole answer."""
        if os.environ.get("ASK") == "1":
            self.client.post("/ask", json={"question": next(QUESTIONS)})
        else:
            self.client.post("/search", json={"query": next(QUESTIONS), "k": 5})
