"""The Python worker that people write today, at its best: hash, ask Redis, Pillow, numpy, onnxruntime, store.

One process is one worker; several share nothing but Redis.
"""
import io
import pickle
import time
from hashlib import sha256

SIZE, SHORT, TTL = 224, 256, 3600
TIMEOUT = 60


class Worker:
    PHASES = ("hash", "get", "decode", "resize", "normalise", "infer", "post", "set")

    def __init__(self, port, model):
        import numpy
        import onnxruntime
        import redis
        from PIL import Image

        self.numpy, self.image = numpy, Image
        options = onnxruntime.SessionOptions()
        # One thread for each process: more processes give more than more threads do.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.redis = redis.Redis(port=port, socket_timeout=TIMEOUT)
        # (x / 255 - mean) / std as one multiplication and one addition.
        mean, std = (numpy.array(v, numpy.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        self.scale, self.offset = (1 / (255 * std)).astype(numpy.float32), (-mean / std).astype(numpy.float32)

    def plain(self, payload):
        return self.recognise(payload, False)

    def draft(self, payload):
        """With Image.draft: a JPEG is decoded at 1/2, 1/4 or 1/8 where it stays large enough."""
        return self.recognise(payload, True)

    def recognise(self, payload, draft):
        """The five best labels; and of a miss the seconds of each phase."""
        np, now = self.numpy, time.perf_counter
        marks = [now()]
        key = "recognised:" + sha256(payload).hexdigest()
        marks.append(now())
        stored = self.redis.get(key)
        marks.append(now())
        if stored is not None:
            return pickle.loads(stored), None
        picture = self.image.open(io.BytesIO(payload))
        if draft:
            picture.draft("RGB", (SHORT, SHORT))
        picture = picture.convert("RGB")
        marks.append(now())
        width, height = picture.size
        scale = SHORT / min(width, height)
        width, height = max(SHORT, round(width * scale)), max(SHORT, round(height * scale))
        picture = picture.resize((width, height), self.image.Resampling.BILINEAR)
        left, top = (width - SIZE) // 2, (height - SIZE) // 2
        picture = picture.crop((left, top, left + SIZE, top + SIZE))
        marks.append(now())
        tensor = np.asarray(picture, np.float32)
        tensor = tensor * self.scale
        tensor += self.offset
        tensor = np.ascontiguousarray(tensor.transpose(2, 0, 1))[None]
        marks.append(now())
        scores = self.session.run(None, {self.input: tensor})[0][0]
        marks.append(now())
        scores = np.exp(scores - scores.max())
        scores /= scores.sum()
        best = np.argpartition(scores, -5)[-5:]
        best = best[np.argsort(-scores[best])]
        result = [(int(label), float(scores[label])) for label in best]
        marks.append(now())
        self.redis.set(key, pickle.dumps(result), ex=TTL)
        marks.append(now())
        return result, [later - earlier for earlier, later in zip(marks, marks[1:])]


class ModuleClient:
    """A client of the module, with the same library."""

    PHASES = ()

    def __init__(self, port):
        import redis

        self.redis = redis.Redis(port=port, socket_timeout=TIMEOUT)

    def sent(self, payload):
        """Sends the payload at once; the server hashes it."""
        return decoded(self.redis.execute_command("IMAGE.RECOGNIZE_AUTO", payload)), None

    def asked(self, payload):
        """Asks with the digest first, and sends the payload on a miss."""
        key = "image:" + sha256(payload).hexdigest()
        reply = self.redis.execute_command("IMAGE.GET", key)
        if reply is None:
            reply = self.redis.execute_command("IMAGE.RECOGNIZE", key, payload)
        return decoded(reply), None


def decoded(reply):
    import json

    return [(label["id"], label["score"]) for label in json.loads(reply)["labels"]]
