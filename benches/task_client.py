"""A client of the module for every task."""
import json
from hashlib import sha256

import redis

from worker import TIMEOUT


class TaskClient:
    """A client of the module, which names the key, as it must to choose a model."""

    PHASES = ()

    def __init__(self, port):
        self.redis = redis.Redis(port=port, socket_timeout=TIMEOUT)

    def __getattr__(self, model):
        """A method for each model: `text_quick` asks text-quick."""
        if model.startswith("_"):
            raise AttributeError(model)
        return lambda payload: self.recognise(payload, model.replace("_", "-"))

    def recognise(self, payload, model):
        key = "image:" + sha256(payload).hexdigest()
        return [json.loads(self.redis.execute_command("IMAGE.RECOGNIZE", key, payload, "MODEL", model))], None
