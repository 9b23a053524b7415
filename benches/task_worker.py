"""The Python worker of every task: hash, ask Redis, decode, prepare, infer, decode the outputs, store.

What OpenCV does faster than Pillow or numpy without changing what comes out, OpenCV does; each session has one thread.
"""
import io
import pickle
import time
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import redis
import zxingcpp
from PIL import Image, ImageOps

import task_lines
from task_steps import around, best_of, blob, grid, letterboxed, resized, side_factor
from worker import TIMEOUT, TTL

# Model folder: its graphs.
GRAPHS = {
    "objects": ("yolox-nano",), "faces": ("yunet", "sface"), "embed": ("mobilenetv2-7",), "barcodes": (),
    "text": ("ppocr-det", "ppocr-cls", "ppocr-rec"), "plates": ("clp_det", "ppocr-rec"),
}
POOLED = "mobilenetv20_features_pool0_fwd"
FACE = np.array([38.2946 + 51.6963j, 73.5318 + 51.5014j, 56.0252 + 71.7366j, 41.5493 + 92.3655j, 70.7299 + 92.2041j])
MEAN, STD = (np.array(v, np.float32)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


class Watch:
    """Seconds by phase, for phases that come several times in one request."""

    def __init__(self, names):
        self.taken, self.last = dict.fromkeys(names, 0.0), time.perf_counter()

    def lap(self, name):
        now = time.perf_counter()
        self.taken[name] += now - self.last
        self.last = now


class TaskWorker:
    PHASES = ("hash", "get", "decode", "prepare", "infer", "post", "set")

    def __init__(self, port, models, tasks):
        cv2.setNumThreads(1)
        self.redis = redis.Redis(port=port, socket_timeout=TIMEOUT)
        self.sessions = {graph: session(Path(models, task, f"{graph}.onnx"))
                         for task in tasks for graph in GRAPHS[task]}
        if "ppocr-rec" in self.sessions:
            known = self.sessions["ppocr-rec"].get_modelmeta().custom_metadata_map["character"]
            self.characters = np.array(["", *known.split("\n"), " "])

    def run(self, graph, tensor, outputs=None):
        one = self.sessions[graph]
        results = one.run(outputs, {one.get_inputs()[0].name: tensor})
        self.watch.lap("infer")
        return results

    def recognise(self, payload, task, decode):
        """The result in a list, as other recognisers have it; and of a miss the seconds of each phase."""
        self.watch = watch = Watch(self.PHASES)
        key = f"{task}:{sha256(payload).hexdigest()}"
        watch.lap("hash")
        stored = self.redis.get(key)
        watch.lap("get")
        if stored is not None:
            return [pickle.loads(stored)], None
        photo, size = decode(Image.open(io.BytesIO(payload)))
        watch.lap("decode")
        found = getattr(self, f"find_{task}")(photo, size)
        result = {"task": task, **found, "width": size[0], "height": size[1]}
        watch.lap("post")
        self.redis.set(key, pickle.dumps(result), ex=TTL)
        watch.lap("set")
        return [result], list(watch.taken.values())

    def objects(self, payload):
        return self.recognise(payload, "objects", lambda image: decoded(image, long_side=416))

    def faces(self, payload):
        return self.recognise(payload, "faces", decoded)

    def embed(self, payload):
        return self.recognise(payload, "embed", lambda image: decoded(image, short_side=256))

    def text(self, payload):
        return self.recognise(payload, "text", decoded)

    def plates(self, payload):
        return self.recognise(payload, "plates", decoded)

    def barcodes(self, payload):
        return self.recognise(payload, "barcodes", lambda image: decoded(image, mode="L"))

    def find_objects(self, photo, size):
        square = letterboxed(photo, size, 416, 114, int)
        tensor = blob(square, bgr=True)
        self.watch.lap("prepare")
        cells = self.run("yolox-nano", tensor)[0][0]
        places, strides = grid(416)
        # No class of a cell is surer than the cell.
        likely = np.flatnonzero(cells[:, 4] >= 0.3)
        cells, strides = cells[likely], strides[likely, None]
        scores = cells[:, 4:5] * cells[:, 5:]
        row, label = np.nonzero(scores >= 0.3)
        boxes = around((cells[:, :2] + places[likely]) * strides, np.exp(cells[:, 2:4]) * strides)[row]
        boxes, scores = boxes / side_factor(size, 416), scores[row, label]
        return {"objects": [{"id": int(label[i]), "score": float(scores[i]), "box": boxes[i].tolist()}
                            for i in best_of(boxes, scores, 0.3, 0.45, label)]}

    def find_faces(self, photo, size):
        tensor = blob(letterboxed(photo, size, 640, 0, round), bgr=True)
        self.watch.lap("prepare")
        names = [f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]
        outputs = self.run("yunet", tensor, names)
        cls, obj, box, points = (np.concatenate([one[0] for one in outputs[i:i + 3]]) for i in (0, 3, 6, 9))
        places, strides = grid(640)
        scores = np.sqrt(cls[:, 0].clip(0, 1) * obj[:, 0].clip(0, 1))
        likely = np.flatnonzero(scores >= 0.7)
        scores, places, strides, box = scores[likely], places[likely], strides[likely, None], box[likely]
        factor = side_factor(size, 640)
        boxes = around((places + box[:, :2]) * strides, np.exp(box[:, 2:]) * strides) / factor
        points = (points[likely].reshape(-1, 5, 2) + places[:, None]) * strides[:, None] / factor
        pixels, faces = np.asarray(photo), []
        for i in best_of(boxes, scores, 0.7, 0.3):
            self.watch.lap("post")
            tensor = blob(aligned(pixels, points[i]), bgr=False)
            self.watch.lap("prepare")
            vector = unit(self.run("sface", tensor)[0])
            faces.append({"score": float(scores[i]), "box": boxes[i].tolist(), "landmarks": points[i].tolist(),
                          "embedding": vector.tobytes()})
        return {"faces": faces}

    def find_embed(self, photo, size):
        scale = 256 / min(photo.size)
        photo = resized(photo, *(max(256, round(side * scale)) for side in photo.size))
        left, top = (photo.width - 224) // 2, (photo.height - 224) // 2
        tensor = blob(photo.crop((left, top, left + 224, top + 224)), bgr=False)
        tensor *= 1 / (255 * STD)
        tensor -= MEAN / STD
        self.watch.lap("prepare")
        return {"embedding": unit(self.run("mobilenetv2-7", tensor, [POOLED])[0]).tobytes()}

    def find_text(self, photo, size):
        return {"lines": task_lines.text(self, photo)}

    def find_plates(self, photo, size):
        return {"plates": task_lines.plates(self, photo)}

    def find_barcodes(self, photo, size):
        # There is nothing to prepare; the search is this task's inference.
        codes = zxingcpp.read_barcodes(np.asarray(photo))
        self.watch.lap("infer")
        return {"barcodes": [{"format": code.format.name, "text": code.text, "corners": corners(code.position)}
                             for code in codes]}


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = path.read_bytes()
    if path.stem == "mobilenetv2-7":
        # Protobuf adds up repeated fields: a second message behind the first gives the graph one more output.
        name = POOLED.encode()
        output = bytes([0x62, len(name) + 2, 0x0A, len(name)]) + name
        model += bytes([0x3A, len(output)]) + output
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def decoded(image, mode="RGB", long_side=None, short_side=None):
    """The upright photo and its size; a JPEG at 1/2, 1/4 or 1/8 where it stays as large as a side says."""
    width, height = image.size
    if long_side or short_side:
        scale = long_side / max(width, height) if long_side else short_side / min(width, height)
        if scale < 1:
            image.draft("RGB", (round(width * scale), round(height * scale)))
    turned = image.getexif().get(0x0112, 1)
    if turned != 1:
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode), (height, width) if turned >= 5 else (width, height)


def aligned(pixels, points):
    """The face turned and scaled so that its points come nearest to where SFace expects them."""
    source = points @ (1, 1j)
    middle, target = source.mean(), FACE.mean()
    turn = np.vdot(source - middle, FACE - target) / np.vdot(source - middle, source - middle).real
    shift = target - turn * middle
    matrix = np.array([(turn.real, -turn.imag, shift.real), (turn.imag, turn.real, shift.imag)])
    return cv2.warpAffine(pixels, matrix, (112, 112), flags=cv2.INTER_LINEAR)


def unit(vector):
    vector = vector.ravel()
    return vector / np.linalg.norm(vector)


def corners(place):
    return [(p.x, p.y) for p in (place.top_left, place.top_right, place.bottom_right, place.bottom_left)]
