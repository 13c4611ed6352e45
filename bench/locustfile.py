"""For load-testers: the grocery example's households asking for their next action, by Locust.

    pip install --require-hashes -r requirements/load.txt
    locust -f bench/locustfile.py --headless -u 50 -r 10 -t 60s -H http://localhost:8000

Fails a request that was answered degraded or later than its deadline, so that a latency budget can be read off the
failures. Locust is for exploring and for its charts; the ratios in the documentation come from `make bench`, whose
client costs a tenth of the CPU.
"""

import random

from locust import FastHttpUser, constant_throughput, task

HOUSEHOLDS = 2_500
DEADLINE_MS = 50
PLACEMENTS = ("home-banner", "feed", "receipt-page")


class Shopper(FastHttpUser):
    """A household that opens a page ten times a second."""

    wait_time = constant_throughput(10)

    @task
    def open_page(self) -> None:
        body = {
            "customer_id": f"hh-{random.randint(1, HOUSEHOLDS)}",
            "placements": [random.choice(PLACEMENTS)],
            "deadline_ms": DEADLINE_MS,
        }
        with self.client.post("/next-action", json=body, catch_response=True) as response:
            if response.status_code == 200 and (degraded := response.json()["degraded"]):
                response.failure(f"degraded: {', '.join(degraded)}")
